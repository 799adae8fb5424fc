//! Warpgroup matrix multiply-accumulate. PTX ISA: Asynchronous Warpgroup Level Matrix Multiply-Accumulate
//! Instructions.
//!
//! `D[64 × n] (+)= A[64 × 16] · B[16 × n]` with f32 accumulators spread over 128 threads. All four warps of
//! a warpgroup execute every one of these together. The multiply runs in the background:
//!
//! - [`fence`] comes before the first multiply, and again after any other instruction has touched
//!   accumulator or A registers;
//! - [`commit`] closes a group; the `wait` functions return when at most N groups are pending;
//! - until the wait, A registers must not change and accumulators must not be read. The compiler does not
//!   know that a multiply is asynchronous: the waits take the registers by `&mut`, as `inout` operands, so
//!   that no use of them moves above the wait.
//!
//! Thread `t` (lane `l = t % 32` of warp `w = t / 32`) holds accumulator `i` of row
//! `16 w + l / 4 + 8 · (i / 2 % 2)`, column `8 (i / 4) + 2 (l % 4) + i % 2`; A fragments are packed pairs in
//! the same order.

use core::arch::asm;
use seq_macro::seq;

unsafe extern "C" {
    #[link_name = "llvm.nvvm.wgmma.fence.sync.aligned"]
    fn fence_aligned();
    #[link_name = "llvm.nvvm.wgmma.commit_group.sync.aligned"]
    fn commit_group();
    #[link_name = "llvm.nvvm.wgmma.wait_group.sync.aligned"]
    fn wait_group(pending: u64);
}

/// f32 accumulators of a 64 × 64 tile in one thread.
pub type Acc64 = [f32; 32];
/// f32 accumulators of a 64 × 128 tile in one thread.
pub type Acc128 = [f32; 64];
/// f32 accumulators of a 64 × 192 tile in one thread.
pub type Acc192 = [f32; 96];
/// f32 accumulators of a 64 × 256 tile in one thread.
pub type Acc256 = [f32; 128];
/// A 64 × 16 tile of 16-bit elements in one thread, for use as the A operand.
pub type FragmentA = [u32; 4];

/// `wgmma.fence.sync.aligned`: orders register accesses before it with the multiplies after it.
///
/// # Safety
/// All warps of the warpgroup execute it, converged.
#[inline(always)]
pub unsafe fn fence() {
    // SAFETY: the caller's promise.
    unsafe { fence_aligned() };
}

/// `wgmma.commit_group.sync.aligned`: the multiplies since the last commit become one group.
///
/// # Safety
/// All warps of the warpgroup execute it, converged.
#[inline(always)]
pub unsafe fn commit() {
    // SAFETY: the caller's promise.
    unsafe { commit_group() };
}

/// `wgmma.wait_group.sync.aligned PENDING`: no accumulator may be used after it; it only bounds how far the
/// warpgroup runs ahead of the tensor cores.
///
/// # Safety
/// All warps of the warpgroup execute it, converged.
#[inline(always)]
pub unsafe fn wait<const PENDING: u32>() {
    // SAFETY: the caller's promise.
    unsafe { wait_group(PENDING as u64) };
}

/// `wgmma.wait_group.sync.aligned PENDING`, after which `acc` may be used.
///
/// # Safety
/// All warps of the warpgroup execute it, converged; the multiplies into `acc` are not among the `PENDING`
/// newest groups.
#[inline(always)]
pub unsafe fn wait_256<const PENDING: u32>(acc: &mut Acc256) {
    seq!(N in 0..128 {
        // SAFETY: the caller's promise.
        unsafe {
            asm!(
                "wgmma.wait_group.sync.aligned {pending};",
                #(concat!("// {d", N, "}"),)*
                #(d~N = inout(reg32) acc[N],)*
                pending = const PENDING,
                options(nostack)
            )
        };
    });
}

/// `wgmma.wait_group.sync.aligned PENDING`, after which `acc` may be used.
///
/// # Safety
/// As for [`wait_256`].
#[inline(always)]
pub unsafe fn wait_64<const PENDING: u32>(acc: &mut Acc64) {
    seq!(N in 0..32 {
        // SAFETY: the caller's promise.
        unsafe {
            asm!(
                "wgmma.wait_group.sync.aligned {pending};",
                #(concat!("// {d", N, "}"),)*
                #(d~N = inout(reg32) acc[N],)*
                pending = const PENDING,
                options(nostack)
            )
        };
    });
}

/// `wgmma.wait_group.sync.aligned PENDING`, after which `acc` may be used.
///
/// # Safety
/// As for [`wait_256`].
#[inline(always)]
pub unsafe fn wait_128<const PENDING: u32>(acc: &mut Acc128) {
    seq!(N in 0..64 {
        // SAFETY: the caller's promise.
        unsafe {
            asm!(
                "wgmma.wait_group.sync.aligned {pending};",
                #(concat!("// {d", N, "}"),)*
                #(d~N = inout(reg32) acc[N],)*
                pending = const PENDING,
                options(nostack)
            )
        };
    });
}

