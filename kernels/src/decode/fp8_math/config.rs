//! Every compile-time fact of the dense decode kernel with FP8 math on one page.
//!
//! The cache is [`Planar644`]. Q, P, headers, barriers and the merge's desk are where the [dense kernel](dense) has them,
//! and so is a stage: what there is a K block of 16-bit elements is here one of codes and rope parts, and the same codes
//! transposed.
//!
//! # Tensor maps
//! | map | dimensions, innermost first | box | swizzle |
//! |---|---|---|---|
//! | `q` | as for the dense kernel | | |
//! | `codes` | u8: 512, block size, 1, blocks; from byte 0 of a block | 128 × n × 1 × 1 | 128 B |
//! | `rope` | bf16: 64, block size, 1, blocks; from byte 512 · block size | 64 × n × 1 × 1 | 128 B |
//! | `scales` | f32: block size, 1, 1, blocks; from byte 640 · block size | n × 1 × 1 × 1 | none |
//!
//! n = min(block size, 64).
//!
//! # Roles
//! | threads | role |
//! |---|---|
//! | 0–127 | warpgroup *left*: codes of Q, scores, softmax, output columns 0–255 |
//! | 128–255 | warpgroup *right*: output columns 256–511 |
//! | 256–287 | warp *producer*: as in the dense kernel, but K blocks come as codes, rope parts and scales |
//! | 288–383 | three warps, the *transposer*: makes V of the codes of K; before that, writes the results of requests without tokens |

use crate::cache::fp8::{Format, Planar644};
use crate::decode::dense::config as dense;
pub use crate::decode::dense::config::{
    CONSUMED, D_LATENT, D_ROPE, DESK, HEADER_BYTES, LAUNCH_REGISTERS, LEFT_GROUP, P, PRODUCER_WARP,
    PUBLISHED, Q, Q_EMPTY, Q_FULL, QK_TILES, RIGHT_WARP, ROW_FACTORS, STAGES, TASK_EMPTY,
    TASK_FULL, TILE, WARPGROUP,
};
use crate::tile::swizzle::{CHUNK_BYTES, NARROW_ROW_BYTES, TILE_BYTES};

/// First warp of the transposer.
pub const TRANSPOSER_WARP: u32 = PRODUCER_WARP + 1;
/// Warps of the transposer: what the producer's warpgroup has beside it.
pub const TRANSPOSER_WARPS: u32 = 3;
/// Warps of the left and of the right warpgroup.
pub const GROUP_WARPS: u32 = WARPGROUP / 32;
/// Registers per thread of the producer and the transposer after they have given the rest away.
pub const TRANSPOSER_REGISTERS: u32 = 40;
/// Registers per thread of the left and right warpgroups: half of the output takes 128, two products that are yet to be
/// added to it 64.
pub const CONSUMER_REGISTERS: u32 = 232;

/// Codes of a row of a tile of Q or K.
pub const TILE_CODES: u32 = 128;
/// Tiles of codes, of Q and of a K block: a row has 128 bytes, as one of 64 16-bit elements.
pub const CODE_TILES: u32 = D_LATENT / TILE_CODES;
/// The rope tile of Q, behind the eight in which its latent part lands, and whose first four take the codes.
pub const Q_ROPE_TILE: u32 = QK_TILES - 1;
/// The rope tile of a K block.
pub const K_ROPE_TILE: u32 = CODE_TILES;
/// The first tile of a stage that is V: the codes of the K block, a row of 64 tokens for each of the 512 columns.
pub const V_TILE: u32 = K_ROPE_TILE + 1;
/// Bytes of half of V.
pub const V_HALF_BYTES: u32 = D_LATENT / 2 * NARROW_ROW_BYTES;
/// Bytes of a K block's scales.
pub const SCALE_BYTES: u32 = 4 * TILE;
/// Bytes that TMA brings of a K block.
pub const KEYS_BYTES: u32 = V_TILE * TILE_BYTES + SCALE_BYTES;

// Shared memory, in bytes from its start: P takes half of the dense kernel's tile, and here is what is added in the rest.

/// Bytes of P: the fragments of 128 threads, 32 bytes each.
pub const P_BYTES: u32 = 32 * WARPGROUP;
/// Bytes that the scales of a stage may take as they land: boxes begin at multiples of 128 bytes, and there are four in a
/// K block at most.
pub const LANDED_SCALE_BYTES: u32 = 4 * SCALE_ALIGNMENT;
/// What TMA writes to without a swizzle begins at a multiple of this.
pub const SCALE_ALIGNMENT: u32 = 128;
/// `[stage]` scales of a K block, as they land.
pub const LANDED_SCALES: u32 = P + P_BYTES;
/// Bytes of what left has to know of the tokens of a K block: `f32 [3][64]`, scales, their base-2 logarithms and their
/// inverses.
pub const TERMS_BYTES: u32 = 12 * TILE;
/// `[stage]` the terms of a K block.
pub const TERMS: u32 = LANDED_SCALES + STAGES * LANDED_SCALE_BYTES;
/// `f32 [64]`: scales of the query rows.
pub const QUERY_SCALES: u32 = TERMS + STAGES * TERMS_BYTES;
/// `[3 warps]` 16 zero bytes: what the transposer reads instead of codes that do not count.
pub const ZEROS: u32 = QUERY_SCALES + TILE * 4;
/// Dynamic shared memory of the kernel, in bytes.
pub const SHARED_BYTES: u32 = dense::SHARED_BYTES;

/// `[stage]` header for left and the transposer.
pub const KEYS_HEADERS: u32 = dense::LEFT_HEADERS;
/// `[stage]` header for right.
pub const VALUES_HEADERS: u32 = dense::RIGHT_HEADERS;
/// `[stage]` Codes, rope parts and scales of a K block have landed: one arrival, and their bytes.
pub const KEYS_FULL: u32 = dense::LEFT_FULL;
/// `[stage]` They may be overwritten: one arrival per warp of left and of the transposer.
pub const KEYS_EMPTY: u32 = dense::LEFT_EMPTY;
/// `[stage]` V and the terms are there: one arrival per warp of the transposer.
pub const VALUES_FULL: u32 = dense::RIGHT_FULL;
/// `[stage]` They may be overwritten: one arrival per warp of left and right.
pub const VALUES_EMPTY: u32 = dense::RIGHT_EMPTY;

const _: () = assert!(ZEROS + TRANSPOSER_WARPS * CHUNK_BYTES <= P + TILE_BYTES);
const _: () = assert!(V_TILE * TILE_BYTES + 2 * V_HALF_BYTES == dense::BLOCK_BYTES);
const _: () = assert!(
    TRANSPOSER_REGISTERS + 2 * CONSUMER_REGISTERS <= 3 * LAUNCH_REGISTERS,
    "setmaxnreg hands out no more than the launch brought"
);
const _: () = {
    let layout = Planar644::LAYOUT;
    assert!(layout.latent == D_LATENT && layout.rope(1) == D_LATENT as u64);
    assert!(layout.scales(1) == (D_LATENT + 2 * D_ROPE) as u64);
};
