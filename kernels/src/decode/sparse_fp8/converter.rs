//! The converter: follows the producer from load unit to load unit, finds the unit of every piece, and makes f16 tiles.

use super::config::*;
use super::place;
use super::scale;
use crate::decode::dense::barriers::Ring;
use crate::decode::dense::config::{LEFT_FULL, LEFT_TILES, RIGHT_FULL, TILE};
use crate::decode::dense_fp8::slabs::{LoadUnit, Slabs};
use crate::decode::dense_fp8::unit::Unit;
use crate::decode::dense_fp8::{hand_over, rope, store_header};
use crate::decode::header::Header;
use crate::ptx::{mbarrier, warp};
use crate::tile::element::{Element, F16};

/// Runs the converter, until the producer says that there is no more.
///
/// # Safety
/// The three warps of the converter call it, converged.
#[inline(always)]
pub unsafe fn run<E: Element, F: Codes>(shared: u32) {
    let slabs = Slabs::<scale::TileByTile<F>>::new();
    let mut ring = Ring::new();
    let mut unit = Unit::new();
    let read = shared + CODES_READ;
    // SAFETY: the warps are converged, and every wait stands before the use it protects.
    unsafe {
        loop {
            mbarrier::wait(ring.barrier(shared, LEFT_LANDED), ring.parity);
            let header = Header::load(ring.header(shared, CODE_HEADERS));
            if header.is_end() {
                store_header(header, &ring, shared);
                // The other header came with this one.
                hand_over(ring.barrier(shared, LEFT_FULL));
                hand_over(ring.barrier(shared, RIGHT_FULL));
                return;
            }
            let mut largest = scale::largest::<F>(place::scales(&ring, shared));
            let tile = ring.tile(shared, F::TILES - 1);
            if F::ROPE_IS_V {
                mbarrier::wait(ring.barrier(shared, RIGHT_LANDED), ring.parity);
                largest = largest.max(rope::largest(tile, 0..TILE));
            }
            store_header(unit.follow(warp::max(largest), header), &ring, shared);
            let left = load_unit::<F>(&ring, shared, 0, LEFT_TILES);
            slabs.convert::<2>(&left, unit.inverse(), read);
            hand_over(ring.barrier(shared, LEFT_FULL));
            mbarrier::wait(ring.barrier(shared, RIGHT_LANDED), ring.parity);
            let right = load_unit::<F>(&ring, shared, 1, F::RIGHT_CODE_TILES);
            if F::RIGHT_CODE_TILES == LEFT_TILES {
                slabs.convert::<2>(&right, unit.inverse(), read);
            } else {
                slabs.convert::<1>(&right, unit.inverse(), read);
            }
            if !slabs.has_most() {
                if F::ROPE_IS_V {
                    rope::convert::<F16>(tile, unit.inverse());
                } else {
                    rope::convert::<E>(tile, unit.inverse());
                }
            }
            hand_over(ring.barrier(shared, RIGHT_FULL));
            ring.advance();
            if header.is_last() {
                unit = Unit::new();
            }
        }
    }
}

/// Load unit `half` of the ring's current block, which becomes `count` tiles.
#[inline(always)]
fn load_unit<F: Codes>(ring: &Ring, shared: u32, half: u32, count: u32) -> LoadUnit {
    LoadUnit {
        codes: place::codes(ring, shared, half, count),
        tiles: place::tiles(ring, shared, half),
        scales: place::scales(ring, shared) + half * (F::TOKEN_SCALE_BYTES / 2),
        half,
    }
}
