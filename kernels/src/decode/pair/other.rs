//! The *other* warpgroup: this CTA's half of the output of the other CTA's rows.

use super::config::*;
use super::message::Receiver;
use crate::attention::softmax;
use crate::decode::dense::barriers::release;
use crate::decode::header::Header;
use crate::decode::output::issue_output;
use crate::decode::ring::Ring;
use crate::ptx::mbarrier;
use crate::ptx::wgmma::{self, Acc256};
use crate::tile::element::Element;

/// What the warpgroup keeps from piece to piece.
pub struct Other {
    receiver: Receiver,
    v: Ring<STAGES>,
}

impl Other {
    /// Before the first piece.
    #[inline(always)]
    pub fn new() -> Self {
        Self { receiver: Receiver::new(), v: Ring::new() }
    }

    /// Computes half of the output of the other CTA's next piece, which is zero before, not yet normalised; by what to
    /// normalise it, and the header of its last block. The last header of all is the end's.
    ///
    /// # Safety
    /// The four warps of the warpgroup call it, converged; the other CTA computes a piece of as many blocks.
    #[inline(always)]
    pub unsafe fn piece<E: Element>(&mut self, shared: u32, o: &mut Acc256) -> (Header, [f32; 2]) {
        // SAFETY: the warpgroup is converged, and every wait below stands before the use it protects.
        unsafe {
            loop {
                // It has landed, too: *own* has multiplied it.
                mbarrier::wait(self.v.barrier(shared, V_READY), self.v.parity);
                let header = Header::load(self.v.header(shared));
                if header.is_end() {
                    return (header, [0.0; 2]);
                }
                let (p, factors) = self.receiver.receive(shared);
                softmax::scale_rows(o, factors);
                issue_output::<E>(o, &p, self.v.tiles(shared));
                self.receiver.release(shared);
                wgmma::wait_256::<0>(o);
                release(self.v.barrier(shared, V_EMPTY));
                self.v.advance();
                if header.is_last() {
                    return (header, self.receiver.receive_normaliser(shared));
                }
            }
        }
    }
}
