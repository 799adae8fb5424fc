//! The shapes of the multiply.

use seq_macro::seq;

use super::WARPGROUP;
use crate::ptx::wgmma::{self, Acc64, Acc128, Acc256, FragmentA};
use crate::ptx::{shared as memory, special};
use crate::tile::descriptor::{k_major, k_major_step, mn_major, mn_major_step};
use crate::tile::swizzle::chunk_offset;

/// Operands of a warpgroup: addresses of the first tiles of A and B.
#[derive(Clone, Copy)]
pub struct Operands {
    pub a: u32,
    pub b: u32,
}

/// Descriptors of the first step.
#[derive(Clone, Copy)]
pub struct Descriptors {
    pub a: u64,
    pub b: u64,
}

/// Four steps of A in one thread.
type Fragments = [FragmentA; 4];

/// A shape of the multiply, and where A comes from.
///
/// # Safety
/// Of every method: all warps of the warpgroup call it, converged.
pub trait Variant {
    /// Accumulators of a thread.
    type Acc;
    /// What a thread keeps of A.
    type A;

    /// Reads what a thread keeps of A.
    ///
    /// # Safety
    /// See the trait; the operands are in shared memory.
    unsafe fn load(operands: Operands) -> Self::A;

    /// Descriptor of the first step of B, whose first tile is at `tile`.
    fn first_b(tile: u32) -> u64;

    /// Multiplies step number `step`, a constant.
    ///
    /// # Safety
    /// See the trait; after `wgmma::fence`.
    unsafe fn step(acc: &mut Self::Acc, a: &Self::A, first: Descriptors, step: u32);

    /// Waits for everything; the sum of the accumulators.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn finish(acc: &mut Self::Acc) -> f32;
}

/// m64n64k16, A in shared memory.
pub struct Ss64;

impl Variant for Ss64 {
    type Acc = Acc64;
    type A = ();

    #[inline(always)]
    unsafe fn load(_: Operands) {}

    #[inline(always)]
    fn first_b(tile: u32) -> u64 {
        k_major(tile)
    }

    #[inline(always)]
    unsafe fn step(acc: &mut Acc64, (): &(), first: Descriptors, step: u32) {
        let b = k_major_step(first.b, step);
        // SAFETY: the caller's promise; the descriptors stay inside the operands.
        unsafe { wgmma::m64n64k16_bf16_ss::<true>(acc, k_major_step(first.a, step), b) }
    }

    #[inline(always)]
    unsafe fn finish(acc: &mut Acc64) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { wgmma::wait_64::<0>(acc) };
        sum_64(acc)
    }
}

/// m64n64k16, A in registers.
pub struct Rs64;

impl Variant for Rs64 {
    type Acc = Acc64;
    type A = Fragments;

    #[inline(always)]
    unsafe fn load(operands: Operands) -> Fragments {
        // SAFETY: the caller's promise.
        unsafe { fragments(operands) }
    }

    #[inline(always)]
    fn first_b(tile: u32) -> u64 {
        k_major(tile)
    }

    #[inline(always)]
    unsafe fn step(acc: &mut Acc64, a: &Fragments, first: Descriptors, step: u32) {
        let b = k_major_step(first.b, step);
        // SAFETY: the caller's promise; the descriptors stay inside the operands.
        unsafe { wgmma::m64n64k16_bf16_rs(acc, &a[step as usize % 4], b) }
    }

    #[inline(always)]
    unsafe fn finish(acc: &mut Acc64) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { wgmma::wait_64::<0>(acc) };
        sum_64(acc)
    }
}

/// m64n128k16, A in shared memory.
pub struct Ss128;

impl Variant for Ss128 {
    type Acc = Acc128;
    type A = ();

    #[inline(always)]
    unsafe fn load(_: Operands) {}

    #[inline(always)]
    fn first_b(tile: u32) -> u64 {
        k_major(tile)
    }

    #[inline(always)]
    unsafe fn step(acc: &mut Acc128, (): &(), first: Descriptors, step: u32) {
        // Four steps to a tile, and two tiles of B for one of A.
        let b = k_major_step(first.b, step / 4 * 8 + step % 4);
        // SAFETY: the caller's promise; the descriptors stay inside the operands.
        unsafe { wgmma::m64n128k16_bf16_ss(acc, k_major_step(first.a, step), b) }
    }

    #[inline(always)]
    unsafe fn finish(acc: &mut Acc128) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { wgmma::wait_128::<0>(acc) };
        sum_128(acc)
    }
}

/// m64n256k16, A in shared memory.
pub struct Ss256;

impl Variant for Ss256 {
    type Acc = Acc256;
    type A = ();

    #[inline(always)]
    unsafe fn load(_: Operands) {}

    #[inline(always)]
    fn first_b(tile: u32) -> u64 {
        mn_major(tile)
    }

    #[inline(always)]
    unsafe fn step(acc: &mut Acc256, (): &(), first: Descriptors, step: u32) {
        // Four steps to a tile, and four tiles of B for one of A.
        let b = mn_major_step(first.b, step / 4 * 16 + step % 4);
        // SAFETY: the caller's promise; the descriptors stay inside the operands.
        unsafe { wgmma::m64n256k16_bf16_ss(acc, k_major_step(first.a, step), b) }
    }

    #[inline(always)]
    unsafe fn finish(acc: &mut Acc256) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { wgmma::wait_256::<0>(acc) };
        sum_256(acc)
    }
}

/// m64n256k16, A in registers.
pub struct Rs256;

impl Variant for Rs256 {
    type Acc = Acc256;
    type A = Fragments;

    #[inline(always)]
    unsafe fn load(operands: Operands) -> Fragments {
        // SAFETY: the caller's promise.
        unsafe { fragments(operands) }
    }

    #[inline(always)]
    fn first_b(tile: u32) -> u64 {
        mn_major(tile)
    }

    #[inline(always)]
    unsafe fn step(acc: &mut Acc256, a: &Fragments, first: Descriptors, step: u32) {
        // Four steps to a tile, and four tiles of B for one of A.
        let b = mn_major_step(first.b, step / 4 * 16 + step % 4);
        // SAFETY: the caller's promise; the descriptors stay inside the operands.
        unsafe { wgmma::m64n256k16_bf16_rs(acc, &a[step as usize % 4], b) }
    }

    #[inline(always)]
    unsafe fn finish(acc: &mut Acc256) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { wgmma::wait_256::<0>(acc) };
        sum_256(acc)
    }
}

/// The first tile of A as fragments.
#[inline(always)]
unsafe fn fragments(operands: Operands) -> Fragments {
    let (warp, lane) = (special::thread_index() % WARPGROUP / 32, special::lane());
    let mut fragments = [[0; 4]; 4];
    seq!(STEP in 0..4 {
        seq!(I in 0..4 {
            let row = 16 * warp + lane / 4 + 8 * (I % 2);
            let offset = chunk_offset(row, 2 * STEP + I / 2) + lane % 4 * 4;
            // SAFETY: inside the tile, aligned.
            fragments[STEP][I] = unsafe { memory::load_u32(operands.a + offset) };
        });
    });
    fragments
}

/// Defines the sum of `$count` accumulators.
macro_rules! sum {
    ($name:ident, $count:literal) => {
        #[inline(always)]
        fn $name(acc: &[f32; $count]) -> f32 {
            let mut sum = 0.0;
            seq!(N in 0..$count {
                sum += acc[N];
            });
            sum
        }
    };
}

sum!(sum_64, 32);
sum!(sum_128, 64);
sum!(sum_256, 128);
