//! The right warpgroup: output columns 256–511.

use seq_macro::seq;

use super::barriers::{Ring, consumed, release, wait_published};
use super::config::*;
use super::tail;
use crate::abi::DenseDecodeParams;
use crate::attention::epilogue;
use crate::attention::rows::{self, Tile};
use crate::attention::softmax;
use crate::decode::walk::Walk;
use crate::ptx::wgmma::{self, Acc256};
use crate::ptx::{mbarrier, shared as memory};
use crate::tile::descriptor;
use crate::tile::element::Element;

/// Runs the warpgroup.
///
/// # Safety
/// Its four warps call it, converged; `params` is valid for the launch.
#[inline(always)]
pub unsafe fn run<E: Element>(
    params: &DenseDecodeParams,
    tile: &Tile,
    mut walk: Walk,
    shared: u32,
) {
    let mut ring = Ring::new();
    // SAFETY: the warpgroup is converged, and every wait below stands before the use it protects.
    unsafe {
        while let Some(piece) = walk.next() {
            let mut o: Acc256 = core::mem::zeroed();
            let mut block = piece.blocks.start;
            while block < piece.blocks.end {
                wait_published();
                softmax::scale_rows(&mut o, load_row_factors(shared));
                mbarrier::wait(ring.barrier(shared, RIGHT_FULL), ring.parity);
                let v = ring.tile(shared, LEFT_TILES);
                if let Some(tail) = tail::rows(&piece, block) {
                    tail::clear::<RIGHT_GROUP>(v, tail);
                }
                let (p, v) = (descriptor::k_major(shared + P), descriptor::mn_major(v));
                wgmma::fence();
                seq!(K in 0..4 {
                    let a = descriptor::k_major_step(p, K);
                    let b = descriptor::mn_major_step(v, K);
                    E::multiply_256(&mut o, a, b);
                });
                wgmma::commit();
                wgmma::wait_256::<0>(&mut o);
                consumed();
                release(ring.barrier(shared, RIGHT_EMPTY));
                ring.advance();
                block += 1;
            }
            wait_published();
            let normaliser = load_row_factors(shared);
            consumed();
            let to = piece.destination();
            epilogue::store_half::<E>(params, tile, to, D_LATENT / 2, &o, normaliser);
        }
    }
}

/// By what to multiply this thread's two rows.
#[inline(always)]
unsafe fn load_row_factors(shared: u32) -> [f32; 2] {
    let rows = rows::fragment_rows();
    // SAFETY: the rows are below 64.
    unsafe {
        [
            memory::load_f32(shared + ROW_FACTORS + rows[0] * 4),
            memory::load_f32(shared + ROW_FACTORS + rows[1] * 4),
        ]
    }
}
