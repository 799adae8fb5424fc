//! The run of a layer.

use std::ops::Range;

use super::attention::{MlaAttention, Query};
use super::operations::{Norm, Tokens};
use super::scratch::{LayerScratch, Widths};
use super::weight::Weight;
use crate::attention::{self, Decode};
use crate::cache::{self, AppendRows, BLOCK_SIZE, RmsNorm};
use crate::check;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::plan::{DecodePlan, Planner, PlannerConfig};
use crate::rope::ROPE_PAIRS;
use crate::stream::StreamRef;
use crate::tensor::{TensorMut, TensorRef};

/// The tensors of one run. All are on the layer's device.
#[derive(Debug)]
pub struct Forward<'a> {
    /// Hidden states, normalised as the model does before attention: `[tokens, hidden]`, bf16, f16 or f32;
    /// `tokens` is the plan's `batch · s_q`, those of a request side by side.
    pub hidden: TensorRef<'a>,
    /// The layer's cache: `[blocks, 64, 1, 576]`. The tokens' rows are written to where the plan's block table
    /// says.
    pub kv_cache: TensorMut<'a>,
    /// [`Rope::table`](crate::Rope::table): `[positions, 32, 2] f32`.
    pub rope: TensorRef<'a>,
    /// Memory between the operations.
    pub scratch: &'a mut LayerScratch,
    /// What is to be added to the residual stream, after the sum over ranks: `[tokens, hidden]`, bf16, f16 or
    /// f32. It may not share memory with `hidden`.
    pub out: TensorMut<'a>,
}

impl MlaAttention {
    /// Runs the layer on the tokens of a plan: the last `s_q` of each request. They are put into the cache, and
    /// attend to it as the plan's mask says. Of a request that is shorter than `s_q` the first tokens do not exist:
    /// nothing is cached for them, and their output is 0.
    ///
    /// The planner is one for [`MlaAttention::dims`]; its plan serves all layers of the model.
    ///
    /// # Errors
    /// - [`Error::LocationMismatch`] if the planner, the stream or a tensor is of another device.
    /// - [`Error::ShapeMismatch`], [`Error::RankMismatch`], [`Error::DTypeMismatch`], [`Error::NotAFloat`],
    ///   [`Error::Misaligned`] if a tensor is not what its field says, or the planner or the scratch was made for
    ///   other layers.
    /// - [`Error::Capacity`] if there are more tokens than the scratch has room for, [`Error::OutOfRange`] if a
    ///   request has positions that `rope` has not.
    /// - [`Error::PlanOfAnotherPlanner`], [`Error::StalePlan`].
    ///
    /// All of these leave cache and output as they were.
    pub fn forward(
        &self,
        planner: &Planner,
        plan: &DecodePlan,
        stream: StreamRef<'_>,
        args: Forward<'_>,
    ) -> Result<()> {
        planner.check_plan(plan)?;
        let tokens = Tokens::new(planner, plan);
        self.check(planner, &tokens, stream, &args)?;
        let Forward { hidden, mut kv_cache, rope, scratch, out } = args;
        if tokens.count() == 0 {
            return Ok(());
        }
        self.query(stream, &tokens, hidden, rope, scratch)?;
        let kv = scratch.kv.view_mut(self.dtype, &[tokens.count(), scratch.widths.kv])?;
        self.operations.project(stream, hidden, &self.kv_a, kv)?;
        self.append(planner, plan, stream, rope, scratch, kv_cache.reborrow())?;
        self.attend(planner, plan, stream, scratch, &kv_cache)?;
        self.output(stream, &tokens, scratch, out)
    }

