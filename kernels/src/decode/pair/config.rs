//! Every compile-time fact of the paired dense decode kernel on one page.
//!
//! Tensor maps and roles are those of [`dense::config`](crate::decode::dense::config), but for the multiplying
//! warpgroups:
//!
//! | threads | role |
//! |---|---|
//! | 0–127 | warpgroup *own*: scores and softmax of the CTA's own query rows, its half of their output |
//! | 128–255 | warpgroup *other*: the same half of the output of the other CTA's rows |
//!
//! # Tiles of a K block
//! | tiles | columns | needed in the CTA of rank 0 for | of rank 1 for |
//! |---|---|---|---|
//! | 0–3, first half | 0–255 | scores and output | scores |
//! | 4–7, second half | 256–511 | scores | scores and output |
//! | 8, rotary | 512–575 | scores | scores |
//!
//! Both CTAs load the tiles in the same order and at about the same time, so that the L2 is asked once for both.

use crate::decode::dense::config::{
    BLOCK_BYTES, D_LATENT, HEADER_BYTES, QK_TILES, TILE, WARPGROUP,
};
use crate::decode::merge::{Desk, SCRATCH_BYTES, TASK_BYTES};
use crate::tile::swizzle::TILE_BYTES;

/// CTAs of a pair: a cluster.
pub const CTAS: u32 = 2;
/// Columns of the output that a CTA computes.
pub const HALF: u32 = D_LATENT / CTAS;

/// Tiles of half of the columns.
pub const HALF_TILES: u32 = HALF / TILE;
/// Number of the rotary tile.
pub const ROPE: u32 = QK_TILES - 1;
/// Parts of a K block that land as one: the first half, the second half, the rotary tile.
pub const PARTS: u32 = 3;
/// Blocks of which the V tiles are kept: one being scored, one whose output is computed, and one that may be
/// waiting for the other CTA or on its way.
pub const STAGES: u32 = 3;
/// Bytes of half of a K block's columns.
pub const HALF_BYTES: u32 = HALF_TILES * TILE_BYTES;

/// Bytes of the probabilities in a message: 64 × 64 in 16 bits.
pub const P_BYTES: u32 = TILE * TILE * 2;
/// Bytes of the factors in a message: two for each thread.
pub const FACTOR_BYTES: u32 = WARPGROUP * 8;
/// Bytes of a message's place.
pub const MESSAGE_BYTES: u32 = P_BYTES + FACTOR_BYTES;
/// Messages that may be under way.
pub const MESSAGES: u32 = 2;

// Shared memory, in bytes from its start. Tiles first: they need 1,024-byte alignment.

/// Q `[9 tiles]`.
pub const Q: u32 = 0;
/// The half `[4 tiles]` of a K block that only the scores need.
pub const K: u32 = Q + BLOCK_BYTES;
/// The rotary tile.
pub const K_ROPE: u32 = K + HALF_BYTES;
/// V `[stage][4 tiles]`: the half that the output needs, too.
pub const V: u32 = K_ROPE + TILE_BYTES;
/// `[message]` From the other CTA: fragments of P `[4][thread]`, 16 bytes each, and factors `[thread]`, 8 bytes each.
pub const INBOX: u32 = V + STAGES * HALF_BYTES;
/// Header of the block, for *own*.
pub const HEADER: u32 = INBOX + MESSAGES * MESSAGE_BYTES;
/// `[stage]` Header of the block, for *other*.
pub const V_HEADERS: u32 = HEADER + HEADER_BYTES;
/// A task of the merge.
const TASK: u32 = V_HEADERS + HEADER_BYTES * STAGES;
/// First mbarrier.
const BARRIERS: u32 = TASK + TASK_BYTES;
/// Q has landed: one arrival, and its bytes.
pub const Q_FULL: u32 = BARRIERS;
/// Q may be overwritten: one arrival per warp of *own*.
pub const Q_EMPTY: u32 = Q_FULL + 8;
/// `[part]` A part of the block has landed: one arrival, and its bytes.
pub const FULL: u32 = Q_EMPTY + 8;
/// `[tile]` A tile has been multiplied into scores: one arrival per warp of *own*.
pub const SCORED: u32 = FULL + 8 * PARTS;
/// `[stage]` *Own* has issued its half of the block's output, or there is no block: one arrival per warp of *own*.
pub const V_READY: u32 = SCORED + 8 * QK_TILES;
/// `[stage]` V may be overwritten: one arrival per warp of *own* and *other*.
pub const V_EMPTY: u32 = V_READY + 8 * STAGES;
/// `[message]` A message is there: one arrival, and its bytes.
pub const INBOX_FULL: u32 = V_EMPTY + 8 * STAGES;
/// `[message]` The other CTA has read what this one sent: one arrival per warp of its *other*.
pub const OUTBOX_EMPTY: u32 = INBOX_FULL + 8 * MESSAGES;
/// A task has been handed out: one arrival.
const TASK_FULL: u32 = OUTBOX_EMPTY + 8 * MESSAGES;
/// It is done: one arrival per warp of *own* and *other*.
const TASK_EMPTY: u32 = TASK_FULL + 8;
/// The merge has the place of Q for itself.
pub const DESK: Desk = Desk { task: TASK, full: TASK_FULL, empty: TASK_EMPTY, scratch: Q };
/// Dynamic shared memory of the kernel, in bytes.
pub const SHARED_BYTES: u32 = TASK_EMPTY + 8;

/// All of the *own* warpgroup. Barrier 0 is the whole CTA, 5 that of the merge.
pub const OWN_GROUP: u32 = 1;

const _: () =
    assert!(SHARED_BYTES <= 232_448, "a CTA on sm_90 has at most 227 KB of shared memory");
const _: () = assert!(
    K.is_multiple_of(1024) && V.is_multiple_of(1024),
    "swizzled tiles start on 1,024 bytes"
);
const _: () = assert!(SCRATCH_BYTES <= BLOCK_BYTES, "the merge has the place of Q for itself");
