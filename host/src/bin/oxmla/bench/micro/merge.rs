//! Merging the results of a split request: what a decode call takes beyond its main kernel.

use anyhow::{Context, ensure};
use oxmla::plan::schedule;
use oxmla::{BLOCK_SIZE, DType, Device, Stream};

use super::super::case::{Case, Distribution};
use super::super::clock::Cold;
use super::super::workload::Workload;
use super::row::Row;
use crate::statistics::Summary;

/// Blocks of the request. While that is little, each is a split.
const BLOCKS: [u32; 7] = [2, 4, 8, 16, 32, 48, 61];
/// Calls that a median is taken of: the merge is a difference of two.
const REPEAT: u32 = 31;

/// The `merge` benchmark: one request of 64 and of 128 query rows.
pub fn run(device: &Device, stream: &Stream, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    for heads in [64, 128] {
        for blocks in BLOCKS {
            rows.push(measure(device, stream, heads, blocks)?);
        }
    }
    Ok(())
}

fn measure(device: &Device, stream: &Stream, heads: u32, blocks: u32) -> anyhow::Result<Row> {
    let Device::Cuda(gpu) = device else { anyhow::bail!("micro-benchmarks are for a GPU") };
    let seq_len = blocks * BLOCK_SIZE as u32;
    let case = Case {
        batch: 1,
        heads,
        kv_heads: 1,
        s_q: 1,
        seq_len,
        distribution: Distribution::Fixed,
        dtype: DType::Bf16,
        causal: false,
        seed: 0,
    };
    let mut workload = Workload::new(device, stream, &case)?;
    let splits = schedule::pieces(&case.lengths(), workload.parts())?.count();
    ensure!(splits > 1, "a request of {blocks} blocks is not split");

    let mut cold = Cold::new(gpu, stream)?;
    let main = median(&cold.times(REPEAT, |call| workload.main_kernel(stream, call))?)?;
    let whole = median(&cold.times(REPEAT, |call| workload.decode(stream, call))?)?;
    Ok(Row::new("merge", format!("{splits} splits of {heads} rows"), &[whole - main])?
        .with("splits", "splits", splits as f64)
        .with("main_us", "main kernel, µs", main)
        .with("whole_us", "whole call, µs", whole))
}

fn median(times: &[f64]) -> anyhow::Result<f64> {
    Ok(Summary::of(times).context("nothing was measured")?.median)
}
