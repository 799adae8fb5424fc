//! Matrix products `y[b] [m, n] = x[b] [m, k] · weight[b] [n, k]ᵀ` of 16-bit elements, summed in f32: the projections
//! of a layer, and head by head the way into latent space and out of it.
//!
//! A CTA computes 128 outputs of 64, 128, 192 or 256 tokens, a block of 64 inputs at a time:
//!
//! ```text
//! producer                    two warpgroups
//! TMA weight [128, 64] ──►    yᵀ += weight · xᵀ     m64nNk16, the weight is the M operand,
//!     x [64…256, 64]                                tokens are N
//!             ◄──             stage free
//!                             y: transposed by stmatrix, swizzled tiles, TMA store
//! ```
//!
//! With few tokens all depends on reading the weight once at the rate of the memory. As the M operand it fills the
//! tensor cores' 64 rows whatever the number of tokens is, and missing tokens are zeros: in shared memory from the start
//! where a tile has fewer than 64 tokens, or filled in by TMA without reading anything. With many it does not matter which operand is which.
//!
//! Where there are fewer tiles than multiprocessors, CTAs share the inputs of a tile. Each writes its sums to memory,
//! waits until all are there, and adds up its part of the tile, always in the same order (`split.rs`): such a launch is
//! a cooperative one. Otherwise CTAs stay, and go on with another tile; the producer loads it while the output of the
//! one before is stored.
//!
//! Two CTAs of a cluster can compute neighbouring outputs of the same tokens: each loads half of `x` into both, so that
//! a block of 256 tokens takes 32 KB of the L2's bandwidth instead of 48.
//!
//! `tiling`, on the host, decides all of that.

pub mod abi;
pub mod config;
pub mod tiles;
#[cfg(not(target_arch = "nvptx64"))]
pub mod tiling;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod consumer;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod output;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod producer;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod ring;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod split;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod turn;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod width;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use self::{
    device::{Maps, run},
    width::{N64, N128, N256, Pair192, Pair256},
};

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use super::abi::GemmParams;
    use super::config::*;
    use super::tiles::Tiles;
    use super::width::Width;
    use super::{consumer, producer, ring, turn};
    use crate::ptx::tma::TensorMapAddress;
    use crate::ptx::{cluster, grid, registers, shared, special, tma};
    use crate::tile::element::Element;

    /// The tensor maps, as [`config`](super::config) describes them.
    #[derive(Clone, Copy)]
    pub struct Maps {
        /// Of `x`.
        pub x: TensorMapAddress,
        /// Of the weight.
        pub weight: TensorMapAddress,
        /// Of `y`.
        pub y: TensorMapAddress,
    }

    /// The kernel.
    ///
    /// # Safety
    /// As for the entry point.
    #[inline(always)]
    pub unsafe fn run<E: Element, W: Width>(maps: Maps, params: &GemmParams) {
        let (shared, warp) = (shared::base(), special::warp());
        // The next kernel may start as soon as there is room, and this one did: what it reads may not be there before
        // the wait, and what it writes may still be read.
        grid::launch_dependents();
        if warp == PRODUCER_WARP {
            tma::prefetch(maps.x);
            tma::prefetch(maps.weight);
            tma::prefetch(maps.y);
        }
        // SAFETY: every thread of the CTA is here, and nobody has used the barriers.
        unsafe { ring::init::<W>(shared, params.x_rows) };
        grid::wait();
        let tiles = Tiles::new(&params.shape, [W::ROWS, W::CLUSTER], params.splits);
        // SAFETY: whole warps take each branch; the launcher vouches for the parameters.
        unsafe {
            if warp < CONSUMER_WARPS {
                registers::increase::<CONSUMER_REGISTERS>();
                consumer::run::<E, W>(maps.y, params, &tiles, shared);
            } else {
                registers::decrease::<PRODUCER_REGISTERS>();
                if warp == PRODUCER_WARP {
                    producer::run::<W>(maps, &tiles, params.x_rows, shared);
                } else {
                    turn::run::<E>(&params.turns, warp - PRODUCER_WARP - 1);
                }
            }
            // What the other CTA loads and counts here, it does while this one is there.
            if W::CLUSTER > 1 {
                cluster::arrive();
                cluster::wait();
            }
        }
    }
}
