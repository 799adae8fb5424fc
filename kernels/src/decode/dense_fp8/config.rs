//! Every compile-time fact of the dense decode kernel over an FP8 cache on one page.
//!
//! The cache is [`Token656`](crate::cache::fp8::Token656). Where things are in shared memory, and what the multiplying
//! warpgroups do, is as in [`dense::config`](crate::decode::dense::config); this page has what is added.
//!
//! # Tensor maps
//! | map | dimensions, innermost first | box | swizzle |
//! |---|---|---|---|
//! | `q` | as for the dense kernel | | |
//! | `codes` | u8: 512, block size, 1, blocks; from byte 0 of a token | 256 × n × 1 × 1 | none |
//! | `scales` | u8: 16, block size, 1, blocks; from byte 512 | 16 × n × 1 × 1 | none |
//! | `rope` | 16 bits: 64, block size, 1, blocks; from byte 528 | 64 × n × 1 × 1 | 128 B |
//!
//! n = min(block size, 64).
//!
//! # Roles
//! | threads | role |
//! |---|---|
//! | 0–255 | warpgroups *left* and *right*, as in the dense kernel; *left* makes f16 of queries in bf16 |
//! | 256–287 | warp *producer*: the same, but K blocks come as codes, scales and rope parts |
//! | 288–383 | three warps, the *converter*: makes f16 tiles of codes and scales; before that, writes the results of requests without tokens |
//!
//! A fourth warpgroup would leave 128 registers for each thread of the launch, and `wgmma` of N = 256 does not assemble
//! with fewer than 158.

use crate::decode::dense::config as dense;
use crate::decode::dense::config::{STAGES, TILE, WARPGROUP};
use crate::tile::swizzle::TILE_BYTES;

/// First warp of the converter.
pub const CONVERTER_WARP: u32 = dense::PRODUCER_WARP + 1;
/// Threads of the converter: what the producer's warpgroup has beside it.
pub const CONVERTER: u32 = WARPGROUP - 32;
/// Warps of the converter.
pub const CONVERTER_WARPS: u32 = CONVERTER / 32;
/// Registers per thread of the producer and the converter after they have given the rest away: the converter holds 96 bytes
/// of codes.
pub const CONVERTER_REGISTERS: u32 = 72;
/// Registers per thread of the left and right warpgroups.
pub const CONSUMER_REGISTERS: u32 = 216;

/// Codes of a token that make half of V, and come as one box: two tiles of scales, four of 64 × 64.
pub const UNIT_CODES: u32 = 256;
/// Codes of a token that share a scale.
pub const GROUP_CODES: u32 = 128;
/// Scales of a token.
pub const TOKEN_SCALES: u32 = 4;
/// Bytes of a token's scales.
pub const TOKEN_SCALE_BYTES: u32 = 4 * TOKEN_SCALES;
/// Bytes from the beginning of a token to its scales.
pub const SCALES_OFFSET: u32 = 512;
/// Bytes from the beginning of a token to its rope part.
pub const ROPE_OFFSET: u32 = SCALES_OFFSET + TOKEN_SCALE_BYTES;

/// Bytes of the codes of a load unit. They land in the upper half of the four tiles that become of them.
pub const CODE_BYTES: u32 = TILE * UNIT_CODES;
/// Bytes of the scales of a block.
pub const SCALE_BYTES: u32 = TILE * TOKEN_SCALE_BYTES;
/// Bytes of the left load unit: codes, and the scales of the whole block.
pub const LEFT_BYTES: u32 = CODE_BYTES + SCALE_BYTES;
/// Bytes of the right load unit: codes, and the rope tile, which lands where it stays.
pub const RIGHT_BYTES: u32 = CODE_BYTES + TILE_BYTES;

// Shared memory, in bytes from its start, behind that of the dense kernel.

/// `[stage]` `f32 [64][4]`: scales of a block. TMA writes them to multiples of 128 bytes.
pub const SCALES: u32 = dense::SHARED_BYTES.next_multiple_of(128);
/// `[stage]` The codes of the left load unit have landed, and the scales: one arrival, and their bytes.
pub const LEFT_LANDED: u32 = SCALES + STAGES * SCALE_BYTES;
/// `[stage]` The codes of the right load unit have landed, and the rope tile: one arrival, and their bytes.
pub const RIGHT_LANDED: u32 = LEFT_LANDED + 8 * STAGES;
/// The converter has read the codes of a load unit: one arrival per warp.
pub const CODES_READ: u32 = RIGHT_LANDED + 8 * STAGES;
/// `[stage]` header of the codes of the left load unit; that of its tiles follows from it. Aligned to 16 bytes.
pub const CODE_HEADERS: u32 = (CODES_READ + 8).next_multiple_of(16);
/// `f32 [64]`: by what scores of the rows of Q are to be multiplied.
pub const Q_UNITS: u32 = CODE_HEADERS + dense::HEADER_BYTES * STAGES;
/// Dynamic shared memory of the kernel, in bytes.
pub const SHARED_BYTES: u32 = Q_UNITS + 4 * TILE;

const _: () =
    assert!(SHARED_BYTES <= 232_448, "a CTA on sm_90 has at most 227 KB of shared memory");
const _: () = assert!(
    CONVERTER_REGISTERS + 2 * CONSUMER_REGISTERS <= 3 * dense::LAUNCH_REGISTERS,
    "setmaxnreg hands out no more than the launch brought"
);
const _: () = assert!(2 * CODE_BYTES == dense::LEFT_BYTES, "codes fill half of their tiles");
const _: () = {
    let layout = crate::cache::fp8::Fp8Format::Token656.layout();
    assert!(
        layout.scales(TILE as u64) == SCALES_OFFSET as u64 && layout.rope(64) == ROPE_OFFSET as u64
    );
    assert!(layout.tile == GROUP_CODES && layout.latent == 2 * UNIT_CODES);
};
