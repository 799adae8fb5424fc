//! Elements of queries, cache and output as bytes, for code that learns their type at run time.

use half::{bf16, f16};
use oxmla::DType;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Random numbers that a seed determines, on every machine and in every release.
pub type Rng = ChaCha8Rng;

/// Spread of random queries and cached rows: as of normalised activations.
const DEVIATION: f32 = 0.1;

/// `count` elements of a normal distribution with deviation 0.1, cut at ±1; `dtype` is bf16 or f16.
pub fn random(dtype: DType, count: usize, rng: &mut Rng) -> Vec<u16> {
    let encode = encoder(dtype);
    let mut element = || {
        let value: f32 = StandardNormal.sample(rng);
        encode((value * DEVIATION).clamp(-1.0, 1.0))
    };
    (0..count).map(|_| element()).collect()
}

/// The values of `bytes`, which need no alignment; `dtype` is bf16, f16 or f32. Bytes that make no whole
/// element are left out.
pub fn to_f32(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    let pairs = bytes.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    let quads = bytes.chunks_exact(4).map(|quad| [quad[0], quad[1], quad[2], quad[3]]);
    match dtype {
        DType::Bf16 => pairs.map(|pair| bf16::from_le_bytes(pair).to_f32()).collect(),
        DType::F16 => pairs.map(|pair| f16::from_le_bytes(pair).to_f32()).collect(),
        _ => quads.map(f32::from_le_bytes).collect(),
    }
}

fn encoder(dtype: DType) -> fn(f32) -> u16 {
    match dtype {
        DType::F16 => |value| f16::from_f32(value).to_bits(),
        _ => |value| bf16::from_f32(value).to_bits(),
    }
}
