//! Copies of whole blocks.

use oxmla::DType;
use oxmla::cache::{BLOCK_SIZE, CopyBlocks, copy_blocks};
use oxmla_kernels::cache::copy::ctas_per_block;

use super::pages::{BF16, Pages};
use super::{Bench, Case};
use crate::bench::micro::row::Row;

/// Blocks to copy.
const COPIES: [usize; 5] = [1, 8, 64, 512, 2048];

/// The `copy_blocks` benchmark: from the near half of the cache to the far half.
pub fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let layout = BF16.layout()?;
    let block = layout.bytes_per_block();
    for copies in COPIES {
        let mut pages = Pages::new(bench.device, layout, 2 * copies, BLOCK_SIZE)?;
        let pairs: Vec<i32> =
            (0..copies as i32).flat_map(|from| [from, from + copies as i32]).collect();
        let pairs = bench.device.upload(&pairs)?;
        let case = Case {
            benchmark: "copy_blocks",
            name: format!("{copies} blocks"),
            bytes: 2 * copies * block,
            ctas: copies as u32 * ctas_per_block((block / 16) as u32),
        };
        rows.push(bench.row(case, || {
            let args = CopyBlocks {
                pairs: pairs.view(DType::I32, &[copies, 2])?,
                kv_cache: pages.cache.view_mut(),
            };
            copy_blocks(bench.device, bench.stream.as_ref(), args)
        })?);
    }
    Ok(rows)
}
