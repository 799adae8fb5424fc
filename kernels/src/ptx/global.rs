//! Global memory. PTX ISA: Data Movement, `ld`, `st`; Parallel Synchronization, `atom`.
//!
//! What one CTA hands to another of the same grid: all its threads store, a CTA barrier, one thread calls
//! [`add_release_u32`]; there, one thread calls [`wait_at_least`], a CTA barrier, all load. The release takes
//! along what the barrier has ordered before it, so no fence is needed.

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

/// `ld.global.v4.b32` as four `u32`.
///
/// # Safety
/// As for [`load_f32x4`].
#[inline(always)]
pub unsafe fn load_u32x4(address: *const u32) -> [u32; 4] {
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

/// `ld.global.v2.b32` as two `u32`.
///
/// # Safety
/// `address` points to 8 readable bytes in global memory, 8-byte aligned.
#[inline(always)]
pub unsafe fn load_u32x2(address: *const u32) -> [u32; 2] {
    let (a, b);
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "ld.global.v2.b32 {{{}, {}}}, [{}];",
            out(reg32) a, out(reg32) b, in(reg64) address,
            options(readonly, nostack)
        )
    };
    [a, b]
}

/// `ld.relaxed.gpu.global.b32` as `f32`: from L2, as the last CTA to write has left it there.
///
/// # Safety
/// `address` points to a readable, 4-byte aligned `f32` in global memory.
#[inline(always)]
pub unsafe fn load_f32_coherent(address: *const f32) -> f32 {
    let value;
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "ld.relaxed.gpu.global.b32 {}, [{}];",
            out(reg32) value, in(reg64) address,
            options(readonly, nostack)
        )
    };
    value
}

/// `ld.relaxed.gpu.global.v4.b32` of eight packed 16-bit floats: from L2, as the last CTA to write has left them
/// there.
///
/// # Safety
/// `address` points to 16 readable bytes in global memory, 16-byte aligned.
#[inline(always)]
pub unsafe fn load_b16x8_coherent(address: *const u16) -> [u32; 4] {
    let (a, b, c, d);
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "ld.relaxed.gpu.global.v4.b32 {{{}, {}, {}, {}}}, [{}];",
            out(reg32) a, out(reg32) b, out(reg32) c, out(reg32) d, in(reg64) address,
            options(readonly, nostack)
        )
    };
    [a, b, c, d]
}

/// `ld.relaxed.gpu.global.v4.b32` of four `f32`: from L2, as the last CTA to write has left them there.
///
/// # Safety
/// `address` points to 16 readable bytes in global memory, 16-byte aligned.
#[inline(always)]
pub unsafe fn load_f32x4_coherent(address: *const f32) -> [f32; 4] {
    let (a, b, c, d);
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "ld.relaxed.gpu.global.v4.b32 {{{}, {}, {}, {}}}, [{}];",
            out(reg32) a, out(reg32) b, out(reg32) c, out(reg32) d, in(reg64) address,
            options(readonly, nostack)
        )
    };
    [a, b, c, d]
}

/// `atom.release.gpu.global.add.u32`: adds to a counter and returns what it was. What the thread has written, and
/// what barriers have ordered before it, is seen by whoever waits for the sum.
///
/// # Safety
/// `address` points to a writable, 4-byte aligned word in global memory.
#[inline(always)]
pub unsafe fn add_release_u32(address: *mut u32, value: u32) -> u32 {
    let old;
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "atom.release.gpu.global.add.u32 {}, [{}], {};",
            out(reg32) old, in(reg64) address, in(reg32) value,
            options(nostack)
        )
    };
    old
}

/// `atom.relaxed.gpu.global.add.u32`: adds to a counter and returns what it was. Orders nothing.
///
/// # Safety
/// As for [`add_release_u32`].
#[inline(always)]
pub unsafe fn add_relaxed_u32(address: *mut u32, value: u32) -> u32 {
    let old;
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "atom.relaxed.gpu.global.add.u32 {}, [{}], {};",
            out(reg32) old, in(reg64) address, in(reg32) value,
            options(nostack)
        )
    };
    old
}

/// `ld.acquire.gpu.global.b32` until the word is at least `value`: what came before the releases that made it so
/// can be read.
///
/// # Safety
/// `address` points to a readable, 4-byte aligned word in global memory. Whoever raises it is running or has
/// ended: the CTAs of a cooperative launch.
#[inline(always)]
pub unsafe fn wait_at_least(address: *const u32, value: u32) {
    // SAFETY: the caller's promise.
    while unsafe { load_acquire_u32(address) } < value {}
}

/// One attempt of [`wait_at_least`]. Not `readonly`: the compiler must not move loads up over it.
#[inline(always)]
unsafe fn load_acquire_u32(address: *const u32) -> u32 {
    let value;
    // SAFETY: the promise of `wait_at_least`'s caller.
    unsafe {
        asm!(
            "ld.acquire.gpu.global.b32 {}, [{}];",
            out(reg32) value, in(reg64) address,
            options(nostack)
        )
    };
    value
}

/// `st.relaxed.gpu.global.b32` of a `u32`: resets a counter. Orders nothing.
///
/// # Safety
/// `address` points to a writable, 4-byte aligned word in global memory.
#[inline(always)]
pub unsafe fn store_relaxed_u32(address: *mut u32, value: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "st.relaxed.gpu.global.b32 [{}], {};",
            in(reg64) address, in(reg32) value,
            options(nostack)
        )
    };
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

/// `st.global.b32` of a `u32`.
///
/// # Safety
/// `address` points to a writable, 4-byte aligned word in global memory.
#[inline(always)]
pub unsafe fn store_u32(address: *mut u32, value: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("st.global.b32 [{}], {};", in(reg64) address, in(reg32) value, options(nostack))
    };
}

/// `st.global.v2.b32` of two `u32`.
///
/// # Safety
/// `address` points to 8 writable bytes in global memory, 8-byte aligned.
#[inline(always)]
pub unsafe fn store_u32x2(address: *mut u32, value: [u32; 2]) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "st.global.v2.b32 [{}], {{{}, {}}};",
            in(reg64) address, in(reg32) value[0], in(reg32) value[1],
            options(nostack)
        )
    };
}

/// `st.global.v4.b32` of four `u32`.
///
/// # Safety
/// `address` points to 16 writable bytes in global memory, 16-byte aligned.
#[inline(always)]
pub unsafe fn store_u32x4(address: *mut u32, value: [u32; 4]) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "st.global.v4.b32 [{}], {{{}, {}, {}, {}}};",
            in(reg64) address,
            in(reg32) value[0], in(reg32) value[1], in(reg32) value[2], in(reg32) value[3],
            options(nostack)
        )
    };
}

/// `ld.global.v2.b32` as two `f32`.
///
/// # Safety
/// `address` points to 8 readable bytes in global memory, 8-byte aligned.
#[inline(always)]
pub unsafe fn load_f32x2(address: *const f32) -> [f32; 2] {
    let (a, b);
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "ld.global.v2.b32 {{{}, {}}}, [{}];",
            out(reg32) a, out(reg32) b, in(reg64) address,
            options(readonly, nostack)
        )
    };
    [a, b]
}

/// `prefetch.global.L2`: brings the cache line of `address` into L2.
///
/// # Safety
/// `address` points to global memory.
#[inline(always)]
pub unsafe fn prefetch(address: *const i32) {
    // SAFETY: the caller's promise.
    unsafe { asm!("prefetch.global.L2 [{}];", in(reg64) address, options(nostack)) };
}
