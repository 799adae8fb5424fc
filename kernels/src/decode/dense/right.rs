//! The right warpgroup: output columns 256–511.

use seq_macro::seq;

use super::barriers::{Ring, consumed, release, wait_published};
use super::blocks::Blocks;
use super::config::*;
use crate::attention::rows;
use crate::attention::softmax;
use crate::decode::header::Header;
use crate::decode::tail;
use crate::ptx::wgmma::{self, Acc256};
use crate::ptx::{mbarrier, shared as memory};
use crate::tile::descriptor;
use crate::tile::element::Element;

/// What the warpgroup keeps from piece to piece.
pub struct Right {
    ring: Ring,
}

impl Right {
    /// Before the first piece.
    #[inline(always)]
    pub fn new() -> Self {
        Self { ring: Ring::new() }
    }

    /// Computes the right half of the next piece's output, which is zero before, not yet normalised; by what to
    /// normalise it, and the header of its last block. The last header of all is the end's.
    ///
    /// # Safety
    /// The four warps of the warpgroup call it, converged.
    #[inline(always)]
    pub unsafe fn piece<E: Element, B: Blocks>(
        &mut self,
        shared: u32,
        o: &mut Acc256,
    ) -> (Header, [f32; 2]) {
        // SAFETY: the warpgroup is converged, and every wait below stands before the use it protects.
        unsafe {
            loop {
                mbarrier::wait(self.ring.barrier(shared, RIGHT_FULL), self.ring.parity);
                let header = Header::load(self.ring.header(shared, RIGHT_HEADERS));
                if header.is_end() {
                    return (header, [0.0; 2]);
                }
                wait_published();
                softmax::scale_rows(o, load_row_factors(shared));
                let v = self.ring.tile(shared, LEFT_TILES);
                if let Some(rows) = B::head(&header) {
                    tail::clear::<RIGHT_GROUP>(v, rows);
                }
                if let Some(tail) = B::tail(&header) {
                    tail::clear::<RIGHT_GROUP>(v, tail);
                }
                let (p, v) = (descriptor::k_major(shared + P), descriptor::mn_major(v));
                wgmma::fence();
                seq!(K in 0..4 {
                    let a = descriptor::k_major_step(p, K);
                    let b = descriptor::mn_major_step(v, K);
                    E::multiply_256(o, a, b);
                });
                wgmma::commit();
                wgmma::wait_256::<0>(o);
                consumed();
                release(self.ring.barrier(shared, RIGHT_EMPTY));
                self.ring.advance();
                if header.is_last() {
                    wait_published();
                    let normaliser = load_row_factors(shared);
                    consumed();
                    return (header, normaliser);
                }
            }
        }
    }
}

/// By what to multiply this thread's two rows.
#[inline(always)]
pub(in crate::decode) unsafe fn load_row_factors(shared: u32) -> [f32; 2] {
    let rows = rows::fragment_rows();
    // SAFETY: the rows are below 64.
    unsafe {
        [
            memory::load_f32(shared + ROW_FACTORS + rows[0] * 4),
            memory::load_f32(shared + ROW_FACTORS + rows[1] * 4),
        ]
    }
}
