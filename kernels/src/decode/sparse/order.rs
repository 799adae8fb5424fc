//! What the producer tells the gatherers: the pieces, one order for each, and one ahead of the piece that is gathered.
//!
//! The producer alone follows the schedule, and the gatherers keep their registers for rows. Two orders are all there are: the
//! producer gives the next one when it has passed on all blocks of the piece before the current, which have landed, so that
//! every gatherer has long read the order for them.

use super::config::*;
use crate::decode::ring;
use crate::ptx::{mbarrier, shared as memory, special};
use crate::tile::uniform;

/// Consecutive blocks of a query token's lists.
#[derive(Clone, Copy)]
pub struct Order {
    /// The query token.
    pub request: u32,
    /// The first of the blocks, and the one behind the last: none, if there are no more pieces.
    pub blocks: [u32; 2],
    /// How many indices of its two lists count.
    pub counts: [u32; 2],
}

impl Order {
    /// No more pieces.
    pub const END: Self = Self { request: 0, blocks: [0; 2], counts: [0; 2] };

    /// Whether there are no more.
    #[inline(always)]
    pub const fn is_end(&self) -> bool {
        self.blocks[0] == self.blocks[1]
    }
}

/// Position in the ring of orders.
pub struct Orders(ring::Ring<ORDERS>);

impl Orders {
    /// Before the first.
    #[inline(always)]
    pub const fn new() -> Self {
        Self(ring::Ring::new())
    }

    /// Gives an order to the gatherers.
    ///
    /// # Safety
    /// All lanes of the producer call it, converged; the blocks of the order before the last have landed.
    #[inline(always)]
    pub unsafe fn give(&mut self, order: &Order, shared: u32) {
        let Order { request, blocks: [first, end], counts: [count, extra] } = *order;
        let at = self.address(shared);
        // SAFETY: all gatherers have read what was there.
        unsafe {
            if special::lane() == 0 {
                memory::store_u32x4(at, [request, first, end, count]);
                memory::store_u32x4(at + 16, [extra, 0, 0, 0]);
                mbarrier::arrive(self.0.barrier(shared, ORDER_FULL));
            }
        }
        self.0.advance();
    }

    /// The next order.
    ///
    /// # Safety
    /// All lanes of a gatherer call it, converged.
    #[inline(always)]
    pub unsafe fn take(&mut self, shared: u32) -> Order {
        let at = self.address(shared);
        // SAFETY: the order is there.
        let [[request, first, end, count], [extra, ..]] = unsafe {
            mbarrier::wait(self.0.barrier(shared, ORDER_FULL), self.0.parity);
            [at, at + 16].map(|at| uniform::load_u32x4(at))
        };
        self.0.advance();
        Order { request, blocks: [first, end], counts: [count, extra] }
    }

    #[inline(always)]
    fn address(&self, shared: u32) -> u32 {
        shared + ORDER + ORDER_BYTES * self.0.index
    }
}