    /// `scratch.absorbed` from hidden states.
    fn query(
        &self,
        stream: StreamRef<'_>,
        tokens: &Tokens<'_>,
        hidden: TensorRef<'_>,
        rope: TensorRef<'_>,
        scratch: &mut LayerScratch,
    ) -> Result<()> {
        let (count, heads) = (tokens.count(), self.dims.h_q() as usize);
        let (operations, activation) = (&self.operations, self.operations.activation());
        let flat = [count, scratch.widths.q];
        match &self.query {
            Query::Direct(weight) => {
                operations.project(
                    stream,
                    hidden,
                    weight,
                    scratch.q.view_mut(activation, &flat)?,
                )?;
            }
            Query::Compressed { down, norm, up } => {
                let shape = [count, down.rows()];
                let compressed = scratch.q_compressed.view_mut(activation, &shape)?;
                operations.project(stream, hidden, down, compressed)?;
                let compressed = scratch.q_compressed.view_mut(activation, &shape)?;
                operations.normalise(stream, compressed, self.norm(norm))?;
                let compressed = scratch.q_compressed.view(activation, &shape)?;
                operations.project(
                    stream,
                    compressed,
                    up,
                    scratch.q.view_mut(activation, &flat)?,
                )?;
            }
        }
        let q = scratch.q.view(activation, &[count, heads, self.config.qk_head_dim()])?;
        let shape = [count, heads, self.dims.d_qk() as usize];
        let absorbed = scratch.absorbed.view_mut(self.dtype, &shape)?;
        operations.absorb(stream, tokens, q, &self.w_uk, rope, absorbed)
    }

    /// The tokens' rows of the cache from `scratch.kv`.
    fn append(
        &self,
        planner: &Planner,
        plan: &DecodePlan,
        stream: StreamRef<'_>,
        rope: TensorRef<'_>,
        scratch: &LayerScratch,
        kv_cache: TensorMut<'_>,
    ) -> Result<()> {
        let tokens = plan.batch() * plan.s_q() as usize;
        let kv = scratch.kv.view(self.dtype, &[tokens, scratch.widths.kv])?;
        let (latent, width) = (self.dims.latent() as usize, self.dims.d_qk() as usize);
        let weight = self.kv_a_norm.vector();
        let args = AppendRows {
            latent: columns(&kv, 0..latent)?,
            rope: columns(&kv, latent..width)?,
            norm: Some(RmsNorm { weight, eps: self.config.rms_norm_eps as f32 }),
            rotations: Some(rope),
            lengths: planner.lengths(plan)?,
            block_table: planner.block_table(plan)?,
            offsets: None,
            scales: cache::Scales::Exact,
            kv_cache,
        };
        cache::append(&self.device, stream, args)
    }

    /// `scratch.o` from `scratch.absorbed`.
    fn attend(
        &self,
        planner: &Planner,
        plan: &DecodePlan,
        stream: StreamRef<'_>,
        scratch: &mut LayerScratch,
        kv_cache: &TensorMut<'_>,
    ) -> Result<()> {
        let (batch, s_q, heads) = (plan.batch(), plan.s_q() as usize, self.dims.h_q() as usize);
        let (d_qk, d_v) = (self.dims.d_qk() as usize, self.dims.d_v() as usize);
        let args = Decode {
            q: scratch.absorbed.view(self.dtype, &[batch, s_q, heads, d_qk])?,
            kv_cache: kv_cache.as_ref(),
            out: scratch.o.view_mut(self.dtype, &[batch, s_q, heads, d_v])?,
            lse: scratch.lse.view_mut(DType::F32, &[batch, heads, s_q])?,
            softmax_scale: self.config.softmax_scale(),
            softcap: None,
        };
        attention::decode(planner, plan, stream, args)
    }

    /// The layer's output from `scratch.o`.
    fn output(
        &self,
        stream: StreamRef<'_>,
        tokens: &Tokens<'_>,
        scratch: &mut LayerScratch,
        out: TensorMut<'_>,
    ) -> Result<()> {
        let (count, heads) = (tokens.count(), self.dims.h_q() as usize);
        let (activation, v) = (self.operations.activation(), self.config.v_head_dim);
        let o = scratch.o.view(self.dtype, &[count, heads, self.dims.d_v() as usize])?;
        let values = scratch.values.view_mut(activation, &[count, heads, v])?;
        self.operations.expand(stream, o, &self.w_uv, values)?;
        let values = scratch.values.view(activation, &[count, heads * v])?;
        self.operations.project(stream, values, &self.o, out)
    }

