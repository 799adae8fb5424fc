//! TMA into a ring of boxes in shared memory, and nothing else: how fast the boxes come.
//!
//! The working set is a cache of `blocks` blocks of 64 tokens, cut into boxes of 64 × 64 elements as the decode
//! kernel cuts it: box `9 b + t` has the columns `64 t…` of block `b`. A receiver (a CTA, or a cluster with
//! multicast) begins at a block of its own, and goes on from box to box, from the last one to the first. Of each
//! box it reads the first and the last word, so that its sum tells what it has received.

use super::abi::RingParams;
use crate::decode::dense::config::QK_TILES;
use crate::tile::swizzle::{CHUNK_BYTES, ROW_CHUNKS, TILE, TILE_BYTES, chunk_offset};

/// Threads per CTA: a warp that receives and, with multicast, one that sends.
pub const THREADS: u32 = 64;
/// Boxes in the ring: 192 KB, as much as the decode kernel has under way.
pub const RING_BOXES: u32 = 24;
/// Boxes of a block.
pub const BLOCK_BOXES: u32 = QK_TILES;
/// Bytes of a box.
pub const BOX_BYTES: u32 = TILE_BYTES;
/// First mbarrier, in bytes from the start of shared memory.
const BARRIERS: u32 = RING_BOXES * BOX_BYTES;
/// Dynamic shared memory, in bytes: the boxes, two mbarriers for each.
pub const SHARED_BYTES: u32 = BARRIERS + 2 * 8 * RING_BOXES;

/// Where the words lie in a box that the sum is made of: columns 0–1 of row 0, columns 62–63 of row 63.
pub const PROBES: [u32; 2] =
    [chunk_offset(0, 0), chunk_offset(TILE - 1, ROW_CHUNKS - 1) + CHUNK_BYTES - 4];

/// Block that receiver `index` of `receivers` begins with.
const fn first_block(blocks: u32, index: u32, receivers: u32) -> u32 {
    (blocks as u64 * index as u64 / receivers as u64) as u32
}

/// A box on the walk over the working set.
#[derive(Clone, Copy)]
struct Place {
    block: u32,
    tile: u32,
    blocks: u32,
}

impl Place {
    #[inline(always)]
    const fn first(blocks: u32, index: u32, receivers: u32) -> Self {
        Self { block: first_block(blocks, index, receivers), tile: 0, blocks }
    }

    /// Goes on by `boxes`, at most those of a block.
    #[inline(always)]
    const fn advance(&mut self, boxes: u32) {
        self.tile += boxes;
        if self.tile >= BLOCK_BOXES {
            self.tile -= BLOCK_BOXES;
            self.block += 1;
            if self.block == self.blocks {
                self.block = 0;
            }
        }
    }
}

