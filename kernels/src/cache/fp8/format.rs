//! FP8 formats of cached tokens.

/// How the tokens of an FP8 cache lie in memory, byte by byte. Numbers are little-endian; offsets are in bytes.
///
/// # `Token656`: 656 bytes, every token by itself
/// | bytes of a token | content |
/// |---|---|
/// | 0–511 | latent part: 512 × e4m3 |
/// | 512–527 | 4 × f32: scale of elements 0–127, 128–255, 256–383, 384–511 |
/// | 528–655 | rope part: 64 × bf16 |
///
/// Token `t` of a block begins at `656 · t`; a block of `n` tokens has `656 · n` bytes, one of 64 41,984.
///
/// # `Paged584`: 584 bytes a token, scales at the end of the block
/// | bytes of a block of `n` tokens | content |
/// |---|---|
/// | `576 · t` + 0–447 | latent part of token `t`: 448 × e4m3 |
/// | `576 · t` + 448–575 | rope part of token `t`: 64 × bf16 |
/// | `576 · n + 8 · t` + 0–6 | 7 × ue8m0: scales of elements 0–63, 64–127, … 384–447 of token `t` |
/// | `576 · n + 8 · t` + 7 | 0 |
///
/// A block has `584 · n` bytes, one of 64 tokens 37,376.
///
/// # `Planar644`: 644 bytes a token, part by part
/// | bytes of a block of `n` tokens | content |
/// |---|---|
/// | `512 · t` + 0–511 | latent part of token `t`: 512 × e4m3 |
/// | `512 · n + 128 · t` + 0–127 | rope part of token `t`, divided by its scale: 64 × bf16 |
/// | `640 · n + 4 · t` + 0–3 | f32, a power of two: scale of token `t` |
///
/// A block has `644 · n` bytes, one of 64 tokens 41,216.
///
/// # Numbers
/// - e4m3: sign, 4 bits of exponent with bias 7, 3 of fraction. Exponent 0 is subnormal, ±448 (0x7e) the largest, 0x7f
///   and 0xff are NaN, there is no infinity.
/// - ue8m0: `2^(code − 127)`; 255 is NaN.
/// - An element's value is e4m3 · scale, in f32; in `Planar644` one of the rope part is bf16 · scale.
///
/// # How a token is quantised
/// Elements `x` are f32. Infinities become NaN. For each tile of 128, 64 or, in `Planar644`, 512 elements that share a
/// scale:
/// 1. `amax` is the largest magnitude that is not NaN, 0 if there is none;
/// 2. `scale = max(amax / 448, 2^−80)`, rounded up to a power of two in `Paged584` and `Planar644`, and in `Token656` on
///    request;
/// 3. an element is stored as `x / scale` in e4m3, to nearest, ties to even, ±448 if it is larger; NaN as 0x7f.
///
/// In `Planar644` elements of the rope part are stored as `x / scale` in bf16, to nearest: nothing is lost of a bf16 by
/// the division, unless its result is below 2^−126 or beyond the largest bf16.
///
/// Divisions round to nearest f32; only of elements that were normalised on the way may a last bit be another, on one
/// device and on another, as in the normalisation itself. So a tile of zeros has scale `2^−80` and codes 0, signs are
/// kept, and a NaN stays by itself: its neighbours are what they would be without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fp8Format {
    /// 656 bytes a token: 512 e4m3, 4 f32 scales, 64 bf16. What FlashMLA and vLLM store for DeepSeek-V3.2.
    Token656,
    /// 584 bytes a token, scales at the end of the block: 448 e4m3, 64 bf16, 7 ue8m0 scales and an empty byte.
    Paged584,
    /// 644 bytes a token, part by part, one scale for all of it: 512 e4m3, 64 bf16, an f32. What tensor cores multiply as
    /// it is, in FP8.
    Planar644,
}

/// Type of the scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleType {
    /// 4 bytes.
    F32,
    /// The exponent of a power of two, 1 byte.
    Ue8m0,
}

/// Where the parts of a token lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// e4m3 elements, at the beginning of a token.
    pub latent: u32,
    /// Elements that share a scale.
    pub tile: u32,
    /// Bytes from the latent part of one token to that of the next.
    pub token_stride: u32,
    /// Bytes from the beginning of a token to its rope part; `None` if they stand behind the latent parts of the block.
    pub rope_in_token: Option<u32>,
    /// Bytes from the rope part of one token to that of the next.
    pub rope_stride: u32,
    /// Whether the rope part is stored divided by the scale.
    pub rope_is_scaled: bool,
    /// Bytes from the beginning of a token to its scales; `None` if they stand behind everything else of the block.
    pub scales_in_token: Option<u32>,
    /// Bytes from the scales of one token to those of the next.
    pub scale_stride: u32,
    /// Type of the scales.
    pub scale: ScaleType,
    /// Whether scales are powers of two, whatever `append` is asked for.
    pub power_of_two: bool,
}

