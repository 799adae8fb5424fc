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
