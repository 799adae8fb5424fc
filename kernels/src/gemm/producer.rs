//! The producer warp: brings blocks of `x` and the weight into shared memory as soon as there is room.

use super::Maps;
use super::config::*;
use super::ring::Ring;
use super::tiles::{Item, Tiles};
use super::width::Width;
use crate::ptx::{mbarrier, special, tma};

/// Runs the producer.
///
/// # Safety
/// One converged warp calls it; the maps are valid for the launch.
#[inline(always)]
pub unsafe fn run<W: Width>(maps: Maps, tiles: &Tiles, shared: u32) {
    tma::prefetch(maps.x);
    tma::prefetch(maps.weight);
    tma::prefetch(maps.y);
    let mut ring = Ring::new(shared);
    let mut index = special::cta_x();
    while index < tiles.items() {
        let item = tiles.item(index);
        let mut block = item.block;
        while block < item.end {
            // SAFETY: the stage is empty when it is loaded; the warp is converged.
            unsafe {
                mbarrier::wait(ring.empty(), ring.parity ^ 1);
                if special::lane() == 0 {
                    load::<W>(maps, &item, block, &ring);
                }
            }
            ring.advance::<W>();
            block += 1;
        }
        index += special::grid_x();
    }
}

/// Issues the boxes of a block.
#[inline(always)]
unsafe fn load<W: Width>(maps: Maps, item: &Item, block: u32, ring: &Ring) {
    let (full, input) = (ring.full(), block * TILE);
    // SAFETY: the stage is empty; the barrier expects exactly these boxes.
    unsafe {
        mbarrier::arrive_expect(full, W::STAGE_BYTES);
        let mut tile = 0;
        while tile < WEIGHT_TILES {
            let at = [input, item.column + tile * TILE, item.batch, 0];
            tma::load_4d_normal(maps.weight, ring.weight::<W>(tile), full, at);
            tile += 1;
        }
        let mut tile = 0;
        while tile < W::ROWS / TILE {
            let at = [input, item.row + tile * TILE, item.batch, 0];
            tma::load_4d_normal(maps.x, ring.x::<W>(tile), full, at);
            tile += 1;
        }
    }
}