impl Layout {
    /// Bytes from the beginning of a block of `block_size` tokens to the rope part of its first token.
    #[must_use]
    #[inline(always)]
    pub const fn rope(&self, block_size: u64) -> u64 {
        match self.rope_in_token {
            Some(offset) => offset as u64,
            None => block_size * self.token_stride as u64,
        }
    }

    /// Bytes from the beginning of a block of `block_size` tokens to the scales of its first token.
    #[must_use]
    #[inline(always)]
    pub const fn scales(&self, block_size: u64) -> u64 {
        match self.scales_in_token {
            Some(offset) => offset as u64,
            None => {
                let behind = if self.rope_in_token.is_some() { 0 } else { self.rope_stride };
                block_size * (self.token_stride + behind) as u64
            }
        }
    }
}

/// Largest e4m3 number.
pub const LARGEST: f32 = 448.0;
/// Least scale: 2^−80, by which f32 can still be divided through a reciprocal and a remainder without underflow. A tile
/// below 448 · 2^−80 loses bits, and is 10^−22 at most.
pub const LEAST_SCALE: f32 = f32::from_bits((127 - 80) << 23);

/// Rope elements of a token, bf16.
const ROPE_BYTES: u32 = 2 * crate::decode::dense::config::D_ROPE;

/// A format that kernels are compiled for.
pub trait Format {
    /// Its name.
    const FORMAT: Fp8Format;
    /// Its layout.
    const LAYOUT: Layout = Self::FORMAT.layout();
}

/// [`Fp8Format::Token656`].
pub struct Token656;

/// [`Fp8Format::Paged584`].
pub struct Paged584;

/// [`Fp8Format::Planar644`].
pub struct Planar644;

impl Format for Token656 {
    const FORMAT: Fp8Format = Fp8Format::Token656;
}

impl Format for Paged584 {
    const FORMAT: Fp8Format = Fp8Format::Paged584;
}

impl Format for Planar644 {
    const FORMAT: Fp8Format = Fp8Format::Planar644;
}

impl Fp8Format {
    /// Where the parts of a token lie.
    #[must_use]
    pub const fn layout(self) -> Layout {
        match self {
            Self::Token656 => Layout {
                latent: 512,
                tile: 128,
                token_stride: 656,
                rope_in_token: Some(512 + 4 * 4),
                rope_stride: 656,
                rope_is_scaled: false,
                scales_in_token: Some(512),
                scale_stride: 656,
                scale: ScaleType::F32,
                power_of_two: false,
            },
            Self::Paged584 => Layout {
                latent: 448,
                tile: 64,
                token_stride: 448 + ROPE_BYTES,
                rope_in_token: Some(448),
                rope_stride: 448 + ROPE_BYTES,
                rope_is_scaled: false,
                scales_in_token: None,
                scale_stride: 8,
                scale: ScaleType::Ue8m0,
                power_of_two: true,
            },
            Self::Planar644 => Layout {
                latent: 512,
                tile: 512,
                token_stride: 512,
                rope_in_token: None,
                rope_stride: ROPE_BYTES,
                rope_is_scaled: true,
                scales_in_token: None,
                scale_stride: 4,
                scale: ScaleType::F32,
                power_of_two: true,
            },
        }
    }

    /// The format whose tokens have `bytes`.
    #[must_use]
    pub const fn of_width(bytes: usize) -> Option<Self> {
        match bytes {
            656 => Some(Self::Token656),
            584 => Some(Self::Paged584),
            644 => Some(Self::Planar644),
            _ => None,
        }
    }

    /// Bytes of a token, all its parts together.
    #[must_use]
    pub const fn bytes_per_token(self) -> u32 {
        match self {
            Self::Token656 => 656,
            Self::Paged584 => 584,
            Self::Planar644 => 644,
        }
    }

    /// Bytes of a block of `block_size` tokens.
    #[must_use]
    pub const fn bytes_per_block(self, block_size: u32) -> u32 {
        block_size * self.bytes_per_token()
    }
}

const _: () = {
    let (row, paged, planar) = (Token656::LAYOUT, Paged584::LAYOUT, Planar644::LAYOUT);
    assert!(row.rope(64) + ROPE_BYTES as u64 == Fp8Format::Token656.bytes_per_token() as u64);
    assert!(planar.scales(64) + 64 * 4 == Fp8Format::Planar644.bytes_per_block(64) as u64);
    assert!(paged.scales(64) + 64 * 8 == Fp8Format::Paged584.bytes_per_block(64) as u64);
    assert!(row.latent.is_multiple_of(row.tile) && paged.latent.is_multiple_of(paged.tile));
};
