//! The producer warp: brings blocks of `x` and the weight into shared memory as soon as there is room.

use super::Maps;
use super::config::*;
use super::ring::Ring;
use super::tiles::{Item, Tiles};
use super::width::Width;
use crate::ptx::{cluster, mbarrier, special, tma};
use crate::tile::swizzle::{ROW_BYTES, TILE_BYTES};

/// Runs the producer.
///
/// # Safety
/// One converged warp calls it; the maps are valid for the launch.
#[inline(always)]
pub unsafe fn run<W: Width>(maps: Maps, tiles: &Tiles, x_rows: u32, shared: u32) {
    let mut ring = Ring::new(shared);
    let mut index = special::cta_x() / W::CLUSTER;
    while index < tiles.items() {
        let item = tiles.item(index).of_cta::<W>();
        let mut block = item.block;
        while block < item.end {
            // SAFETY: the stage is empty when it is loaded; the warp is converged.
            unsafe {
                mbarrier::wait(ring.empty(), ring.parity ^ 1);
                if special::lane() == 0 {
                    load::<W>(maps, tiles, &item, [block, x_rows], &ring);
                }
            }
            ring.advance::<W>();
            block += 1;
        }
        index += special::grid_x() / W::CLUSTER;
    }
}

/// Issues this CTA's boxes of a block.
#[inline(always)]
unsafe fn load<W: Width>(
    maps: Maps,
    tiles: &Tiles,
    item: &Item,
    [block, x_rows]: [u32; 2],
    ring: &Ring,
) {
    let (full, input) = (ring.full(), block * TILE);
    let weight_tiles = tiles.weight_tiles(item.column);
    // SAFETY: the stage is empty in all CTAs; the barrier expects exactly these boxes, and those that the other CTA loads
    // here.
    unsafe {
        let bytes = weight_tiles * TILE_BYTES + W::ROWS / TILE * x_rows * ROW_BYTES;
        mbarrier::arrive_expect(full, bytes);
        let mut tile = 0;
        while tile < weight_tiles {
            let at = [input, item.column + tile * TILE, item.batch, 0];
            // The L2 need not keep what nobody else will read.
            if tiles.reads_weight_once() {
                tma::load_4d(maps.weight, ring.weight::<W>(tile), full, at);
            } else {
                tma::load_4d_normal(maps.weight, ring.weight::<W>(tile), full, at);
            }
            tile += 1;
        }
        let (mut tile, end) = share::<W>(block);
        while tile < end {
            let at = [input, item.row + tile * TILE, item.batch, 0];
            if W::CLUSTER == 1 {
                tma::load_4d_normal(maps.x, ring.x::<W>(tile), full, at);
            } else {
                let all = (1 << W::CLUSTER) - 1;
                tma::load_4d_multicast(maps.x, ring.x::<W>(tile), full, at, all);
            }
            tile += 1;
        }
    }
}

/// The tiles of `x` that this CTA loads of a block, for all of its cluster: from the first to the second. Of an odd
/// number, the two CTAs have the larger half in turns.
#[inline(always)]
fn share<W: Width>(block: u32) -> (u32, u32) {
    let tiles = W::ROWS / TILE;
    if W::CLUSTER == 1 {
        return (0, tiles);
    }
    let middle = (tiles + block % 2) / 2;
    if cluster::rank() == 0 { (0, middle) } else { (middle, tiles) }
}
