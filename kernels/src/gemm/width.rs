//! Tokens that a tile has, which are the N of its multiplies.

use super::config;
use super::tiles::Item;
use crate::ptx::cluster;
use crate::ptx::wgmma::{self, Acc64, Acc128, Acc192, Acc256};
use crate::tile::element::Element;

/// A number of tokens: which multiply, how many accumulators.
///
/// # Safety
/// Of every method: as for the `wgmma` functions it stands for.
pub trait Width {
    /// Accumulators of a thread.
    type Acc;
    /// Rows of `x` in a tile.
    const ROWS: u32;
    /// CTAs of a cluster: neighbours along the outputs, which load `x` for each other.
    const CLUSTER: u32;
    /// Bytes of a stage.
    const STAGE_BYTES: u32 = config::stage_bytes(Self::ROWS);
    /// Stages of the ring.
    const STAGES: u32 = config::stages(Self::ROWS);

    /// `acc += A · Bᵀ`, 64 × `ROWS` × 16, both operands K-major in shared memory.
    ///
    /// # Safety
    /// See the trait.
    #[cfg_attr(feature = "simt", track_caller)]
    unsafe fn multiply<E: Element>(acc: &mut Self::Acc, a: u64, b: u64);

    /// Waits until all multiplies are done.
    ///
    /// # Safety
    /// See the trait.
    #[cfg_attr(feature = "simt", track_caller)]
    unsafe fn wait(acc: &mut Self::Acc);

    /// Accumulators `4 column…`: two neighbouring tokens of eight, of two outputs that are 8 apart. `column` is a
    /// constant; 0 behind the last.
    fn four(acc: &Self::Acc, column: usize) -> [f32; 4];
}

impl Item {
    /// This CTA's columns of it.
    #[inline(always)]
    pub fn of_cta<W: Width>(self) -> Self {
        let rank = if W::CLUSTER == 1 { 0 } else { cluster::rank() };
        Self { column: self.column + rank * config::COLUMNS, ..self }
    }
}

macro_rules! width {
    ($(#[$doc:meta])* $name:ident, $rows:literal, $cluster:literal, $acc:ty, $wait:ident, $($multiply:tt)+) => {
        $(#[$doc])*
        pub struct $name;

        impl Width for $name {
            type Acc = $acc;
            const ROWS: u32 = $rows;
            const CLUSTER: u32 = $cluster;

            #[cfg_attr(feature = "simt", track_caller)]
            #[inline(always)]
            unsafe fn multiply<E: Element>(acc: &mut $acc, a: u64, b: u64) {
                // SAFETY: the caller's promise.
                unsafe { E::$($multiply)+(acc, a, b) }
            }

            #[cfg_attr(feature = "simt", track_caller)]
            #[inline(always)]
            unsafe fn wait(acc: &mut $acc) {
                // SAFETY: the caller's promise.
                unsafe { wgmma::$wait::<0>(acc) }
            }

            #[inline(always)]
            fn four(acc: &$acc, column: usize) -> [f32; 4] {
                if 8 * column >= $rows {
                    return [0.0; 4];
                }
                [acc[4 * column], acc[4 * column + 1], acc[4 * column + 2], acc[4 * column + 3]]
            }
        }
    };
}

width! {
    /// 64 tokens, or fewer.
    N64, 64, 1, Acc64, wait_64, multiply_64::<true>
}
width! {
    /// 128 tokens.
    N128, 128, 1, Acc128, wait_128, multiply_128
}
width! {
    /// 256 tokens.
    N256, 256, 1, Acc256, wait_256, multiply_256_k_major
}
width! {
    /// 192 tokens, for two CTAs at once.
    Pair192, 192, 2, Acc192, wait_192, multiply_192
}
width! {
    /// 256 tokens, for two CTAs at once.
    Pair256, 256, 2, Acc256, wait_256, multiply_256_k_major
}
