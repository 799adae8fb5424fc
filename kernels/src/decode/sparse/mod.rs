//! Sparse attention: each query token attends to the tokens of a cache that a list of its own names.
//!
//! To the schedule a query token with its list is what a request is to the [dense kernel](super::dense), whose left and right
//! warpgroup, softmax, results and merge these kernels have. Only how a block of K gets into shared memory is another, and
//! which of its tokens count:
//!
//! ```text
//! gatherers               producer                   left and right warpgroup
//! rows of block j+1  ──►  landed: fence, header,  ──►  as in the dense kernel, over block j
//! by cp.async             mask, pass on
//!              ◄───────────────────────────────────    left tiles free, right tiles free
//! ```
//!
//! Rows of indices that name nothing are filled with zeros, and nothing is read for them; the mask hides their scores.
//!
//! *Decode* divides the lists evenly among all CTAs, and merges what it has split. *Prefill* gives every CTA whole lists, one
//! after the other: neighbours attend to much the same tokens at about the same time, which are in L2 then.

pub mod abi;
pub mod config;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod gatherer;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod listed;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(in crate::decode) mod lists;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod order;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod producer;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod work;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::run;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(in crate::decode) use listed::Listed;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(in crate::decode) use work::Work;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use work::{Decode, Prefill};

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use super::abi::SparseParams;
    use super::config::*;
    use super::listed::Listed;
    use super::work::Work;
    use super::{gatherer, producer};
    use crate::attention::rows::Tile;
    use crate::decode::dense::config::{DESK, PRODUCER_WARP, STAGES};
    use crate::decode::dense::math::AsCached;
    use crate::decode::dense::{barriers, multiply};
    use crate::ptx::tma::TensorMapAddress;
    use crate::ptx::{mbarrier, registers, shared, special};
    use crate::tile::element::Element;

    /// The kernel, for queries of `D_QK` dimensions.
    ///
    /// # Safety
    /// As for the entry point.
    #[inline(always)]
    pub unsafe fn run<E: Element, W: Work, const D_QK: u32>(
        q: TensorMapAddress,
        params: &SparseParams,
    ) {
        let shared = shared::base();
        // SAFETY: every thread of the CTA is here, and nobody has used the barriers.
        unsafe { init(shared) };

        let tile = Tile::new(&params.decode, special::cta_x());
        // SAFETY: whole warps take each branch; the launcher vouches for the parameters.
        unsafe {
            let part = special::cta_y();
            let warp = special::warp();
            if warp < PRODUCER_WARP {
                registers::increase::<CONSUMER_REGISTERS>();
                let listed = Listed::<W, D_QK>::new(params);
                multiply::<AsCached<E>, _>(&params.decode, &tile, &listed, shared);
                W::merge::<E>(params, &tile, DESK.at(shared));
            } else {
                registers::decrease::<GATHERER_REGISTERS>();
                if warp == PRODUCER_WARP {
                    producer::run::<W, D_QK>(q, params, &tile, part, shared);
                } else {
                    gatherer::run::<D_QK>(params, warp - GATHERER_WARP, shared);
                    // Hidden from the compiler, which would keep the warp's number through all of the above.
                    let warp = registers::opaque(special::thread_index()) / 32;
                    W::clear_empty::<E>(params, &tile, part, warp - GATHERER_WARP);
                }
            }
        }
    }

    /// Initialises the mbarriers of gathered tiles and of orders, and then those of the dense kernel, which makes all of them visible.
    ///
    /// # Safety
    /// All threads of the CTA call it, first of all.
    #[inline(always)]
    unsafe fn init(shared: u32) {
        // SAFETY: 8-byte aligned, inside shared memory, not yet in use; all threads are here.
        unsafe {
            if special::thread_index() == 0 {
                let mut i = 0;
                while i < 2 * STAGES {
                    mbarrier::init(shared + LEFT_LANDED + 8 * i, GATHERERS);
                    i += 1;
                }
                let mut order = 0;
                while order < ORDERS {
                    mbarrier::init(shared + ORDER_FULL + 8 * order, 1);
                    order += 1;
                }
            }
            barriers::init::<1>(shared);
        }
    }
}
