//! The right warpgroup: output columns 256–511.

use super::config::*;
use super::exchange;
use super::output::{add_last, update};
use crate::attention::softmax;
use crate::decode::dense::barriers::{Ring, consumed, release, wait_published};
use crate::decode::dense::load_row_factors;
use crate::decode::header::Header;
use crate::ptx::wgmma::{Acc64, Acc256};
use crate::ptx::{mbarrier, registers};

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
    pub unsafe fn piece(&mut self, shared: u32, o: &mut Acc256) -> (Header, [f32; 2]) {
        // SAFETY: zero bits are 0.0; the warpgroup is converged, and every wait below stands before the use it protects.
        unsafe {
            let (mut first, mut second): (Acc64, Acc64) = core::mem::zeroed();
            loop {
                mbarrier::wait(self.ring.barrier(shared, VALUES_FULL), self.ring.parity);
                let header = Header::load(self.ring.header(shared, VALUES_HEADERS));
                if header.is_end() {
                    return (header, [0.0; 2]);
                }
                wait_published();
                let (factors, p) = (load_row_factors(shared), exchange::load(shared));
                consumed();
                softmax::scale_rows(o, factors);
                let v = registers::opaque(self.ring.tile(shared, V_TILE) + V_HALF_BYTES);
                update(o, [&mut first, &mut second], &p, v);
                release(self.ring.barrier(shared, VALUES_EMPTY));
                add_last(o, &second);
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
