//! Every compile-time fact of the sparse decode kernel over an FP8 cache on one page.
//!
//! The cache is of [`Token656`], for queries of 576 dimensions, or of [`Paged584`], for queries of 512. Where things are in
//! shared memory, and what the multiplying warpgroups do, is as in [`dense::config`](crate::decode::dense::config) and
//! [`sparse::config`](crate::decode::sparse::config); this page has what is added.
//!
//! # Roles
//! | threads | role |
//! |---|---|
//! | 0–255 | warpgroups *left* and *right*, as in the dense kernel; *left* makes f16 of queries |
//! | 256–287 | warp *producer*: follows the schedule, loads Q, copies codes, scales and rope parts of the rows that a list names, and says which of them count; hands out what is to be merged |
//! | 288–383 | three warps, the *converter*: makes f16 tiles of codes and scales; before that, writes the results of query tokens with empty lists |

use crate::cache::fp8::{Format, Paged584, Token656};
use crate::decode::dense::config::LAUNCH_REGISTERS;
use crate::decode::dense::config::{D_LATENT, D_ROPE, HEADER_BYTES, LEFT_TILES, STAGES, TILE};
use crate::decode::dense_fp8::config as dense_fp8;
pub use crate::decode::dense_fp8::config::{CONVERTER_WARP, CONVERTER_WARPS};
use crate::decode::sparse::config as sparse;
pub use crate::decode::sparse::config::{LEFT_LANDED, MASK_BYTES, MASKS, RIGHT_LANDED};
use crate::tile::swizzle::CHUNK_BYTES;

/// Registers per thread of the producer and the converter after they have given the rest away: the converter holds 96 bytes
/// of codes.
pub const CONVERTER_REGISTERS: u32 = dense_fp8::CONVERTER_REGISTERS;
/// Registers per thread of the left and right warpgroups.
pub const CONSUMER_REGISTERS: u32 = dense_fp8::CONSUMER_REGISTERS;

/// Codes of a row of a tile.
pub const TILE_CODES: u32 = 64;
/// Bytes of the codes of a tile.
pub const TILE_CODE_BYTES: u32 = TILE * TILE_CODES;
/// Pieces of 16 codes that the row of a tile has.
pub const ROW_PIECES: u32 = TILE_CODES / CHUNK_BYTES;

/// A format as this kernel takes it.
pub trait Codes: Format {
    /// 64-wide tiles of Q and of a K block. The last is the rope part.
    const TILES: u32 = (Self::LAYOUT.latent + D_ROPE) / TILE;
    /// Tiles that the codes of the right load unit become; those of the left one become
    /// [`LEFT_TILES`].
    const RIGHT_CODE_TILES: u32 = Self::TILES - LEFT_TILES - 1;
    /// Bytes of the scales of a token.
    const TOKEN_SCALE_BYTES: u32;
    /// Whether the rope part is V, too, and so has to be f16.
    const ROPE_IS_V: bool = Self::TILES * TILE == D_LATENT;
}

impl Codes for Token656 {
    const TOKEN_SCALE_BYTES: u32 = 16;
}

impl Codes for Paged584 {
    const TOKEN_SCALE_BYTES: u32 = 8;
}

/// Arrivals that say that a load unit has landed: one of each lane of the producer, when its copies have, and one when header
/// and mask are written.
pub const LANDINGS: u32 = 32 + 1;

// Shared memory, in bytes from its start, behind that of the sparse kernel.

/// Room for the scales of a block.
pub const SCALE_BYTES: u32 = TILE * Token656::TOKEN_SCALE_BYTES;
/// `[stage]` Scales of a block, token by token, as the cache has them.
pub const SCALES: u32 = sparse::SHARED_BYTES.next_multiple_of(CHUNK_BYTES);
/// `[stage]` header of the codes of the left load unit; that of its tiles follows from it.
pub const CODE_HEADERS: u32 = SCALES + STAGES * SCALE_BYTES;
/// `f32 [64]`: by what scores of the rows of Q are to be multiplied.
pub const Q_UNITS: u32 = CODE_HEADERS + STAGES * HEADER_BYTES;
/// The converter has read the codes of a load unit: one arrival per warp.
pub const CODES_READ: u32 = Q_UNITS + 4 * TILE;
/// Dynamic shared memory of the kernel, in bytes.
pub const SHARED_BYTES: u32 = CODES_READ + 8;

const _: () =
    assert!(SHARED_BYTES <= 232_448, "a CTA on sm_90 has at most 227 KB of shared memory");
const _: () = assert!(
    CONVERTER_REGISTERS + 2 * CONSUMER_REGISTERS <= 3 * LAUNCH_REGISTERS,
    "setmaxnreg hands out no more than the launch brought"
);
const _: () = {
    assert!(Token656::TILES == sparse::tiles(576) && Token656::RIGHT_CODE_TILES == 4);
    assert!(Paged584::TILES == sparse::tiles(512) && Paged584::RIGHT_CODE_TILES == 3);
};
