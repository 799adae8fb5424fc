//! Shared memory, addressed by 32-bit offsets in the shared state space. PTX ISA: State Spaces, `.shared`;
//! Data Movement, `ld`, `st`.

use core::arch::asm;

// All shared memory is dynamic: one array whose size the launch gives. 1,024 bytes is what a 128-byte
// swizzled tile asks for; `xtask ptx` checks that the declaration survives into the PTX.
core::arch::global_asm!(".extern .shared .align 1024 .b8 dynamic_shared[];");

/// Address of the CTA's dynamic shared memory, a multiple of 1,024.
#[inline(always)]
pub fn base() -> u32 {
    let address;
    // SAFETY: takes the address of the array declared above.
    unsafe {
        asm!("mov.u32 {}, dynamic_shared;", out(reg32) address, options(pure, nomem, nostack))
    };
    address
}

/// `ld.shared.b32` as `f32`.
///
/// # Safety
/// `address` is 4-byte aligned and inside the CTA's shared memory.
#[inline(always)]
pub unsafe fn load_f32(address: u32) -> f32 {
    let value;
    // SAFETY: the caller's promise.
    unsafe {
        asm!("ld.shared.b32 {}, [{}];", out(reg32) value, in(reg32) address, options(readonly, nostack))
    };
    value
}

/// `ld.shared.v2.b32` as `f32`s.
///
/// # Safety
/// As for [`load_f32`], 8-byte aligned.
#[inline(always)]
pub unsafe fn load_f32x2(address: u32) -> [f32; 2] {
    let (first, second);
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "ld.shared.v2.b32 {{{}, {}}}, [{}];",
            out(reg32) first, out(reg32) second, in(reg32) address,
            options(readonly, nostack)
        )
    };
    [first, second]
}

/// `ld.shared.b32` as `u32`.
///
/// # Safety
/// As for [`load_f32`].
#[inline(always)]
pub unsafe fn load_u32(address: u32) -> u32 {
    let value;
    // SAFETY: the caller's promise.
    unsafe {
        asm!("ld.shared.b32 {}, [{}];", out(reg32) value, in(reg32) address, options(readonly, nostack))
    };
    value
}

/// `st.shared.b32` of an `f32`.
///
/// # Safety
/// `address` is 4-byte aligned and inside the CTA's shared memory.
#[inline(always)]
pub unsafe fn store_f32(address: u32, value: f32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("st.shared.b32 [{}], {};", in(reg32) address, in(reg32) value, options(nostack))
    };
}

/// `ld.shared.v4.b32`.
///
/// # Safety
/// `address` is 16-byte aligned and 16 bytes from it are inside the CTA's shared memory.
#[inline(always)]
pub unsafe fn load_u32x4(address: u32) -> [u32; 4] {
    let (a, b, c, d);
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "ld.shared.v4.b32 {{{}, {}, {}, {}}}, [{}];",
            out(reg32) a, out(reg32) b, out(reg32) c, out(reg32) d, in(reg32) address,
            options(readonly, nostack)
        )
    };
    [a, b, c, d]
}

/// `st.shared.v4.b32`.
///
/// # Safety
/// As for [`load_u32x4`].
#[inline(always)]
pub unsafe fn store_u32x4(address: u32, value: [u32; 4]) {
    let [a, b, c, d] = value;
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "st.shared.v4.b32 [{}], {{{}, {}, {}, {}}};",
            in(reg32) address, in(reg32) a, in(reg32) b, in(reg32) c, in(reg32) d,
            options(nostack)
        )
    };
}

/// `st.shared.v4.b32` of 16 zero bytes.
///
/// # Safety
/// `address` is 16-byte aligned and 16 bytes from it are inside the CTA's shared memory.
#[inline(always)]
pub unsafe fn store_zero_16(address: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("st.shared.v4.b32 [{}], {{{z}, {z}, {z}, {z}}};", in(reg32) address, z = in(reg32) 0, options(nostack))
    };
}
