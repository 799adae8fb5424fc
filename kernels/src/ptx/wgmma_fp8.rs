//! Multiplies of 8-bit floats. PTX ISA: Asynchronous Warpgroup Level Matrix Multiply-Accumulate Instructions.
//!
//! As in [`wgmma`](super::wgmma), but that a step is 32 elements along K, that both operands have K along the row, and
//! that the tensor cores keep less of a sum than f32 holds: products and accumulator are aligned to the largest of them,
//! and what is below 2^−13 of it is cut off.
//!
//! A multiply that begins a sum is a function of its own: what was in the accumulator need not be kept for it.
//!
//! A register of an A fragment holds four elements: register `i` of lane `l` those from column `4 (l % 4) + 16 (i / 2)` on,
//! of row `l / 4 + 8 (i % 2)` of the warp's 16.

use core::arch::asm;
use seq_macro::seq;

use super::wgmma::Acc64;

/// A 64 × 32 tile of 8-bit elements in one thread, for use as the A operand.
pub type FragmentA = [u32; 4];

/// `wgmma.mma_async.m64n64k32.f32.e4m3`, A and B K-major in shared memory: `D = A · B`.
///
/// # Safety
/// - All warps of the warpgroup execute it, converged, after [`fence`](super::wgmma::fence).
/// - Both descriptors stay inside shared memory that is not written until the group has been waited for.
#[inline(always)]
pub unsafe fn m64n64k32_e4m3_ss_first(acc: &mut Acc64, a: u64, b: u64) {
    seq!(N in 1..32 {
        // SAFETY: the caller's promise.
        unsafe {
            asm!(
                "{{ .reg .pred accumulate; setp.ne.b32 accumulate, 0, 0;",
                "wgmma.mma_async.sync.aligned.m64n64k32.f32.e4m3.e4m3",
                "{{ {d0}",
                #(concat!(", {d", N, "}"),)*
                "}}, {a}, {b}, accumulate, 1, 1; }}",
                d0 = out(reg32) acc[0],
                #(d~N = out(reg32) acc[N],)*
                a = in(reg64) a,
                b = in(reg64) b,
                options(nostack)
            )
        };
    });
}

/// `wgmma.mma_async.m64n64k32.f32.e4m3`, A in registers, B K-major in shared memory: `D = A · B`.
///
/// # Safety
/// - All warps of the warpgroup execute it, converged, after [`fence`](super::wgmma::fence).
/// - `a` does not change, and the memory that `b` describes is not written, until the group has been waited for.
#[inline(always)]
pub unsafe fn m64n64k32_e4m3_rs_first(acc: &mut Acc64, a: &FragmentA, b: u64) {
    seq!(N in 1..32 {
        // SAFETY: the caller's promise.
        unsafe {
            asm!(
                "{{ .reg .pred accumulate; setp.ne.b32 accumulate, 0, 0;",
                "wgmma.mma_async.sync.aligned.m64n64k32.f32.e4m3.e4m3",
                "{{ {d0}",
                #(concat!(", {d", N, "}"),)*
                "}}, {{ {a0}, {a1}, {a2}, {a3} }}, {b}, accumulate, 1, 1; }}",
                d0 = out(reg32) acc[0],
                #(d~N = out(reg32) acc[N],)*
                a0 = in(reg32) a[0],
                a1 = in(reg32) a[1],
                a2 = in(reg32) a[2],
                a3 = in(reg32) a[3],
                b = in(reg64) b,
                options(nostack)
            )
        };
    });
}

/// `wgmma.mma_async.m64n64k32.f32.e4m3`, A and B K-major in shared memory: `D += A · B`.
///
/// # Safety
/// - All warps of the warpgroup execute it, converged, after [`fence`](super::wgmma::fence).
/// - Both descriptors stay inside shared memory that is not written until the group has been waited for.
#[inline(always)]
pub unsafe fn m64n64k32_e4m3_ss_add(acc: &mut Acc64, a: u64, b: u64) {
    seq!(N in 1..32 {
        // SAFETY: the caller's promise.
        unsafe {
            asm!(
                "{{ .reg .pred accumulate; setp.ne.b32 accumulate, 1, 0;",
                "wgmma.mma_async.sync.aligned.m64n64k32.f32.e4m3.e4m3",
                "{{ {d0}",
                #(concat!(", {d", N, "}"),)*
                "}}, {a}, {b}, accumulate, 1, 1; }}",
                d0 = inout(reg32) acc[0],
                #(d~N = inout(reg32) acc[N],)*
                a = in(reg64) a,
                b = in(reg64) b,
                options(nostack)
            )
        };
    });
}

/// `wgmma.mma_async.m64n64k32.f32.e4m3`, A in registers, B K-major in shared memory: `D += A · B`.
///
/// # Safety
/// - All warps of the warpgroup execute it, converged, after [`fence`](super::wgmma::fence).
/// - `a` does not change, and the memory that `b` describes is not written, until the group has been waited for.
#[inline(always)]
pub unsafe fn m64n64k32_e4m3_rs_add(acc: &mut Acc64, a: &FragmentA, b: u64) {
    seq!(N in 1..32 {
        // SAFETY: the caller's promise.
        unsafe {
            asm!(
                "{{ .reg .pred accumulate; setp.ne.b32 accumulate, 1, 0;",
                "wgmma.mma_async.sync.aligned.m64n64k32.f32.e4m3.e4m3",
                "{{ {d0}",
                #(concat!(", {d", N, "}"),)*
                "}}, {{ {a0}, {a1}, {a2}, {a3} }}, {b}, accumulate, 1, 1; }}",
                d0 = inout(reg32) acc[0],
                #(d~N = inout(reg32) acc[N],)*
                a0 = in(reg32) a[0],
                a1 = in(reg32) a[1],
                a2 = in(reg32) a[2],
                a3 = in(reg32) a[3],
                b = in(reg64) b,
                options(nostack)
            )
        };
    });
}
