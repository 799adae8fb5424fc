//! What a decode step attends to, in host memory.

use std::vec;
use std::vec::Vec;

use oxmla_simt::{Memory, Swizzle, TensorMap};

use crate::cache::fp8::{Format, Fp8Format, Planar644};
use crate::decode::dense::config::{D_QK, D_ROPE, TILE};
use crate::decode::dense_fp8::config as fp8;
use crate::decode::fp8_math::config as fp8_math;

/// The cached tokens of a decode step, contiguous.
#[derive(Clone, Copy, Debug)]
pub enum CachedTokens<'a> {
    /// `[blocks, block size, h_k, 576]` 16-bit elements of the type of the queries, as their bits.
    Elements(&'a [u16]),
    /// `[blocks, block size, 656]` bytes of [`Fp8Format::Token656`]: one KV head, and bf16 queries.
    Token656(&'a [u8]),
    /// `[blocks, block size, 644]` bytes of [`Fp8Format::Planar644`], whose kernels multiply in FP8: one KV head.
    Planar644(&'a [u8]),
}

/// A part of every token, as TMA copies it.
struct Part {
    /// Address of that of the first token.
    address: u64,
    element_bytes: u32,
    elements: u32,
    /// Elements in a box, and how the box lies in shared memory.
    boxed: u32,
    swizzle: Swizzle,
}

impl CachedTokens<'_> {
    /// Elements, or bytes.
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Elements(elements) => elements.len(),
            Self::Token656(bytes) | Self::Planar644(bytes) => bytes.len(),
        }
    }

    /// The same of a block of `block_size` tokens of `h_k` heads.
    pub(super) const fn block_len(&self, block_size: u32, h_k: u32) -> usize {
        match self {
            Self::Elements(_) => (block_size * h_k) as usize * D_QK as usize,
            Self::Token656(_) => Fp8Format::Token656.bytes_per_block(block_size) as usize,
            Self::Planar644(_) => Fp8Format::Planar644.bytes_per_block(block_size) as usize,
        }
    }

    /// Lets kernels read it.
    pub(super) fn register<'a>(&self, memory: &mut Memory<'a>)
    where
        Self: 'a,
    {
        match self {
            Self::Elements(elements) => memory.read_only(elements),
            Self::Token656(bytes) | Self::Planar644(bytes) => memory.read_only(bytes),
        };
    }

    /// Its tensor maps, in the order in which the kernel takes them; a block has `block_size` tokens of `h_k` heads.
    pub(super) fn maps(&self, block_size: u32, h_k: u32) -> Vec<TensorMap> {
        let blocks = (self.len() / self.block_len(block_size, h_k)) as u64;
        match self {
            Self::Elements(elements) => {
                let elements = Part {
                    address: elements.as_ptr() as u64,
                    element_bytes: 2,
                    elements: D_QK,
                    boxed: TILE,
                    swizzle: Swizzle::B128,
                };
                vec![elements.map(2 * D_QK, [block_size, h_k], blocks)]
            }
            Self::Token656(bytes) => {
                let first = bytes.as_ptr() as u64;
                let of_bytes = |offset: u32, elements, boxed| Part {
                    address: first + u64::from(offset),
                    element_bytes: 1,
                    elements,
                    boxed,
                    swizzle: Swizzle::None,
                };
                let codes = of_bytes(0, fp8::SCALES_OFFSET, fp8::UNIT_CODES);
                let scales =
                    of_bytes(fp8::SCALES_OFFSET, fp8::TOKEN_SCALE_BYTES, fp8::TOKEN_SCALE_BYTES);
                let rope = Part {
                    element_bytes: 2,
                    swizzle: Swizzle::B128,
                    ..of_bytes(fp8::ROPE_OFFSET, D_ROPE, D_ROPE)
                };
                let token = Fp8Format::Token656.bytes_per_token();
                let parts = [codes, scales, rope];
                parts.iter().map(|part| part.map(token, [block_size, 1], blocks)).collect()
            }
            Self::Planar644(bytes) => planes(bytes.as_ptr() as u64, block_size, blocks),
        }
    }
}

/// The maps of codes, rope parts and scales of [`Fp8Format::Planar644`], as `decode::fp8_math::config` describes them.
fn planes(first: u64, block_size: u32, blocks: u64) -> Vec<TensorMap> {
    let layout = Planar644::LAYOUT;
    let [tokens, block] =
        [block_size, Fp8Format::Planar644.bytes_per_block(block_size)].map(u64::from);
    let plane = |offset: u64, element_bytes: u32, row: u32, width: u32, swizzle| TensorMap {
        address: first + offset,
        element_bytes,
        dimensions: vec![row.into(), tokens, 1, blocks],
        strides: vec![u64::from(row * element_bytes), block, block],
        tile: vec![width, block_size.min(TILE), 1, 1],
        element_strides: vec![1; 4],
        swizzle,
    };
    let codes = plane(0, 1, layout.latent, fp8_math::TILE_CODES, Swizzle::B128);
    let rope = plane(layout.rope(tokens), 2, D_ROPE, D_ROPE, Swizzle::B128);
    let scales = TensorMap {
        address: first + layout.scales(tokens),
        element_bytes: 4,
        dimensions: vec![tokens, 1, 1, blocks],
        strides: vec![block; 3],
        tile: vec![block_size.min(TILE), 1, 1, 1],
        element_strides: vec![1; 4],
        swizzle: Swizzle::None,
    };
    vec![codes, rope, scales]
}

impl Part {
    /// The map of it, in blocks of `block_size` tokens of `h_k` heads, each of `bytes` bytes.
    fn map(&self, bytes: u32, [block_size, h_k]: [u32; 2], blocks: u64) -> TensorMap {
        let [bytes, h_k, tokens] = [bytes, h_k, block_size].map(u64::from);
        TensorMap {
            address: self.address,
            element_bytes: self.element_bytes,
            dimensions: vec![self.elements.into(), tokens, h_k, blocks],
            strides: vec![h_k * bytes, bytes, tokens * h_k * bytes],
            tile: vec![self.boxed, block_size.min(TILE), 1, 1],
            element_strides: vec![1; 4],
            swizzle: self.swizzle,
        }
    }
}
