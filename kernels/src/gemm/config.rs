//! Every compile-time fact of the matrix-product kernels on one page.
//!
//! # Tensor maps
//! | map | dimensions, innermost first | box | swizzle |
//! |---|---|---|---|
//! | `x` | k, m, batch, 1 | 64 × 8…64 × 1 × 1, as [`Tiling::rows_of_box`](super::tiling::Tiling::rows_of_box) says | 128 B |
//! | `weight` | k, n, batch, 1 | 64 × 64 × 1 × 1 | 128 B |
//! | `y` | n, m, batch, 1 | 64 × 64 × 1 × 1 | 128 B |
//!
//! # Roles
//! | threads | role |
//! |---|---|
//! | 0–127 | warpgroup 0: output columns 0–63 of the CTA's tile |
//! | 128–255 | warpgroup 1: output columns 64–127 |
//! | 256–287 | warp *producer*: loads `x` and `weight` |
//! | 288–383 | three warps that rotate the rope part of queries, where there is one |

use crate::tile::swizzle::TILE_BYTES;

/// Rows, and elements in a row, of a swizzled tile; also k of a block.
pub const TILE: u32 = 64;
/// Warpgroups that multiply.
pub const GROUPS: u32 = 2;
/// Output columns of a CTA's tile, which are rows of the weight.
pub const COLUMNS: u32 = GROUPS * TILE;

/// Threads of a warpgroup.
pub const WARPGROUP: u32 = 128;
/// Warps that multiply.
pub const CONSUMER_WARPS: u32 = GROUPS * WARPGROUP / 32;
/// Threads that multiply.
pub const CONSUMERS: u32 = GROUPS * WARPGROUP;
/// The producer.
pub const PRODUCER_WARP: u32 = CONSUMER_WARPS;
/// Warps that rotate.
pub const TURNING_WARPS: u32 = 3;
/// Threads of a CTA: three warpgroups.
pub const THREADS: u32 = (GROUPS + 1) * WARPGROUP;
/// Registers per thread of the launch: 65,536 / 384, in steps of 8.
pub const LAUNCH_REGISTERS: u32 = 168;
/// Registers per thread of the producer's warpgroup after it has given the rest away.
pub const PRODUCER_REGISTERS: u32 = 72;
/// Registers per thread of the warpgroups that multiply: accumulators of 64 × 256 take 128 of them.
pub const CONSUMER_REGISTERS: u32 = 216;

/// Tiles of the weight in a stage.
pub const WEIGHT_TILES: u32 = GROUPS;
/// Bytes of the ring, which has as many whole stages as fit. With the narrowest tiles, two thirds of it are weights:
/// 131 KB in flight on a multiprocessor, where 1 µs of DRAM latency at 3.35 TB/s asks for 25.
pub const RING_BYTES: u32 = 24 * TILE_BYTES;
/// Most stages that a ring has.
pub const MOST_STAGES: u32 = RING_BYTES / stage_bytes(TILE);
/// Output tiles on their way out, of each warpgroup: one is written while the other is read.
pub const OUTPUT_SLOTS: u32 = 2;

/// Words from the counter of a shared tile to the next one: a line of the L2.
pub const COUNTER_STRIDE: u32 = 32;

// Shared memory, in bytes from its start. Tiles first: they need 1,024-byte alignment.

/// `[stages]`: two tiles of the weight, then the tiles of `x`.
pub const RING: u32 = 0;
/// `[warpgroup][2]` tiles of the output.
pub const OUTPUT: u32 = RING + RING_BYTES;
/// `[stage]` A stage has landed: one arrival, and its bytes.
pub const FULL: u32 = OUTPUT + GROUPS * OUTPUT_SLOTS * TILE_BYTES;
/// `[stage]` It may be overwritten: one arrival per warp that multiplies.
pub const EMPTY: u32 = FULL + 8 * MOST_STAGES;
/// Dynamic shared memory of the kernels, in bytes.
pub const SHARED_BYTES: u32 = EMPTY + 8 * MOST_STAGES;

/// Bytes of a stage of `rows` rows of `x`.
#[must_use]
pub const fn stage_bytes(rows: u32) -> u32 {
    (WEIGHT_TILES + rows / TILE) * TILE_BYTES
}

/// Stages of a ring whose stages have `rows` rows of `x`.
#[must_use]
pub const fn stages(rows: u32) -> u32 {
    RING_BYTES / stage_bytes(rows)
}

const _: () =
    assert!(SHARED_BYTES <= 232_448, "a CTA on sm_90 has at most 227 KB of shared memory");
const _: () = assert!(
    PRODUCER_REGISTERS + GROUPS * CONSUMER_REGISTERS <= 3 * LAUNCH_REGISTERS,
    "setmaxnreg hands out no more than the launch brought"
);
const _: () = assert!(stages(64) == 8 && stages(128) == 6 && stages(192) == 4 && stages(256) == 4);
