//! Cached tokens as contiguous rows.

use oxmla::DType;
use oxmla::cache::{GatherRows, gather};
use oxmla_kernels::cache::ctas;

use super::pages::{self, Kind, Pages};
use super::{Bench, Case};
use crate::bench::micro::row::Row;

/// Requests and tokens of each.
const BATCHES: [(usize, usize); 5] = [(1, 64), (1, 1024), (1, 8192), (8, 4096), (32, 4096)];

/// The benchmark of `gather` to bf16.
pub fn run(bench: &Bench<'_>, kind: &Kind) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let layout = kind.layout()?;
    let width = layout.format().d_qk();
    for (batch, length) in BATCHES {
        let count = batch * length;
        let pages = Pages::new(bench.device, layout, batch, length)?;
        let offsets = pages::offsets(bench.device, batch, length)?;
        let mut out = bench.device.alloc(count * width * 2)?;
        let case = Case {
            benchmark: kind.gather,
            name: format!("{batch} × {length}"),
            bytes: count * (layout.bytes_per_token() + 2 * width),
            ctas: ctas(count as u32),
        };
        rows.push(bench.row(case, || {
            let args = GatherRows {
                kv_cache: pages.cache.view(),
                block_table: pages.table()?,
                offsets: offsets.view(DType::I32, &[batch + 1])?,
                out: out.view_mut(DType::Bf16, &[count, width])?,
            };
            gather(bench.device, bench.stream.as_ref(), args)
        })?);
    }
    Ok(rows)
}
