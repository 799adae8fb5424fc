//! Samples of the demo's result, held against attention in f64.

use half::bf16;
use oxmla::{
    BLOCK_SIZE, BlockTable, Buffer, DType, Decode, Device, Mask, MlaDims, Planner, PlannerConfig,
    Result, Step, StreamRef, TensorMut, TensorRef, decode,
};
use rand_distr::{Distribution, Uniform};

use super::{DTYPE, batch::Batch};
use crate::compare::{Comparison, Tolerance};
use crate::elements::{self, Rng};

/// Heads of a sample. In f64 with plain loops, each costs about a microsecond per cached token.
const HEADS: usize = 4;

/// A few neighbouring heads of one request.
pub struct Sample {
    dims: MlaDims,
    request: usize,
    first_head: usize,
    heads: usize,
}

/// What attention gives for a sample.
pub struct Attended {
    /// `[heads, 512]`.
    out: Vec<bf16>,
    /// `[heads]`.
    lse: Vec<f32>,
}

/// How samples compare with the oracle.
#[derive(Clone)]
pub struct Differences {
    /// Of the outputs.
    pub out: Comparison,
    /// Of the log-sum-exps.
    pub lse: Comparison,
}

impl Sample {
    /// Draws a sample from a batch of `requests` requests.
    pub fn draw(requests: usize, dims: MlaDims, rng: &mut Rng) -> Self {
        let heads = HEADS.min(dims.h_q() as usize);
        let mut below = |end: usize| Uniform::new(0, end).map_or(0, |range| range.sample(rng));
        Self {
            dims,
            request: below(requests),
            first_head: below(dims.h_q() as usize - heads + 1),
            heads,
        }
    }

    /// What the oracle gives for the sample, with the `queries [batch, 1, h_q, 576]` of the step.
    pub fn attend(&self, batch: &Batch, queries: &[u16], softmax_scale: f32) -> Result<Attended> {
        let (d_qk, d_v) = (self.dims.d_qk() as usize, self.dims.d_v() as usize);
        let mut rows = batch.cached_rows(self.request)?;
        let length = rows.len() / d_qk;
        let blocks = length.div_ceil(BLOCK_SIZE);
        rows.resize(blocks * BLOCK_SIZE * d_qk, bf16::NAN);
        let ids: Vec<i32> = (0..blocks as i32).collect();
        let table = BlockTable::from_rows(&[length as i32], &[&ids])?;

        let config = PlannerConfig {
            dims: MlaDims::new(self.heads as u32, 1)?,
            dtype: DTYPE,
            max_batch: 1,
            max_blocks_per_sequence: blocks,
            max_s_q: 1,
            block_size: BLOCK_SIZE,
            blocks_in_cache: blocks,
        };
        let mut planner = Planner::new(&Device::oracle(), config)?;
        let plan = planner.plan(StreamRef::cpu(), Step::new(&table, 1, Mask::Causal))?;
        let queries = &bytemuck::cast_slice::<u16, bf16>(queries)[self.first_row() * d_qk..];
        let mut out = vec![bf16::ZERO; self.heads * d_v];
        let mut lse = vec![0.0; self.heads];
        let args = Decode {
            q: TensorRef::from_slice(queries, &[1, 1, self.heads, d_qk])?,
            kv_cache: TensorRef::from_slice(&rows, &[blocks, BLOCK_SIZE, 1, d_qk])?,
            out: TensorMut::from_slice(&mut out, &[1, 1, self.heads, d_v])?,
            lse: TensorMut::from_slice(&mut lse, &[1, self.heads, 1])?,
            softmax_scale,
            softcap: None,
        };
        decode(&planner, &plan, StreamRef::cpu(), args)?;
        Ok(Attended { out, lse })
    }

    /// Compares the sample of `out [batch, 1, h_q, 512]` and `lse [batch, h_q, 1]` with the oracle's.
    pub fn compare(&self, out: &Buffer, lse: &Buffer, expected: &Attended) -> Result<Differences> {
        let expected_out = elements::to_f32(DTYPE, bytemuck::cast_slice(&expected.out));
        let out = self.read(out, DTYPE, self.dims.d_v() as usize)?;
        let lse = self.read(lse, DType::F32, 1)?;
        Ok(Differences {
            out: Comparison::new(&out, &expected_out, Tolerance::OUT),
            lse: Comparison::new(&lse, &expected.lse, Tolerance::LSE),
        })
    }

    /// The sample's rows of a tensor whose rows have `width` elements, one for each request and head.
    fn read(&self, buffer: &Buffer, dtype: DType, width: usize) -> Result<Vec<f32>> {
        let row_bytes = width * dtype.size();
        let mut bytes = vec![0; self.heads * row_bytes];
        buffer.read(self.first_row() * row_bytes, &mut bytes)?;
        Ok(elements::to_f32(dtype, &bytes))
    }

    fn first_row(&self) -> usize {
        self.request * self.dims.h_q() as usize + self.first_head
    }
}

impl Differences {
    /// Those of two sets of samples together.
    pub fn merge(&self, other: &Self) -> Self {
        Self { out: self.out.merge(&other.out), lse: self.lse.merge(&other.lse) }
    }

    /// Whether all samples are near enough.
    pub fn pass(&self) -> bool {
        self.out.passes() && self.lse.passes()
    }
}
