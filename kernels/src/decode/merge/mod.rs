//! Merge of split requests, at the end of the decode kernel.
//!
//! A row is the sum of its partial outputs, weighted by 2^(their LSE − the common LSE). The CTAs that worked on a
//! tile of a request share its columns among each other: each waits until all partial results of the tile are
//! there, and merges its share of them. That is why the CTAs of a launch with split requests must all be on the
//! GPU together (a cooperative launch). Whoever comes last to the counter of arrivals clears it for the next launch.
//!
//! Pieces are added up in an order that does not depend on who comes when, so that two runs agree bit by bit.
//! Requests without tokens, which nobody visits, get their 0 and −∞ here.
//!
//! The producer waits and hands out *tasks*; eight warps do them. A *unit* of one is 16 rows of a pair of chunks.
//! Partial outputs lie in memory as a warpgroup's registers held them, so that a warp loads whole cache lines.

/// Warps that merge.
pub const WARPS: u32 = 8;
/// Bytes of shared memory of a task.
pub const TASK_BYTES: u32 = 32;
/// Bytes of shared memory that teams of warps exchange sums through.
pub const SCRATCH_BYTES: u32 = WARPS * SUMS * 32 * 4;
/// Where a kernel keeps what the merge needs, in bytes from the start of shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Desk {
    /// [`TASK_BYTES`] for a task.
    pub task: u32,
    /// mbarrier: a task has been handed out; one arrival.
    pub full: u32,
    /// mbarrier: it is done; one arrival for each of the [`WARPS`].
    pub empty: u32,
    /// [`SCRATCH_BYTES`], free when the last piece is done.
    pub scratch: u32,
}

impl Desk {
    /// The same as addresses, in a CTA whose shared memory starts at `shared`.
    #[must_use]
    pub const fn at(self, shared: u32) -> Self {
        let Self { task, full, empty, scratch } = self;
        Self {
            task: shared + task,
            full: shared + full,
            empty: shared + empty,
            scratch: shared + scratch,
        }
    }
}

/// Numbers that a lane of a team hands over: reference and sum of two rows, and its columns.
const SUMS: u32 = 12;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod empty;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod share;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod sums;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod task;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::{hand_out, run};
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use empty::clear_empty_requests;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use super::share::Share;
    use super::task::Task;
    use super::{Desk, WARPS};
    use crate::abi::DenseDecodeParams;
    use crate::attention::epilogue;
    use crate::attention::rows::Tile;
    use crate::attention::sink::Sinks;
    use crate::decode::walk::{Requests, Walk};
    use crate::ptx::{global, mbarrier, special, warp};
    use crate::tile::element::Element;

    /// The producer's end: a task for each split request of `walk`, when all its pieces have arrived.
    ///
    /// # Safety
    /// One converged warp calls it; everything that the CTA itself contributes is under way.
    #[inline(always)]
    pub unsafe fn hand_out<R: Requests>(
        params: &DenseDecodeParams,
        tile: &Tile,
        mut walk: Walk<R>,
        desk: Desk,
    ) {
        let mut parity = 0;
        // SAFETY: the counters are valid; a task is written when the one before it is done.
        unsafe {
            while let Some(share) = walk.next_shared() {
                let task = Task::new(&share);
                let arrivals = epilogue::arrivals(params, tile, task.request);
                let there = task.pieces * WARPS;
                if special::lane() == 0 {
                    global::wait_at_least(arrivals, there);
                    task.store(desk.task);
                    mbarrier::arrive(desk.full);
                    // Who has seen the counter needs it no more: the last of them clears it, beside the merge.
                    if global::add_relaxed_u32(arrivals, 1) + 1 == there + task.parts {
                        global::store_relaxed_u32(arrivals, 0);
                    }
                }
                mbarrier::wait(desk.empty, parity);
                parity ^= 1;
            }
            if special::lane() == 0 {
                Task::END.store(desk.task);
                mbarrier::arrive(desk.full);
            }
        }
    }

    /// Does the tasks.
    ///
    /// # Safety
    /// The first eight warps of the CTA call it, each converged, after they have written their results.
    #[inline(always)]
    pub unsafe fn run<E: Element>(
        params: &DenseDecodeParams,
        tile: &Tile,
        sinks: Sinks,
        desk: Desk,
    ) {
        let mut parity = 0;
        // SAFETY: whole warps, and all of them follow the same tasks.
        unsafe {
            loop {
                mbarrier::wait(desk.full, parity);
                parity ^= 1;
                let task = Task::load(desk.task);
                if task.parts == 0 {
                    return;
                }
                Share { params, tile, sinks, task, scratch: desk.scratch }.merge::<E>();
                warp::sync();
                if special::lane() == 0 {
                    mbarrier::arrive(desk.empty);
                }
            }
        }
    }
}
