//! Merging the results of a split request: what a decode call takes more with every CTA that shares it.

use anyhow::Context;
use oxmla::{BLOCK_SIZE, DType, Device, Stream};

use super::super::case::{Cache, Case, Distribution};
use super::super::clock::Cold;
use super::super::workload::Workload;
use super::row::Row;
use crate::statistics::Summary;

/// Blocks of the request: each is a piece, and takes a CTA as long as the one of a request of one block.
const BLOCKS: [u32; 7] = [2, 4, 8, 16, 32, 48, 61];
/// Calls that a median is taken of: the merge is a difference of two.
const REPEAT: u32 = 31;

/// The `merge` benchmark: one request of 64 and of 128 query rows.
pub fn run(device: &Device, stream: &Stream, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    for heads in [64, 128] {
        let one = measure(device, stream, heads, 1)?;
        for blocks in BLOCKS {
            let whole = measure(device, stream, heads, blocks)?;
            let title = format!("{blocks} pieces of {heads} rows");
            rows.push(
                Row::new("merge", title, &[whole - one])?
                    .with("pieces", "pieces", blocks.into())
                    .with("one_us", "one piece, µs", one)
                    .with("whole_us", "whole call, µs", whole),
            );
        }
    }
    Ok(())
}

/// Median time of a call over a request of `blocks` blocks.
fn measure(device: &Device, stream: &Stream, heads: u32, blocks: u32) -> anyhow::Result<f64> {
    let Device::Cuda(gpu) = device else { anyhow::bail!("micro-benchmarks are for a GPU") };
    let case = Case {
        batch: 1,
        heads,
        kv_heads: 1,
        s_q: 1,
        seq_len: blocks * BLOCK_SIZE as u32,
        distribution: Distribution::Fixed,
        dtype: DType::Bf16,
        cache: Cache::Elements,
        block_size: BLOCK_SIZE,
        causal: false,
        window: None,
        softcap: None,
        seed: 0,
    };
    let mut workload = Workload::new(device, stream, &case)?;
    let times = Cold::new(gpu, stream)?.times(REPEAT, |call| workload.decode(stream, call))?;
    Ok(Summary::of(&times).context("nothing was measured")?.median)
}
