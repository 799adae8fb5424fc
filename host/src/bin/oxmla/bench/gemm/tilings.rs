//! Products in every cut that the kernels know.

use oxmla_kernels::gemm::abi::Shape;
use oxmla_kernels::gemm::tiling::{Tiling, WIDTHS, most_splits};

use super::heads::{HEADS, LATENT, NOPE, ROPE, VALUES};
use super::measure::Bench;
use super::operands::Operands;
use super::projections::{WEIGHTS, name};
use crate::bench::micro::row::Row;

/// Tokens of the projections.
const TOKENS: [u32; 6] = [1, 16, 64, 128, 256, 4096];
/// Tokens of the products of heads.
const TOKENS_OF_HEADS: [u32; 5] = [1, 64, 128, 256, 512];
/// Splits that are measured of all there could be.
const SPLITS: [u32; 11] = [1, 2, 3, 4, 5, 6, 8, 11, 13, 16, 26];

/// The `tilings` benchmark: of each product the cut that is chosen, then the others. Nothing is rotated beside them.
pub fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (k, n) in WEIGHTS {
        for m in TOKENS {
            every(bench, Shape { batch: 1, m, n, k }, 0, &name(m, k, n), &mut rows)?;
        }
    }
    for (call, n, k, gap) in [("absorb", LATENT, NOPE, ROPE), ("expand", VALUES, LATENT, 0)] {
        for batch in HEADS {
            for m in TOKENS_OF_HEADS {
                let case = format!("{call}, h {batch}, t {m}");
                every(bench, Shape { batch, m, n, k }, gap as usize, &case, &mut rows)?;
            }
        }
    }
    Ok(rows)
}

/// A product in every cut.
fn every(
    bench: &Bench<'_>,
    shape: Shape,
    gap: usize,
    case: &str,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let operands = Operands::new(bench, shape, gap)?;
    let chosen = bench.tiling(&shape)?;
    let others = others(&shape, bench.gpu.multiprocessors(), chosen);
    for tiling in [chosen].into_iter().chain(others) {
        rows.push(operands.row_in_tiles(bench, "tilings", case.into(), tiling)?);
    }
    Ok(())
}

/// Every cut that fits on the GPU but the one that is chosen.
fn others(shape: &Shape, multiprocessors: u32, chosen: Tiling) -> Vec<Tiling> {
    let all = WIDTHS.into_iter().flat_map(|width| SPLITS.map(|splits| (width, splits)));
    all.filter(|&(width, splits)| splits <= most_splits(shape, width, multiprocessors))
        .map(|(width, splits)| Tiling::new(shape, width, splits, multiprocessors))
        .filter(|tiling| *tiling != chosen)
        .collect()
}
