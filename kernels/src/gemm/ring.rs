//! The ring of stages: its barriers, and a position in it.

use super::config::*;
use super::width::Width;
use crate::ptx::{barrier, cluster, fence, mbarrier, shared, special};
use crate::tile::swizzle::{CHUNK_BYTES, ROW_BYTES, TILE_BYTES};

/// Initialises the barriers and clears the rows of `x` that are never loaded, those from `x_rows` on of every tile, and
/// makes both visible to the cluster and to TMA.
///
/// # Safety
/// All threads of the CTA call it, first of all.
#[inline(always)]
pub unsafe fn init<W: Width>(shared: u32, x_rows: u32) {
    if special::thread_index() == 0 {
        let mut stage = 0;
        while stage < W::STAGES {
            // SAFETY: 8-byte aligned, inside shared memory, not yet in use.
            unsafe {
                mbarrier::init(shared + FULL + 8 * stage, 1);
                mbarrier::init(shared + EMPTY + 8 * stage, W::CLUSTER * CONSUMER_WARPS);
            }
            stage += 1;
        }
        fence::mbarrier_init();
    }
    if x_rows < TILE {
        // SAFETY: nobody reads the ring yet.
        unsafe { clear_missing_rows::<W>(shared, x_rows) };
    }
    // SAFETY: all threads are here.
    unsafe {
        barrier::sync_threads();
        if W::CLUSTER > 1 {
            cluster::arrive();
            cluster::wait();
        }
    }
}

/// Clears rows `x_rows…` of the tiles of `x`. Tokens that there are not are multiplied like the others, and zeros draw
/// the least power.
#[inline(always)]
unsafe fn clear_missing_rows<W: Width>(base: u32, x_rows: u32) {
    let first = x_rows * ROW_BYTES + CHUNK_BYTES * special::thread_index();
    let mut ring = Ring::new(base);
    while ring.parity == 0 {
        let mut tile = 0;
        while tile < W::ROWS / TILE {
            let mut offset = first;
            while offset < TILE_BYTES {
                // SAFETY: 16-byte aligned, inside a tile of the ring.
                unsafe { shared::store_zero_16(ring.x::<W>(tile) + offset) };
                offset += CHUNK_BYTES * THREADS;
            }
            tile += 1;
        }
        ring.advance::<W>();
    }
    fence::proxy_async_shared();
}

/// One arrival per warp in every CTA that loads the stage whose barrier is `empty`, after all lanes of the warp are done
/// with it.
///
/// # Safety
/// All lanes of a warp that multiplies call it, converged; the other CTA has not ended.
#[inline(always)]
pub unsafe fn release<W: Width>(empty: u32) {
    let lane = special::lane();
    // SAFETY: a barrier that counts the warps that multiply.
    unsafe {
        if W::CLUSTER == 1 {
            if lane == 0 {
                mbarrier::arrive(empty);
            }
        } else if lane < W::CLUSTER {
            mbarrier::arrive_cluster(cluster::map_address(empty, lane));
        }
    }
}

/// Position in the ring: which stage, and the parity of its current use. Producer and consumers walk over the same
/// blocks in the same order, and each keeps its own.
#[derive(Clone, Copy)]
pub struct Ring {
    shared: u32,
    stage: u32,
    /// Parity of the phase in which the stage is filled.
    pub parity: u32,
}

impl Ring {
    /// Before the first block.
    #[inline(always)]
    pub const fn new(shared: u32) -> Self {
        Self { shared, stage: 0, parity: 0 }
    }

    /// Goes on to the next block.
    #[inline(always)]
    pub fn advance<W: Width>(&mut self) {
        self.stage += 1;
        if self.stage == W::STAGES {
            self.stage = 0;
            self.parity ^= 1;
        }
    }

    /// Address of tile `tile` of the weight in the current stage.
    #[inline(always)]
    pub fn weight<W: Width>(&self, tile: u32) -> u32 {
        self.shared + RING + self.stage * W::STAGE_BYTES + tile * TILE_BYTES
    }

    /// Address of tile `tile` of `x` in the current stage.
    #[inline(always)]
    pub fn x<W: Width>(&self, tile: u32) -> u32 {
        self.weight::<W>(WEIGHT_TILES + tile)
    }

    /// Address of the barrier that says that the stage has landed.
    #[inline(always)]
    pub fn full(&self) -> u32 {
        self.shared + FULL + 8 * self.stage
    }

    /// Address of the barrier that says that it may be overwritten.
    #[inline(always)]
    pub fn empty(&self) -> u32 {
        self.shared + EMPTY + 8 * self.stage
    }
}