/// The sum that receiver `index` of `receivers` leaves behind. `word` is word number `w` of row `r` of block `b`,
/// two elements, as `word(b, r, w)`.
#[must_use]
#[inline]
pub fn expected_sum(
    params: &RingParams,
    index: u32,
    receivers: u32,
    word: impl Fn(u32, u32, u32) -> u32,
) -> u32 {
    const BOX_WORDS: u32 = TILE / 2;
    let mut place = Place::first(params.blocks, index, receivers);
    let mut sum = 0u32;
    for _ in 0..params.boxes {
        let first = place.tile * BOX_WORDS;
        sum = sum.wrapping_add(word(place.block, 0, first));
        sum = sum.wrapping_add(word(place.block, TILE - 1, first + BOX_WORDS - 1));
        place.advance(1);
    }
    sum
}

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::{multicast, plain};

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use super::*;
    use crate::ptx::tma::{self, TensorMapAddress};
    use crate::ptx::{barrier, cluster, fence, global, mbarrier, shared as memory, special};

    #[inline(always)]
    const fn coordinates(place: &Place) -> [u32; 4] {
        [place.tile * TILE, 0, 0, place.block]
    }

    /// A stage of a ring of `STAGES`, and the parity of its current use.
    #[derive(Clone, Copy)]
    struct Stage<const STAGES: u32> {
        index: u32,
        parity: u32,
    }

    impl<const STAGES: u32> Stage<STAGES> {
        const BOXES: u32 = RING_BOXES / STAGES;
        const BYTES: u32 = Self::BOXES * BOX_BYTES;

        /// Goes on by `stages`, which divide the ring.
        #[inline(always)]
        fn advance(&mut self, stages: u32) {
            self.index += stages;
            if self.index >= STAGES {
                self.index -= STAGES;
                self.parity ^= 1;
            }
        }

        #[inline(always)]
        fn buffer(&self) -> u32 {
            memory::base() + self.index * Self::BYTES
        }

        /// The boxes have landed: one arrival, and their bytes.
        #[inline(always)]
        fn full(&self) -> u32 {
            memory::base() + BARRIERS + 8 * self.index
        }

        /// The boxes have been read: one arrival from each CTA of the cluster, in the CTA that loads the stage.
        #[inline(always)]
        fn empty(&self) -> u32 {
            self.full() + 8 * STAGES
        }

        /// Sum of the probes of all boxes.
        #[inline(always)]
        unsafe fn probe(&self) -> u32 {
            let mut sum = 0u32;
            let mut i = 0;
            while i < Self::BOXES {
                let at = self.buffer() + i * BOX_BYTES;
                // SAFETY: inside the stage, aligned.
                let words = unsafe { PROBES.map(|probe| memory::load_u32(at.wrapping_add(probe))) };
                sum = sum.wrapping_add(words[0]).wrapping_add(words[1]);
                i += 1;
            }
            sum
        }
    }

    /// Thread 0 makes the barriers of `STAGES` stages, and announces the bytes of the first `used` fills.
    #[inline(always)]
    unsafe fn init<const STAGES: u32>(readers: u32, used: u32) {
        if special::thread_index() == 0 {
            let mut stage = Stage::<STAGES> { index: 0, parity: 0 };
            while stage.index < STAGES && stage.parity == 0 {
                // SAFETY: 8-byte aligned, inside shared memory, not yet in use.
                unsafe {
                    mbarrier::init(stage.full(), 1);
                    mbarrier::init(stage.empty(), readers);
                    if stage.index < used {
                        mbarrier::arrive_expect(stage.full(), Stage::<STAGES>::BYTES);
                    }
                }
                stage.advance(1);
            }
            fence::mbarrier_init();
        }
        // SAFETY: all threads are here.
        unsafe { barrier::sync_threads() };
    }

    /// Every CTA loads for itself; one warp does everything.
    ///
    /// # Safety
    /// As for the entry point.
    #[inline(always)]
    pub unsafe fn plain(map: TensorMapAddress, params: &RingParams) {
        const STAGES: u32 = RING_BOXES;
        let boxes = params.boxes;
        // SAFETY: a stage is loaded when it is new or has been read.
        unsafe {
            init::<STAGES>(1, boxes);
            if special::warp() != 0 {
                return;
            }
            tma::prefetch(map);
            let first = special::lane() == 0;
            let mut place = Place::first(params.blocks, special::cta_x(), special::grid_x());
            let mut stage = Stage::<STAGES> { index: 0, parity: 0 };
            let mut loaded = 0;
            while loaded < boxes && loaded < STAGES {
                if first {
                    tma::load_4d_normal(map, stage.buffer(), stage.full(), coordinates(&place));
                }
                place.advance(1);
                stage.advance(1);
                loaded += 1;
            }
            let mut sum = 0u32;
            let mut stage = Stage::<STAGES> { index: 0, parity: 0 };
            let mut received = 0;
            while received < boxes {
                mbarrier::wait(stage.full(), stage.parity);
                if first {
                    sum = sum.wrapping_add(stage.probe());
                    if loaded < boxes {
                        mbarrier::arrive_expect(stage.full(), BOX_BYTES);
                        tma::load_4d_normal(map, stage.buffer(), stage.full(), coordinates(&place));
                    }
                }
                place.advance(1);
                loaded += 1;
                stage.advance(1);
                received += 1;
            }
            store(params, sum);
        }
    }

    /// The CTA's sum, which lane 0 has.
    #[inline(always)]
    unsafe fn store(params: &RingParams, sum: u32) {
        if special::lane() == 0 {
            let sums = params.sums as *mut u32;
            // SAFETY: the CTA has a place in the array.
            unsafe { global::store_u32(sums.add(special::cta_x() as usize), sum) };
        }
    }

    /// Clusters of two CTAs load everything for both: the stages in turn, each into both rings.
    ///
    /// # Safety
    /// As for the entry point.
    #[inline(always)]
    pub unsafe fn multicast<const STAGES: u32>(map: TensorMapAddress, params: &RingParams) {
        const CTAS: u32 = 2;
        let fills = params.boxes / Stage::<STAGES>::BOXES;
        // SAFETY: both CTAs stay until both are done.
        unsafe {
            init::<STAGES>(CTAS, fills);
            cluster::arrive();
            cluster::wait();
            if special::warp() == 0 {
                receive::<STAGES>(params, fills);
            } else {
                send::<STAGES>(map, params, fills);
            }
            cluster::arrive();
            cluster::wait();
        }
    }

    /// Reads every stage of this CTA's ring as it fills, and tells the CTA that loads it.
    #[inline(always)]
    unsafe fn receive<const STAGES: u32>(params: &RingParams, fills: u32) {
        let mut sum = 0u32;
        let mut stage = Stage::<STAGES> { index: 0, parity: 0 };
        let mut received = 0;
        // SAFETY: the stage is read between its barriers; the other CTA waits at the end of the kernel.
        unsafe {
            while received < fills {
                mbarrier::wait(stage.full(), stage.parity);
                if special::lane() == 0 {
                    sum = sum.wrapping_add(stage.probe());
                    if received + STAGES < fills {
                        mbarrier::arrive_expect(stage.full(), Stage::<STAGES>::BYTES);
                        let loader = stage.index % 2;
                        mbarrier::arrive_cluster(cluster::map_address(stage.empty(), loader));
                    }
                }
                stage.advance(1);
                received += 1;
            }
            store(params, sum);
        }
    }

    /// Loads every second stage of both rings.
    #[inline(always)]
    unsafe fn send<const STAGES: u32>(map: TensorMapAddress, params: &RingParams, fills: u32) {
        const { assert!(STAGES.is_multiple_of(2)) };
        let boxes = Stage::<STAGES>::BOXES;
        let rank = cluster::rank();
        tma::prefetch(map);
        let mut place = Place::first(params.blocks, special::cta_x() / 2, special::grid_x() / 2);
        place.advance(rank * boxes);
        let mut stage = Stage::<STAGES> { index: rank, parity: 0 };
        let mut fill = rank;
        while fill < fills {
            // SAFETY: both CTAs have read what the stage held and expect its bytes; neither has ended.
            unsafe {
                // The first time nobody has to have read anything.
                mbarrier::wait(stage.empty(), stage.parity ^ 1);
                let mut i = 0;
                while i < boxes {
                    if special::lane() == 0 {
                        let at = stage.buffer() + i * BOX_BYTES;
                        tma::load_4d_multicast(map, at, stage.full(), coordinates(&place), 0b11);
                    }
                    place.advance(1);
                    i += 1;
                }
            }
            // Past what the other CTA loads.
            place.advance(boxes);
            stage.advance(2);
            fill += 2;
        }
    }
}

const _: () = assert!(SHARED_BYTES <= 232_448, "a CTA on sm_90 has at most 227 KB");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_begin_apart() {
        let firsts: [u32; 132] = core::array::from_fn(|i| first_block(60_000, i as u32, 132));
        assert!(firsts.is_sorted_by(|a, b| a < b));
        assert!(firsts[0] == 0 && firsts[131] < 60_000);
    }
}
