//! Probabilities on their way to the other CTA.
//!
//! A thread sends its fragments as they are, to the thread of the other CTA's *other* warpgroup that needs the very
//! same: nothing is transposed, and nobody waits for anybody else in its warpgroup. The bytes are counted on a barrier
//! of the receiver; that the place is free again, the receiver tells a barrier of the sender.

use seq_macro::seq;

use super::config::*;
use crate::decode::dense::config::WARPGROUP;
use crate::decode::ring::Ring;
use crate::ptx::wgmma::FragmentA;
use crate::ptx::{cluster, mbarrier, shared as memory, special, warp};

/// Bytes of a fragment of all threads.
const FRAGMENT_BYTES: u32 = WARPGROUP * 16;

/// Where this thread's part of the message at `index` begins, and its factors.
#[inline(always)]
fn places(index: u32) -> (u32, u32) {
    let message = INBOX + index * MESSAGE_BYTES;
    let thread = special::thread_index() % WARPGROUP;
    (message + 16 * thread, message + P_BYTES + 8 * thread)
}

/// Where the cluster sees `address` of the other CTA.
#[inline(always)]
fn in_peer(address: u32) -> u32 {
    cluster::map_address(address, cluster::rank() ^ 1)
}

/// The sending end.
pub struct Sender {
    ring: Ring<MESSAGES>,
}

impl Sender {
    /// Nothing sent yet.
    #[inline(always)]
    pub const fn new() -> Self {
        Self { ring: Ring::new() }
    }

    /// Waits until there is room for a message.
    ///
    /// # Safety
    /// A converged warp of *own* calls it, before it sends.
    #[inline(always)]
    pub unsafe fn wait(&self, shared: u32) {
        // SAFETY: the parity is that of the place.
        unsafe { mbarrier::wait(self.ring.barrier(shared, OUTBOX_EMPTY), self.ring.parity ^ 1) };
    }

    /// Sends the probabilities of a block, and by what to multiply earlier results.
    ///
    /// # Safety
    /// All threads of *own* call it, each warp converged, after [`Sender::wait`]; the other CTA has not ended.
    #[inline(always)]
    pub unsafe fn send(&mut self, shared: u32, p: &[FragmentA; 4], factors: [f32; 2]) {
        let (fragments, _) = places(self.ring.index);
        let full = in_peer(self.ring.barrier(shared, INBOX_FULL));
        // SAFETY: the place is free; the receiver expects these bytes.
        unsafe {
            seq!(K in 0..4 {
                let to = in_peer(shared + fragments + K * FRAGMENT_BYTES);
                cluster::store_async_u32x4(to, p[K], full);
            });
            self.send_factors(shared, factors);
        }
    }

    /// Sends factors alone: what normalises the result.
    ///
    /// # Safety
    /// As for [`Sender::send`].
    #[inline(always)]
    pub unsafe fn send_factors(&mut self, shared: u32, factors: [f32; 2]) {
        let (_, at) = places(self.ring.index);
        let full = in_peer(self.ring.barrier(shared, INBOX_FULL));
        // SAFETY: the place is free; the receiver expects these bytes.
        unsafe { cluster::store_async_f32x2(in_peer(shared + at), factors, full) };
        self.ring.advance();
    }
}

/// The receiving end.
pub struct Receiver {
    ring: Ring<MESSAGES>,
}

impl Receiver {
    /// Nothing received yet.
    #[inline(always)]
    pub const fn new() -> Self {
        Self { ring: Ring::new() }
    }

    /// Waits for the probabilities of a block, and by what to multiply earlier results.
    ///
    /// # Safety
    /// All threads of *other* call it, each warp converged; the other CTA has not ended.
    #[inline(always)]
    pub unsafe fn receive(&mut self, shared: u32) -> ([FragmentA; 4], [f32; 2]) {
        let (fragments, factors) = places(self.ring.index);
        let mut p = [[0; 4]; 4];
        // SAFETY: the message is there.
        unsafe {
            self.wait(shared, MESSAGE_BYTES);
            seq!(K in 0..4 {
                p[K] = memory::load_u32x4(shared + fragments + K * FRAGMENT_BYTES);
            });
            (p, memory::load_f32x2(shared + factors))
        }
    }

    /// Waits for the factors that normalise the result.
    ///
    /// # Safety
    /// As for [`Receiver::receive`].
    #[inline(always)]
    pub unsafe fn receive_normaliser(&mut self, shared: u32) -> [f32; 2] {
        let (_, normaliser) = places(self.ring.index);
        // SAFETY: as for `receive`.
        unsafe {
            self.wait(shared, FACTOR_BYTES);
            let normaliser = memory::load_f32x2(shared + normaliser);
            self.release(shared);
            normaliser
        }
    }

    /// Waits for a message of `bytes`. Some of them may have come before they are announced here; the phase does not
    /// complete without the arrival.
    #[inline(always)]
    unsafe fn wait(&self, shared: u32, bytes: u32) {
        let full = self.ring.barrier(shared, INBOX_FULL);
        // SAFETY: one arrival a phase.
        unsafe {
            if special::thread_index() == WARPGROUP {
                mbarrier::arrive_expect(full, bytes);
            }
            mbarrier::wait(full, self.ring.parity);
        }
    }

    /// Gives the place of what has been received back to the sender. Not at once: what waits for the message would
    /// wait for the far arrival, too, for ptxas counts both on one scoreboard.
    ///
    /// # Safety
    /// As for [`Receiver::receive`]; the lanes have used what they have read.
    #[inline(always)]
    pub unsafe fn release(&mut self, shared: u32) {
        warp::sync();
        if special::lane() == 0 {
            let empty = self.ring.barrier(shared, OUTBOX_EMPTY);
            // SAFETY: the sender waits for one arrival of each warp.
            unsafe { mbarrier::arrive_cluster(in_peer(empty)) };
        }
        self.ring.advance();
    }
}
