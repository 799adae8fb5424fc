//! Special registers. PTX ISA: Special Registers.

use core::arch::asm;

/// `%tid.x`: index of the thread in its CTA.
#[inline(always)]
pub fn thread_index() -> u32 {
    let value;
    // SAFETY: reads a register that never changes.
    unsafe { asm!("mov.u32 {}, %tid.x;", out(reg32) value, options(pure, nomem, nostack)) };
    value
}

/// `%ctaid.x`.
#[inline(always)]
pub fn cta_x() -> u32 {
    let value;
    // SAFETY: reads a register that never changes.
    unsafe { asm!("mov.u32 {}, %ctaid.x;", out(reg32) value, options(pure, nomem, nostack)) };
    value
}

/// `%ctaid.y`.
#[inline(always)]
pub fn cta_y() -> u32 {
    let value;
    // SAFETY: reads a register that never changes.
    unsafe { asm!("mov.u32 {}, %ctaid.y;", out(reg32) value, options(pure, nomem, nostack)) };
    value
}

/// `%nctaid.x`: CTAs of the grid along x.
#[inline(always)]
pub fn grid_x() -> u32 {
    let value;
    // SAFETY: reads a register that never changes.
    unsafe { asm!("mov.u32 {}, %nctaid.x;", out(reg32) value, options(pure, nomem, nostack)) };
    value
}

/// `%clock`: cycles of the multiprocessor, modulo 2^32. Stays where it is among the instructions around it.
#[inline(always)]
pub fn clock() -> u32 {
    let value;
    // SAFETY: reads a register.
    unsafe { asm!("mov.u32 {}, %clock;", out(reg32) value, options(nostack)) };
    value
}

/// Index of the lane in its warp.
#[inline(always)]
pub fn lane() -> u32 {
    thread_index() % 32
}

/// Index of the warp in its CTA, the same register value in all its lanes: the compiler can tell that
/// branches on it do not diverge.
#[inline(always)]
pub fn warp() -> u32 {
    super::warp::broadcast(thread_index() / 32, 0)
}
