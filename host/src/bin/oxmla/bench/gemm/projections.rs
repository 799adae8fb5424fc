//! From hidden states to latents and queries, and back.

use oxmla_kernels::gemm::abi::Shape;

use super::measure::Bench;
use super::operands::Operands;
use crate::bench::micro::row::Row;

/// Inputs and outputs: `q_a_proj`, `q_b_proj`, `kv_a_proj_with_mqa`, `o_proj` of DeepSeek-V3.
pub const WEIGHTS: [(u32, u32); 4] = [(7168, 1536), (1536, 24_576), (7168, 576), (16_384, 7168)];
/// Tokens.
const TOKENS: [u32; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 4096];

/// The `projections` benchmark.
pub fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (k, n) in WEIGHTS {
        for m in TOKENS {
            let operands = Operands::new(bench, Shape { batch: 1, m, n, k }, 0)?;
            rows.push(operands.row(bench, "projections", name(m, k, n))?);
        }
    }
    Ok(rows)
}

/// Tokens, inputs and outputs.
pub fn name(m: u32, k: u32, n: u32) -> String {
    format!("{m} × {k} → {n}")
}
