//! Into latent space and out of it, at DeepSeek-V3's 128 heads, and the 16 of one of 8 ranks.

use oxmla::gemm::{self, Absorb, Expand};
use oxmla::{DType, ROPE_PAIRS, Rope, TensorRef, Yarn};
use oxmla_kernels::gemm::abi::Shape;

use super::measure::{Bench, copies};
use crate::bench::micro::row::Row;

pub const HEADS: [u32; 2] = [16, 128];
const TOKENS: [u32; 8] = [1, 2, 8, 16, 64, 128, 256, 512];
pub const NOPE: u32 = 128;
pub const LATENT: u32 = 512;
pub const ROPE: u32 = 64;
pub const VALUES: u32 = 128;
/// Tokens of every request.
const LENGTH: usize = 4096;

/// The `absorb` benchmark: bytes and operations are those of the product alone. The rotation of 64 elements for every
/// 128 of it comes on top.
pub fn absorb(bench: &Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let rotations = Rope::new(10_000.0, Some(Yarn::deepseek_v3()))?.table(LENGTH);
    let rotations = bench.device.upload(&rotations)?;
    let mut rows = Vec::new();
    for (heads, tokens) in cases() {
        let shape = Shape { batch: heads, m: tokens, n: LATENT, k: NOPE };
        let [t, h, width, d_qk] =
            [tokens, heads, NOPE + ROPE, LATENT + ROPE].map(|size| size as usize);
        let q = bench.random(t * h * width)?;
        let weights = bench.random(copies(&shape) * h * (LATENT * NOPE) as usize)?;
        let lengths = bench.device.upload(&vec![LENGTH as i32; t])?;
        let mut absorbed = bench.device.alloc(2 * t * h * d_qk)?;
        let case = format!("h {heads}, t {tokens}");
        rows.push(bench.row("absorb", case, &shape, bench.tiling(&shape)?, |number| {
            let args = Absorb {
                q: q.view(DType::Bf16, &[t, h, width])?,
                w_uk: weight(&weights, &shape, number)?,
                rotations: rotations.view(DType::F32, &[LENGTH, ROPE_PAIRS, 2])?,
                lengths: lengths.view(DType::I32, &[t])?,
                absorbed: absorbed.view_mut(DType::Bf16, &[t, h, d_qk])?,
            };
            gemm::absorb(bench.device, bench.stream.as_ref(), bench.workspace, args)
        })?);
    }
    Ok(rows)
}

/// The `expand` benchmark.
pub fn expand(bench: &Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (heads, tokens) in cases() {
        let shape = Shape { batch: heads, m: tokens, n: VALUES, k: LATENT };
        let [t, h, latent, v] = [tokens, heads, LATENT, VALUES].map(|size| size as usize);
        let o = bench.random(t * h * latent)?;
        let weights = bench.random(copies(&shape) * h * v * latent)?;
        let mut values = bench.device.alloc(2 * t * h * v)?;
        let case = format!("h {heads}, t {tokens}");
        rows.push(bench.row("expand", case, &shape, bench.tiling(&shape)?, |number| {
            let args = Expand {
                o: o.view(DType::Bf16, &[t, h, latent])?,
                w_uv: weight(&weights, &shape, number)?,
                values: values.view_mut(DType::Bf16, &[t, h, v])?,
            };
            gemm::expand(bench.device, bench.stream.as_ref(), bench.workspace, args)
        })?);
    }
    Ok(rows)
}

fn cases() -> impl Iterator<Item = (u32, u32)> {
    HEADS.into_iter().flat_map(|heads| TOKENS.map(|tokens| (heads, tokens)))
}

/// The weight of a call: `[heads, n, k]`.
fn weight<'a>(
    weights: &'a oxmla::Buffer,
    shape: &Shape,
    number: usize,
) -> oxmla::Result<TensorRef<'a>> {
    let [heads, n, k] = [shape.batch, shape.n, shape.k].map(|size| size as usize);
    let offset = number % copies(shape) * heads * n * k * 2;
    let (address, location) = (weights.address() + offset as u64, weights.location());
    // SAFETY: one of the weights that the buffer was made for, borrowed with it.
    unsafe { TensorRef::from_raw(address, DType::Bf16, &[heads, n, k], &[n * k, k, 1], location) }
}
