//! Every compile-time fact of the sparse kernels on one page.
//!
//! Where things are in shared memory, and what the multiplying warpgroups do, is as in
//! [`dense::config`](crate::decode::dense::config); this page has what is added.
//!
//! # Tensor map
//! | map | dimensions, innermost first | box | swizzle |
//! |---|---|---|---|
//! | `q` | 576 or 512, heads, 1, query tokens | 64 × 64 × 1 × 1 | 128 B |
//!
//! # Roles
//! | threads | role |
//! |---|---|
//! | 0–255 | warpgroups *left* and *right*, as in the dense kernel |
//! | 256–287 | warp *producer*: follows the schedule, loads Q, tells the gatherers what to gather and left and right which tokens of a block count, and passes blocks on that have been gathered; hands out what is to be merged |
//! | 288–383 | three warps, the *gatherers*: copy the rows that a list names; after that, write the results of query tokens with empty lists |

use crate::decode::dense::config as dense;
use crate::decode::dense::config::{LEFT_TILES, STAGES, TILE, WARPGROUP};

/// First warp of the gatherers.
pub const GATHERER_WARP: u32 = dense::PRODUCER_WARP + 1;
/// Threads of the gatherers: what the producer's warpgroup has beside it.
pub const GATHERERS: u32 = WARPGROUP - 32;
/// Registers per thread of producer and gatherers after they have given the rest away: a gatherer holds the addresses of
/// six rows, and six indices of the next block.
pub const GATHERER_REGISTERS: u32 = 56;
/// Registers per thread of the left and right warpgroups.
pub const CONSUMER_REGISTERS: u32 = 224;

/// Tiles of Q and K for queries of `d_qk` dimensions: 9 or 8.
#[must_use]
pub const fn tiles(d_qk: u32) -> u32 {
    d_qk / TILE
}

// Shared memory, in bytes from its start, behind that of the dense kernel.

/// Bytes of a mask: 64 bits, and as many that nobody reads, for a vector load.
pub const MASK_BYTES: u32 = 16;
/// `[stage]` which of a block's tokens count, a bit for each.
pub const MASKS: u32 = dense::SHARED_BYTES.next_multiple_of(MASK_BYTES);
/// `[stage]` The left tiles have been gathered: one arrival for each thread, when its copies have landed.
pub const LEFT_LANDED: u32 = MASKS + MASK_BYTES * STAGES;
/// `[stage]` The right tiles have been gathered, in the same way.
pub const RIGHT_LANDED: u32 = LEFT_LANDED + 8 * STAGES;
/// Orders that the gatherers may have: the piece that they gather, and the next.
pub const ORDERS: u32 = 2;
/// Bytes of an order.
pub const ORDER_BYTES: u32 = 32;
/// `[orders]` what the gatherers are told.
pub const ORDER: u32 = RIGHT_LANDED + 8 * STAGES;
/// `[orders]` There is an order: one arrival.
pub const ORDER_FULL: u32 = ORDER + ORDER_BYTES * ORDERS;
/// Dynamic shared memory of the kernels, in bytes.
pub const SHARED_BYTES: u32 = ORDER_FULL + 8 * ORDERS;

const _: () =
    assert!(SHARED_BYTES <= 232_448, "a CTA on sm_90 has at most 227 KB of shared memory");
const _: () = assert!(
    GATHERER_REGISTERS + 2 * CONSUMER_REGISTERS <= 3 * dense::LAUNCH_REGISTERS,
    "setmaxnreg hands out no more than the launch brought"
);
const _: () = assert!(ORDER.is_multiple_of(16) && MASKS.is_multiple_of(16), "vector loads");
const _: () = assert!(tiles(512) == 2 * LEFT_TILES && tiles(576) == dense::QK_TILES);