    const fn norm<'a>(&self, weight: &'a Weight) -> Norm<'a> {
        Norm { weight, eps: self.config.rms_norm_eps as f32 }
    }

    fn check(
        &self,
        planner: &Planner,
        tokens: &Tokens<'_>,
        stream: StreamRef<'_>,
        args: &Forward<'_>,
    ) -> Result<()> {
        let Forward { hidden, kv_cache, rope, scratch, out } = args;
        let config = planner.config();
        let device = self.device.location();
        check::location("planner", planner.device().location(), device)?;
        check::location("stream", stream.location(), device)?;
        check::location("hidden", hidden.location(), device)?;
        check::location("kv_cache", kv_cache.location(), device)?;
        check::location("rope", rope.location(), device)?;
        check::location("scratch", scratch.o.location(), device)?;
        check::location("out", out.location(), device)?;

        check::axis("planner", "h_q", config.dims.h_q() as usize, self.dims.h_q() as usize)?;
        check::axis("planner", "h_k", config.dims.h_k() as usize, self.dims.h_k() as usize)?;
        check::dtype("planner", config.dtype, self.dtype)?;
        check::dtype("scratch", scratch.dtype, self.dtype)?;
        scratch.check_widths(&Widths::of(self))?;
        if tokens.count() > scratch.max_tokens {
            let (limit, got) = (scratch.max_tokens, tokens.count());
            return Err(Error::Capacity { quantity: "tokens", limit, got });
        }
        self.check_tensors(config, tokens, args)
    }

    fn check_tensors(
        &self,
        config: &PlannerConfig,
        tokens: &Tokens<'_>,
        args: &Forward<'_>,
    ) -> Result<()> {
        let Forward { hidden, kv_cache, rope, out, .. } = args;
        check::float("hidden", hidden.dtype())?;
        check::dtype("kv_cache", kv_cache.dtype(), config.dtype)?;
        check::dtype("rope", rope.dtype(), DType::F32)?;
        check::float("out", out.dtype())?;

        let rows = ("tokens", tokens.count());
        let width = ("hidden", self.config.hidden_size);
        let blocks = ("blocks", config.blocks_in_cache);
        let (h_k, d_qk) = (("h_k", 1), ("d_qk", self.dims.d_qk() as usize));
        check::shape("hidden", hidden.shape(), [rows, width])?;
        check::shape(
            "kv_cache",
            kv_cache.shape(),
            [blocks, ("block_size", BLOCK_SIZE), h_k, d_qk],
        )?;
        check::rank("rope", rope.shape(), 3)?;
        check::axis("rope", "pairs", rope.shape()[1], ROPE_PAIRS)?;
        check::axis("rope", "cosine and sine", rope.shape()[2], 2)?;
        check::shape("out", out.shape(), [rows, width])?;
        check::range("length", tokens.longest() as i128, 0, rope.shape()[0] as i128)?;

        check::alignment("hidden", hidden.address(), hidden.dtype().size())?;
        check::alignment("kv_cache", kv_cache.address(), kv_cache.dtype().size())?;
        check::alignment("rope", rope.address(), DType::F32.size())?;
        check::alignment("out", out.address(), out.dtype().size())
    }
}

/// Columns of a matrix.
fn columns<'a>(matrix: &TensorRef<'a>, columns: Range<usize>) -> Result<TensorRef<'a>> {
    let address = matrix.address_at([0, columns.start]) as u64;
    let shape = [matrix.shape()[0], columns.len()];
    // SAFETY: elements of the matrix, for as long as it is borrowed.
    unsafe {
        TensorRef::from_raw(address, matrix.dtype(), &shape, matrix.strides(), matrix.location())
    }
}
