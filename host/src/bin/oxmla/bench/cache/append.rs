//! New tokens into the cache, normalised and rotated.

use oxmla::cache::{AppendRows, CacheLayout, RmsNorm, Scales, append};
use oxmla::{Buffer, DType, ROPE_PAIRS, Result, Rope, Yarn};
use oxmla_kernels::cache::ctas;

use super::pages::{self, Kind, Pages};
use super::{Bench, Case};
use crate::bench::micro::row::Row;

const ROPE: usize = 64;
/// Requests and new tokens of each: decode steps, a step of speculative tokens, chunks of prompts.
const STEPS: [(usize, usize); 9] =
    [(1, 1), (8, 1), (32, 1), (128, 1), (32, 4), (512, 1), (8, 512), (8, 4096), (8, 16_384)];
/// Tokens of a request, or the new ones if they are more.
const LENGTH: usize = 4096;

/// The benchmark of `append` from bf16.
pub fn run(bench: &Bench<'_>, kind: &Kind) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let layout = kind.layout()?;
    let bytes_per_row = 2 * layout.format().d_qk() + layout.bytes_per_token();
    for (batch, new) in STEPS {
        let mut step = Step::new(bench, layout, batch, new)?;
        for ragged in [false, true] {
            let how = if ragged { "ragged" } else { "even" };
            let name = format!("{batch} × {new}, {how}");
            let count = batch * new;
            let (bytes, ctas) = (count * bytes_per_row, ctas(count as u32));
            let case = Case { benchmark: kind.append, name, bytes, ctas };
            rows.push(bench.row(case, || step.append(bench, ragged))?);
        }
    }
    Ok(rows)
}

/// The tensors of a step.
struct Step {
    batch: usize,
    count: usize,
    latent_width: usize,
    pages: Pages,
    latent: Buffer,
    rope: Buffer,
    weight: Buffer,
    rotations: Buffer,
    positions: usize,
    lengths: Buffer,
    offsets: Buffer,
}

impl Step {
    fn new(
        bench: &Bench<'_>,
        layout: CacheLayout,
        batch: usize,
        new: usize,
    ) -> anyhow::Result<Self> {
        let latent_width = layout.format().latent();
        let (device, count, length) = (bench.device, batch * new, new.max(LENGTH));
        let rope = Rope::new(10_000.0, Some(Yarn::deepseek_v3()))?;
        Ok(Self {
            batch,
            count,
            latent_width,
            pages: Pages::new(device, layout, batch, length)?,
            latent: device.alloc_zeroed(count * latent_width * 2)?,
            rope: device.alloc_zeroed(count * ROPE * 2)?,
            weight: device.alloc_zeroed(latent_width * 2)?,
            rotations: device.upload(&rope.table(length))?,
            positions: length,
            lengths: device.upload(&vec![length as i32; batch])?,
            offsets: pages::offsets(device, batch, new)?,
        })
    }

    fn append(&mut self, bench: &Bench<'_>, ragged: bool) -> Result<()> {
        const DTYPE: DType = DType::Bf16;
        let (cache, block_table) = self.pages.split()?;
        let offsets = self.offsets.view(DType::I32, &[self.batch + 1])?;
        let rotations = self.rotations.view(DType::F32, &[self.positions, ROPE_PAIRS, 2])?;
        let weight = self.weight.view(DTYPE, &[self.latent_width])?;
        let args = AppendRows {
            latent: self.latent.view(DTYPE, &[self.count, self.latent_width])?,
            rope: self.rope.view(DTYPE, &[self.count, ROPE])?,
            norm: Some(RmsNorm { weight, eps: 1e-6 }),
            rotations: Some(rotations),
            lengths: self.lengths.view(DType::I32, &[self.batch])?,
            block_table,
            offsets: ragged.then_some(offsets),
            scales: Scales::Exact,
            kv_cache: cache.view_mut(),
        };
        append(bench.device, bench.stream.as_ref(), args)
    }
}
