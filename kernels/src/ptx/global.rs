//! Global memory. PTX ISA: Data Movement, `ld`, `st`.

use core::arch::asm;

/// `ld.global.b32` as `i32`.
///
/// # Safety
/// `address` points to a readable, 4-byte aligned `i32` in global memory.
#[inline(always)]
pub unsafe fn load_i32(address: *const i32) -> i32 {
    let value;
    // SAFETY: the caller's promise.
    unsafe {
        asm!("ld.global.b32 {}, [{}];", out(reg32) value, in(reg64) address, options(readonly, nostack))
    };
    value
}

/// `ld.global.b32` as `f32`.
///
/// # Safety
/// `address` points to a readable, 4-byte aligned `f32` in global memory.
#[inline(always)]
pub unsafe fn load_f32(address: *const f32) -> f32 {
    let value;
    // SAFETY: the caller's promise.
    unsafe {
        asm!("ld.global.b32 {}, [{}];", out(reg32) value, in(reg64) address, options(readonly, nostack))
    };
    value
}

/// `ld.global.v4.b32` as four `f32`.
///
/// # Safety
/// `address` points to 16 readable bytes in global memory, 16-byte aligned.
#[inline(always)]
pub unsafe fn load_f32x4(address: *const f32) -> [f32; 4] {
    let (a, b, c, d);
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "ld.global.v4.b32 {{{}, {}, {}, {}}}, [{}];",
            out(reg32) a, out(reg32) b, out(reg32) c, out(reg32) d, in(reg64) address,
            options(readonly, nostack)
        )
    };
    [a, b, c, d]
}

/// `st.global.b32` of an `f32`.
///
/// # Safety
/// `address` points to a writable, 4-byte aligned word in global memory.
#[inline(always)]
pub unsafe fn store_f32(address: *mut f32, value: f32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("st.global.b32 [{}], {};", in(reg64) address, in(reg32) value, options(nostack))
    };
}

/// `st.global.v2.b32` of two `f32`.
///
/// # Safety
/// `address` points to 8 writable bytes in global memory, 8-byte aligned.
#[inline(always)]
pub unsafe fn store_f32x2(address: *mut f32, value: [f32; 2]) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "st.global.v2.b32 [{}], {{{}, {}}};",
            in(reg64) address, in(reg32) value[0], in(reg32) value[1],
            options(nostack)
        )
    };
}

/// `st.global.b32` of two packed 16-bit floats.
///
/// # Safety
/// `address` points to a writable, 4-byte aligned word in global memory.
#[inline(always)]
pub unsafe fn store_b16x2(address: *mut u16, value: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("st.global.b32 [{}], {};", in(reg64) address, in(reg32) value, options(nostack))
    };
}

/// `st.global.v2.b32` of four packed 16-bit floats.
///
/// # Safety
/// `address` points to 8 writable bytes in global memory, 8-byte aligned.
#[inline(always)]
pub unsafe fn store_b16x4(address: *mut u16, value: [u32; 2]) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "st.global.v2.b32 [{}], {{{}, {}}};",
            in(reg64) address, in(reg32) value[0], in(reg32) value[1],
            options(nostack)
        )
    };
}
