//! `wgmma` back to back: what the tensor cores do when nothing else has to be done.
//!
//! A warpgroup multiplies its A by the B of the CTA over and over, 16 steps of 16 along K in each iteration, into
//! the same accumulators. The operands lie in shared memory as swizzled tiles of 64 × 64 bf16, K-major or MN-major
//! as the decode kernel has them:
//!
//! | operand | tiles | shape |
//! |---|---|---|
//! | A of warpgroup `g` | `4 g…` | 64 × 256, rows along M |
//! | A in registers | `4 g` | 64 × 64: four steps, used over and over |
//! | B, n = 64 or 128 | `8…` | 256 × n, rows along N; the `n / 64` tiles of 64 steps along K are neighbours |
//! | B, n = 256 | `8…` | 256 × 256, rows along K; the four tiles of 64 rows are neighbours |

use crate::tile::swizzle::TILE_BYTES;

/// Threads of a warpgroup.
pub const WARPGROUP: u32 = 128;
/// Threads per CTA, at most: one or two warpgroups are launched.
pub const THREADS: u32 = 2 * WARPGROUP;
/// Steps of 16 along K in an iteration.
pub const STEPS: u32 = 16;
/// Tiles of A of a warpgroup.
pub const A_TILES: u32 = 4;
/// First tile of B.
pub const B_TILE: u32 = 2 * A_TILES;
/// Bytes of all operands: 24 tiles.
pub const OPERAND_BYTES: u32 = (B_TILE + 16) * TILE_BYTES;

#[cfg(not(target_arch = "nvptx64"))]
mod reference;
#[cfg(not(target_arch = "nvptx64"))]
pub use self::reference::{Shape, Sum};

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod variants;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use self::{
    device::run,
    variants::{Rs64, Rs256, Ss64, Ss128, Ss256},
};

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use seq_macro::seq;

    use super::variants::{Descriptors, Operands, Variant};
    use super::*;
    use crate::micro::abi::TensorParams;
    use crate::ptx::{barrier, fence, global, registers, shared as memory, special, wgmma};
    use crate::tile::descriptor;

    /// The kernel.
    ///
    /// # Safety
    /// As for the entry points.
    #[inline(always)]
    pub unsafe fn run<V: Variant>(params: &TensorParams) {
        let shared = memory::base();
        let threads = params.warpgroups * WARPGROUP;
        // SAFETY: warpgroups are whole; operands are written before the barrier and read after it; zero bits are
        // zeros.
        unsafe {
            copy_operands(params, shared, threads);
            let operands = Operands {
                a: shared + special::warp() / 4 * A_TILES * TILE_BYTES,
                b: shared + B_TILE * TILE_BYTES,
            };
            let a = V::load(operands);
            let mut acc: V::Acc = core::mem::zeroed();
            let start = special::clock();
            let mut i = 0;
            while i < params.iterations {
                multiply::<V>(&mut acc, &a, operands);
                wgmma::wait::<1>();
                i += 1;
            }
            let sum = V::finish(&mut acc);
            let cycles = special::clock().wrapping_sub(start);
            let (cta, thread) = (special::cta_x(), special::thread_index());
            let index = (cta * threads + thread) as usize;
            global::store_f32((params.sums as *mut f32).add(index), sum);
            if thread == 0 {
                global::store_u32((params.cycles as *mut u32).add(cta as usize), cycles);
            }
        }
    }

    /// All steps of an iteration. Closes a group.
    #[inline(always)]
    unsafe fn multiply<V: Variant>(acc: &mut V::Acc, a: &V::A, operands: Operands) {
        // Hidden from the compiler, which would keep the descriptors of all steps in registers.
        let (a_tile, b_tile) = (registers::opaque(operands.a), registers::opaque(operands.b));
        let first = Descriptors { a: descriptor::k_major(a_tile), b: V::first_b(b_tile) };
        // SAFETY: the caller's promise.
        unsafe {
            wgmma::fence();
            seq!(STEP in 0..16 {
                V::step(acc, a, first, STEP);
            });
            wgmma::commit();
        }
    }

    /// Brings the operands into shared memory, where `wgmma` may read them.
    #[inline(always)]
    unsafe fn copy_operands(params: &TensorParams, shared: u32, threads: u32) {
        let mut at = 16 * special::thread_index();
        // SAFETY: offsets below the size of the operands, 16-byte aligned; all threads are here.
        unsafe {
            while at < OPERAND_BYTES {
                let vector = global::load_u32x4((params.operands + u64::from(at)) as *const u32);
                memory::store_u32x4(shared + at, vector);
                at += 16 * threads;
            }
            fence::proxy_async_shared();
            barrier::sync_threads();
        }
    }
}
