//! Every compile-time fact of the dense decode kernel on one page.
//!
//! # Tensor maps
//! | map | dimensions, innermost first | box | swizzle |
//! |---|---|---|---|
//! | `q` | 576, rows, groups, batch (as packed by [`crate::abi::Rows`]) | 64 × 64 × 1 × 1 | 128 B |
//! | `kv` | 576, block size, KV heads, blocks | 64 × min(block size, 64) × 1 × 1 | 128 B |
//!
//! # Roles
//! | threads | role |
//! |---|---|
//! | 0–127 | warpgroup *left*: scores, softmax, output columns 0–255 |
//! | 128–255 | warpgroup *right*: output columns 256–511 |
//! | 256–287 | warp *producer*: follows the schedule, loads Q and K, hands out what is to be merged |
//! | 288–383 | three warps that write the results of requests without tokens |

use crate::decode::merge::{Desk, SCRATCH_BYTES, TASK_BYTES};
use crate::tile::swizzle::TILE_BYTES;

/// Query rows of a CTA, and tokens of a K block.
pub const TILE: u32 = 64;
/// Dimensions of the compressed part of a cached token; also of the output.
pub const D_LATENT: u32 = 512;
/// Rotary dimensions of a cached token.
pub const D_ROPE: u32 = 64;
/// Dimensions of a query and of a cached token.
pub const D_QK: u32 = D_LATENT + D_ROPE;

/// 64-wide tiles of Q and of a K block.
pub const QK_TILES: u32 = D_QK / TILE;
/// Tiles of a K block that the left warpgroup multiplies as V; a load unit of its own, for it is free
/// before the rest: as soon as the left output has been updated.
pub const LEFT_TILES: u32 = D_LATENT / TILE / 2;
/// Tiles of a K block in the other load unit: the right half of V, and the rotary tile.
pub const RIGHT_TILES: u32 = QK_TILES - LEFT_TILES;
/// K blocks in shared memory: what the 227 KB of an SM leave beside Q.
pub const STAGES: u32 = 2;

/// Threads of a warpgroup.
pub const WARPGROUP: u32 = 128;
/// First warp of the right warpgroup.
pub const RIGHT_WARP: u32 = WARPGROUP / 32;
/// The producer.
pub const PRODUCER_WARP: u32 = 2 * WARPGROUP / 32;
/// Threads of a CTA: three warpgroups.
pub const THREADS: u32 = 3 * WARPGROUP;
/// Registers per thread of the launch: 65,536 / 384, in steps of 8.
pub const LAUNCH_REGISTERS: u32 = 168;
/// Registers per thread of the producer after it has given the rest away.
pub const PRODUCER_REGISTERS: u32 = 40;
/// Registers per thread of the left and right warpgroups: their half of the output alone takes 128, scores
/// and probabilities another 48.
pub const CONSUMER_REGISTERS: u32 = 232;

/// Bytes of Q, and of one K block.
pub const BLOCK_BYTES: u32 = QK_TILES * TILE_BYTES;
/// Bytes of the two load units of a K block.
pub const LEFT_BYTES: u32 = LEFT_TILES * TILE_BYTES;
/// See [`LEFT_BYTES`].
pub const RIGHT_BYTES: u32 = RIGHT_TILES * TILE_BYTES;

// Shared memory, in bytes from its start. Tiles first: they need 1,024-byte alignment.

/// Q `[9 tiles]`.
pub const Q: u32 = 0;
/// K `[2 stages][9 tiles]`; tiles 0–7 are also V.
pub const K: u32 = Q + BLOCK_BYTES;
/// P, the probabilities of a block, one tile.
pub const P: u32 = K + STAGES * BLOCK_BYTES;
/// `f32 [64]`: by what the right warpgroup multiplies each row of its output.
pub const ROW_FACTORS: u32 = P + TILE_BYTES;
/// Bytes of a header.
pub const HEADER_BYTES: u32 = 16;
/// `[stage]` header of the left tiles.
pub const LEFT_HEADERS: u32 = ROW_FACTORS + TILE * 4;
/// `[stage]` header of the right tiles.
pub const RIGHT_HEADERS: u32 = LEFT_HEADERS + HEADER_BYTES * STAGES;
/// A task of the merge.
pub const TASK: u32 = RIGHT_HEADERS + HEADER_BYTES * STAGES;
/// First mbarrier.
pub const BARRIERS: u32 = TASK + TASK_BYTES;
/// Q has landed: one arrival, and its bytes.
pub const Q_FULL: u32 = BARRIERS;
/// Q may be overwritten: one arrival per warp of the left warpgroup.
pub const Q_EMPTY: u32 = Q_FULL + 8;
/// `[stage]` The left tiles of a K block have landed: one arrival, and their bytes.
pub const LEFT_FULL: u32 = Q_EMPTY + 8;
/// `[stage]` The left tiles may be overwritten: one arrival per warp of the left warpgroup.
pub const LEFT_EMPTY: u32 = LEFT_FULL + 8 * STAGES;
/// `[stage]` The right tiles have landed.
pub const RIGHT_FULL: u32 = LEFT_EMPTY + 8 * STAGES;
/// `[stage]` The right tiles may be overwritten: one arrival per warp of the right warpgroup.
pub const RIGHT_EMPTY: u32 = RIGHT_FULL + 8 * STAGES;
/// A task has been handed out: one arrival.
pub const TASK_FULL: u32 = RIGHT_EMPTY + 8 * STAGES;
/// It is done: one arrival per warp of the left and right warpgroups.
pub const TASK_EMPTY: u32 = TASK_FULL + 8;
/// The merge has the place of Q for itself.
pub const DESK: Desk = Desk { task: TASK, full: TASK_FULL, empty: TASK_EMPTY, scratch: Q };
/// Dynamic shared memory of the kernel, in bytes.
pub const SHARED_BYTES: u32 = TASK_EMPTY + 8;

// Named barriers. 0 is the whole CTA.

/// P and row factors are in shared memory: left arrives, right waits.
pub const PUBLISHED: u32 = 1;
/// P and row factors have been used: right arrives, left waits.
pub const CONSUMED: u32 = 2;
/// All of the left warpgroup.
pub const LEFT_GROUP: u32 = 3;
/// All of the right warpgroup.
pub const RIGHT_GROUP: u32 = 4;
/// Left and right warpgroup, when they merge.
pub const MERGE_GROUP: u32 = 5;

const _: () =
    assert!(SHARED_BYTES <= 232_448, "a CTA on sm_90 has at most 227 KB of shared memory");
const _: () = assert!(
    PRODUCER_REGISTERS + 2 * CONSUMER_REGISTERS <= 3 * LAUNCH_REGISTERS,
    "setmaxnreg hands out no more than the launch brought"
);
const _: () = assert!(
    K.is_multiple_of(1024) && P.is_multiple_of(1024),
    "swizzled tiles start on 1,024 bytes"
);
const _: () = assert!(SCRATCH_BYTES <= BLOCK_BYTES, "the merge has the place of Q for itself");
const _: () = assert!(RIGHT_BYTES < 1 << 20, "an mbarrier counts less than 2^20 bytes");