/// `wgmma.wait_group.sync.aligned PENDING`, after which `acc` may be used.
///
/// # Safety
/// As for [`wait_256`].
#[inline(always)]
pub unsafe fn wait_192<const PENDING: u32>(acc: &mut Acc192) {
    seq!(N in 0..96 {
        // SAFETY: the caller's promise.
        unsafe {
            asm!(
                "wgmma.wait_group.sync.aligned {pending};",
                #(concat!("// {d", N, "}"),)*
                #(d~N = inout(reg32) acc[N],)*
                pending = const PENDING,
                options(nostack)
            )
        };
    });
}

/// `wgmma.mma_async.m64n64k16.f32.bf16`, A in registers, B K-major in shared memory.
///
/// # Safety
/// - All warps of the warpgroup execute it, converged, after [`fence`].
/// - `a` does not change, and the memory that `b` describes is not written, until the group has been waited for.
#[inline(always)]
pub unsafe fn m64n64k16_bf16_rs(acc: &mut Acc64, a: &FragmentA, b: u64) {
    seq!(N in 1..32 {
        // SAFETY: the caller's promise.
        unsafe {
            asm!(
                "{{ .reg .pred accumulate; setp.ne.b32 accumulate, 1, 0;",
                "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16",
                "{{ {d0}",
                #(concat!(", {d", N, "}"),)*
                "}}, {{ {a0}, {a1}, {a2}, {a3} }}, {b}, accumulate, 1, 1, 0; }}",
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

/// One multiply per element type: the same instruction but for the type of its operands.
macro_rules! multiply_for {
    ($ss64:ident, $ss256:ident, $rs256:ident, $ty:literal) => {
        #[doc = concat!("`wgmma.mma_async.m64n64k16.f32.", $ty, "`, A and B K-major in shared memory.")]
        ///
        /// With `ACCUMULATE` false, `D = A · B`.
        ///
        /// # Safety
        /// - All warps of the warpgroup execute it, converged, after [`fence`].
        /// - Both descriptors stay inside shared memory that is not written until the group has been waited for.
        #[inline(always)]
        pub unsafe fn $ss64<const ACCUMULATE: bool>(acc: &mut Acc64, a: u64, b: u64) {
            seq!(N in 1..32 {
                // SAFETY: the caller's promise.
                unsafe {
                    asm!(
                        "{{ .reg .pred accumulate; setp.ne.b32 accumulate, {accumulate}, 0;",
                        concat!("wgmma.mma_async.sync.aligned.m64n64k16.f32.", $ty, ".", $ty),
                        "{{ {d0}",
                        #(concat!(", {d", N, "}"),)*
                        "}}, {a}, {b}, accumulate, 1, 1, 0, 0; }}",
                        d0 = inout(reg32) acc[0],
                        #(d~N = inout(reg32) acc[N],)*
                        a = in(reg64) a,
                        b = in(reg64) b,
                        accumulate = const ACCUMULATE as u32,
                        options(nostack)
                    )
                };
            });
        }

        #[doc = concat!("`wgmma.mma_async.m64n256k16.f32.", $ty, "`, A K-major and B MN-major in shared memory.")]
        ///
        /// # Safety
        /// - All warps of the warpgroup execute it, converged, after [`fence`].
        /// - Both descriptors stay inside shared memory that is not written until the group has been waited for.
        #[inline(always)]
        pub unsafe fn $ss256(acc: &mut Acc256, a: u64, b: u64) {
            seq!(N in 1..128 {
                // SAFETY: the caller's promise.
                unsafe {
                    asm!(
                        "{{ .reg .pred accumulate; setp.ne.b32 accumulate, 1, 0;",
                        concat!("wgmma.mma_async.sync.aligned.m64n256k16.f32.", $ty, ".", $ty),
                        "{{ {d0}",
                        #(concat!(", {d", N, "}"),)*
                        "}}, {a}, {b}, accumulate, 1, 1, 0, 1; }}",
                        d0 = inout(reg32) acc[0],
                        #(d~N = inout(reg32) acc[N],)*
                        a = in(reg64) a,
                        b = in(reg64) b,
                        options(nostack)
                    )
                };
            });
        }

        #[doc = concat!("`wgmma.mma_async.m64n256k16.f32.", $ty, "`, A in registers, B MN-major in shared memory.")]
        ///
        /// # Safety
        /// - All warps of the warpgroup execute it, converged, after [`fence`].
        /// - `a` does not change, and the memory that `b` describes is not written, until the group has been
        ///   waited for.
        #[inline(always)]
        pub unsafe fn $rs256(acc: &mut Acc256, a: &FragmentA, b: u64) {
            seq!(N in 1..128 {
                // SAFETY: the caller's promise.
                unsafe {
                    asm!(
                        "{{ .reg .pred accumulate; setp.ne.b32 accumulate, 1, 0;",
                        concat!("wgmma.mma_async.sync.aligned.m64n256k16.f32.", $ty, ".", $ty),
                        "{{ {d0}",
                        #(concat!(", {d", N, "}"),)*
                        "}}, {{ {a0}, {a1}, {a2}, {a3} }}, {b}, accumulate, 1, 1, 1; }}",
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
    };
}

/// The shapes whose operands are both K-major in shared memory, and that only add to what is there.
macro_rules! multiply_add_for {
    ($ss128:ident, $ss192:ident, $ss256:ident, $ty:literal) => {
        #[doc = concat!("`wgmma.mma_async.m64n128k16.f32.", $ty, "`, A and B K-major in shared memory.")]
        ///
        /// # Safety
        /// - All warps of the warpgroup execute it, converged, after [`fence`].
        /// - Both descriptors stay inside shared memory that is not written until the group has been waited for.
        #[inline(always)]
        pub unsafe fn $ss128(acc: &mut Acc128, a: u64, b: u64) {
            seq!(N in 1..64 {
                // SAFETY: the caller's promise.
                unsafe {
                    asm!(
                        "{{ .reg .pred accumulate; setp.ne.b32 accumulate, 1, 0;",
                        concat!("wgmma.mma_async.sync.aligned.m64n128k16.f32.", $ty, ".", $ty),
                        "{{ {d0}",
                        #(concat!(", {d", N, "}"),)*
                        "}}, {a}, {b}, accumulate, 1, 1, 0, 0; }}",
                        d0 = inout(reg32) acc[0],
                        #(d~N = inout(reg32) acc[N],)*
                        a = in(reg64) a,
                        b = in(reg64) b,
                        options(nostack)
                    )
                };
            });
        }

        #[doc = concat!("`wgmma.mma_async.m64n192k16.f32.", $ty, "`, A and B K-major in shared memory.")]
        ///
        /// # Safety
        /// - All warps of the warpgroup execute it, converged, after [`fence`].
        /// - Both descriptors stay inside shared memory that is not written until the group has been waited for.
        #[inline(always)]
        pub unsafe fn $ss192(acc: &mut Acc192, a: u64, b: u64) {
            seq!(N in 1..96 {
                // SAFETY: the caller's promise.
                unsafe {
                    asm!(
                        "{{ .reg .pred accumulate; setp.ne.b32 accumulate, 1, 0;",
                        concat!("wgmma.mma_async.sync.aligned.m64n192k16.f32.", $ty, ".", $ty),
                        "{{ {d0}",
                        #(concat!(", {d", N, "}"),)*
                        "}}, {a}, {b}, accumulate, 1, 1, 0, 0; }}",
                        d0 = inout(reg32) acc[0],
                        #(d~N = inout(reg32) acc[N],)*
                        a = in(reg64) a,
                        b = in(reg64) b,
                        options(nostack)
                    )
                };
            });
        }

        #[doc = concat!("`wgmma.mma_async.m64n256k16.f32.", $ty, "`, A and B K-major in shared memory.")]
        ///
        /// # Safety
        /// - All warps of the warpgroup execute it, converged, after [`fence`].
        /// - Both descriptors stay inside shared memory that is not written until the group has been waited for.
        #[inline(always)]
        pub unsafe fn $ss256(acc: &mut Acc256, a: u64, b: u64) {
            seq!(N in 1..128 {
                // SAFETY: the caller's promise.
                unsafe {
                    asm!(
                        "{{ .reg .pred accumulate; setp.ne.b32 accumulate, 1, 0;",
                        concat!("wgmma.mma_async.sync.aligned.m64n256k16.f32.", $ty, ".", $ty),
                        "{{ {d0}",
                        #(concat!(", {d", N, "}"),)*
                        "}}, {a}, {b}, accumulate, 1, 1, 0, 0; }}",
                        d0 = inout(reg32) acc[0],
                        #(d~N = inout(reg32) acc[N],)*
                        a = in(reg64) a,
                        b = in(reg64) b,
                        options(nostack)
                    )
                };
            });
        }
    };
}

multiply_for!(m64n64k16_bf16_ss, m64n256k16_bf16_ss, m64n256k16_bf16_rs, "bf16");
multiply_for!(m64n64k16_f16_ss, m64n256k16_f16_ss, m64n256k16_f16_rs, "f16");
multiply_add_for!(m64n128k16_bf16_ss, m64n192k16_bf16_ss, m64n256k16_bf16_ss_k_major, "bf16");
multiply_add_for!(m64n128k16_f16_ss, m64n192k16_f16_ss, m64n256k16_f16_ss_k_major, "f16");
