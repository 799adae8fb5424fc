//! From hidden states to latents and queries, and back.

use std::cell::RefCell;

use oxmla::gemm::{Gemm, gemm, gemm_in_tiles};
use oxmla::{Buffer, DType, Result, TensorRef};
use oxmla_kernels::gemm::abi::Shape;
use oxmla_kernels::gemm::tiling::{Tiling, WIDTHS, most_splits};

use super::measure::{Bench, copies};
use crate::bench::micro::row::Row;

/// Inputs and outputs: `q_a_proj`, `q_b_proj`, `kv_a_proj_with_mqa`, `o_proj` of DeepSeek-V3.
const WEIGHTS: [(u32, u32); 4] = [(7168, 1536), (1536, 24_576), (7168, 576), (16_384, 7168)];
/// Tokens.
const TOKENS: [u32; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 4096];
/// Tokens for which every tiling is measured.
const TILED_TOKENS: [u32; 6] = [1, 16, 64, 128, 256, 4096];
/// Splits that are measured of all there could be.
const SPLITS: [u32; 11] = [1, 2, 3, 4, 5, 6, 8, 11, 13, 16, 26];

/// The `projections` benchmark.
pub fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (k, n) in WEIGHTS {
        for m in TOKENS {
            let shape = Shape { batch: 1, m, n, k };
            let tiling = bench.tiling(&shape)?;
            let tensors = Tensors::new(bench, shape)?;
            rows.push(tensors.row(bench, "projections", tiling, None)?);
        }
    }
    Ok(rows)
}

/// The `tilings` benchmark.
pub fn tilings(bench: &Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (k, n) in WEIGHTS {
        for m in TILED_TOKENS {
            let shape = Shape { batch: 1, m, n, k };
            let tensors = Tensors::new(bench, shape)?;
            let chosen = bench.tiling(&shape)?;
            rows.push(tensors.row(bench, "tilings", chosen, Some(chosen))?);
            for tiling in others(&shape, bench.gpu.multiprocessors(), chosen) {
                rows.push(tensors.row(bench, "tilings", tiling, Some(tiling))?);
            }
        }
    }
    Ok(rows)
}

/// Every tiling that fits on the GPU but the one that is chosen.
fn others(shape: &Shape, multiprocessors: u32, chosen: Tiling) -> Vec<Tiling> {
    let all = WIDTHS.into_iter().flat_map(|width| SPLITS.map(|splits| (width, splits)));
    all.filter(|&(width, splits)| splits <= most_splits(shape, width, multiprocessors))
        .map(|(width, splits)| Tiling::new(shape, width, splits, multiprocessors))
        .filter(|tiling| *tiling != chosen)
        .collect()
}

/// A projection's operands.
struct Tensors {
    shape: Shape,
    x: Buffer,
    weights: Buffer,
    y: RefCell<Buffer>,
}

impl Tensors {
    fn new(bench: &Bench<'_>, shape: Shape) -> anyhow::Result<Self> {
        let [m, n, k] = sizes(&shape);
        Ok(Self {
            shape,
            x: bench.random(m * k)?,
            weights: bench.random(copies(&shape) * n * k)?,
            y: bench.device.alloc(2 * m * n)?.into(),
        })
    }

    fn row(
        &self,
        bench: &Bench<'_>,
        benchmark: &'static str,
        tiling: Tiling,
        forced: Option<Tiling>,
    ) -> anyhow::Result<Row> {
        let Shape { m, n, k, .. } = self.shape;
        bench.row(benchmark, format!("{m} × {k} → {n}"), &self.shape, tiling, |number| {
            self.multiply(bench, number, forced)
        })
    }

    fn multiply(&self, bench: &Bench<'_>, number: usize, forced: Option<Tiling>) -> Result<()> {
        let [m, n, k] = sizes(&self.shape);
        let mut y = self.y.borrow_mut();
        let args = Gemm {
            x: self.x.view(DType::Bf16, &[m, k])?,
            weight: self.weight(number)?,
            y: y.view_mut(DType::Bf16, &[m, n])?,
        };
        let stream = bench.stream.as_ref();
        match forced {
            None => gemm(bench.device, stream, bench.workspace, args),
            Some(tiling) => gemm_in_tiles(bench.device, stream, bench.workspace, args, tiling),
        }
    }

    /// The weight of a call.
    fn weight(&self, number: usize) -> Result<TensorRef<'_>> {
        let [_, n, k] = sizes(&self.shape);
        let offset = number % copies(&self.shape) * n * k * 2;
        let address = self.weights.address() + offset as u64;
        let location = self.weights.location();
        // SAFETY: one of the weights that the buffer was made for, borrowed with it.
        unsafe { TensorRef::from_raw(address, DType::Bf16, &[n, k], &[k, 1], location) }
    }
}

fn sizes(shape: &Shape) -> [usize; 3] {
    [shape.m, shape.n, shape.k].map(|size| size as usize)
}
