//! The run of a layer.

use super::attention::MlaAttention;
use super::operation::Operation;
use super::operations::{Run, Tokens};
use super::scratch::{Buffers, LayerScratch};
use crate::attention::{self, Decode};
use crate::cache::{self, AppendRows};
use crate::dtype::DType;
use crate::error::Result;
use crate::norm::RmsNorm;
use crate::plan::{DecodePlan, Planner};
use crate::stream::StreamRef;
use crate::tensor::{TensorMut, TensorRef};

/// The tensors of one run. All are on the layer's device.
#[derive(Debug)]
pub struct Forward<'a> {
    /// Hidden states, normalised as the model does before attention: `[tokens, hidden]`, on a GPU and in the simulator
    /// of the layer's type, on the CPU bf16, f16 or f32; `tokens` is the plan's `batch · s_q`, those of a request side
    /// by side.
    pub hidden: TensorRef<'a>,
    /// The layer's cache: `[blocks, block size, 1, 576]`. The tokens' rows are written to where the plan's block table
    /// says.
    pub kv_cache: TensorMut<'a>,
    /// [`Rope::table`](crate::Rope::table): `[positions, 32, 2] f32`.
    pub rope: TensorRef<'a>,
    /// Memory between the operations.
    pub scratch: &'a mut LayerScratch,
    /// What is to be added to the residual stream, after the sum over ranks: `[tokens, hidden]`, of a type that
    /// `hidden` may have. It may not share memory with `hidden`.
    pub out: TensorMut<'a>,
}

impl MlaAttention {
    /// Runs the layer on the tokens of a plan: the last `s_q` of each request. They are put into the cache, and
    /// attend to it as the plan's mask says. Of a request that is shorter than `s_q` the first tokens do not exist:
    /// nothing is cached for them, and their output is 0.
    ///
    /// The planner is one for [`MlaAttention::dims`]; its plan serves all layers of the model.
    ///
    /// On a GPU the call starts the work in the order of `stream` and returns: eight launches, six where queries are not
    /// compressed. It allocates nothing and waits for nothing, and can be captured in a graph, which follows the lengths
    /// and blocks of the planner's latest step.
    ///
    /// # Errors
    /// - [`Error::LocationMismatch`](crate::Error::LocationMismatch) if the planner, the stream or a tensor is of
    ///   another device.
    /// - [`Error::ShapeMismatch`](crate::Error::ShapeMismatch), [`Error::RankMismatch`](crate::Error::RankMismatch),
    ///   [`Error::DTypeMismatch`](crate::Error::DTypeMismatch), [`Error::NotAFloat`](crate::Error::NotAFloat) if a
    ///   tensor is not what its field says, or the planner or the scratch was made for other layers.
    /// - [`Error::Misaligned`](crate::Error::Misaligned), and on a GPU
    ///   [`Error::MisalignedStride`](crate::Error::MisalignedStride) and
    ///   [`Error::StrideMismatch`](crate::Error::StrideMismatch), if the device cannot follow the layout of a tensor: a
    ///   GPU wants columns to be contiguous, addresses and other strides to be multiples of 16 bytes.
    /// - [`Error::Capacity`](crate::Error::Capacity) if there are more tokens than the scratch has room for,
    ///   [`Error::OutOfRange`](crate::Error::OutOfRange) if a request has positions that `rope` has not.
    /// - [`Error::PlanOfAnotherPlanner`](crate::Error::PlanOfAnotherPlanner),
    ///   [`Error::StalePlan`](crate::Error::StalePlan).
    ///
    /// All of these leave cache and output as they were; [`Error::Driver`](crate::Error::Driver) may not.
    pub fn forward(
        &self,
        planner: &Planner,
        plan: &DecodePlan,
        stream: StreamRef<'_>,
        args: Forward<'_>,
    ) -> Result<()> {
        self.forward_observed(planner, plan, stream, args, &mut |_| Ok(()))
    }

    /// As [`MlaAttention::forward`]; `after` is called behind each operation: on a GPU, where it is in the stream and
    /// may not have begun. What it gives to the stream comes before the next operation, an event that tells the time,
    /// for example.
    ///
    /// # Errors
    /// As for [`MlaAttention::forward`], and the first error of `after`, which ends the run.
    pub fn forward_observed(
        &self,
        planner: &Planner,
        plan: &DecodePlan,
        stream: StreamRef<'_>,
        args: Forward<'_>,
        after: &mut dyn FnMut(Operation) -> Result<()>,
    ) -> Result<()> {
        planner.check_plan(plan)?;
        let tokens = Tokens::new(planner, plan);
        self.check_run(planner, &tokens, stream, &args)?;
        let Forward { hidden, mut kv_cache, rope, scratch, out } = args;
        if tokens.count() == 0 {
            return Ok(());
        }
        let LayerScratch { workspace, buffers, .. } = scratch;
        let run = Run { stream, workspace, tokens };
        self.project_hidden(&run, hidden, buffers)?;
        after(Operation::ProjectHidden)?;
        self.query(&run, rope, buffers, after)?;
        self.append(planner, plan, stream, rope, buffers, kv_cache.reborrow())?;
        after(Operation::Append)?;
        self.attend(planner, plan, stream, buffers, &kv_cache)?;
        after(Operation::Attend)?;
        self.output(&run, buffers, out, after)
    }

    /// `projected` from hidden states: with one product, if its parts stand side by side.
    fn project_hidden(
        &self,
        run: &Run<'_>,
        hidden: TensorRef<'_>,
        buffers: &mut Buffers,
    ) -> Result<()> {
        let (tokens, projected, weight) =
            (run.tokens.count(), &mut buffers.projected, &self.hidden);
        if let Some(both) = projected.both_mut(tokens)? {
            return self.operations.project(run, hidden, weight.view(), both);
        }
        let of_cache = weight.rows() - self.dims.d_qk() as usize;
        let query = projected.query_mut(tokens)?;
        self.operations.project(run, hidden, weight.part(0..of_cache), query)?;
        let cached = projected.cached_mut(tokens)?;
        self.operations.project(run, hidden, weight.part(of_cache..weight.rows()), cached)
    }

    /// `absorbed` from `projected`.
    fn query(
        &self,
        run: &Run<'_>,
        rope: TensorRef<'_>,
        buffers: &mut Buffers,
        after: &mut dyn FnMut(Operation) -> Result<()>,
    ) -> Result<()> {
        let (count, heads) = (run.tokens.count(), self.dims.h_q() as usize);
        let (operations, width) = (&self.operations, self.config.qk_head_dim());
        let activation = operations.activation(self.dtype);
        let Buffers { projected, compressed, q, absorbed, .. } = buffers;
        let q = match &self.compressed {
            None => projected.query_heads(count, heads)?,
            Some(query) => {
                let shape = [count, query.norm.vector().shape()[0]];
                let normalised = compressed.view_mut(activation, &shape)?;
                let norm = self.norm(query.norm.vector());
                operations.normalise(run, projected.query(count)?, norm, normalised)?;
                after(Operation::Normalise)?;
                let flat = q.view_mut(activation, &[count, heads * width])?;
                let normalised = compressed.view(activation, &shape)?;
                operations.project(run, normalised, query.up.view(), flat)?;
                after(Operation::ProjectQuery)?;
                q.view(activation, &[count, heads, width])?
            }
        };
        let shape = [count, heads, self.dims.d_qk() as usize];
        let absorbed = absorbed.view_mut(self.dtype, &shape)?;
        operations.absorb(run, q, self.w_uk.by_head(heads), rope, absorbed)?;
        after(Operation::Absorb)
    }

    /// The tokens' rows of the cache from `projected`.
    fn append(
        &self,
        planner: &Planner,
        plan: &DecodePlan,
        stream: StreamRef<'_>,
        rope: TensorRef<'_>,
        buffers: &Buffers,
        kv_cache: TensorMut<'_>,
    ) -> Result<()> {
        let tokens = plan.batch() * plan.s_q() as usize;
        let [latent, rope_part] =
            buffers.projected.latent_and_rope(tokens, self.dims.latent() as usize)?;
        let args = AppendRows {
            latent,
            rope: rope_part,
            norm: Some(self.norm(self.kv_a_norm.vector())),
            rotations: Some(rope),
            lengths: planner.lengths(plan)?,
            block_table: planner.block_table(plan)?,
            offsets: None,
            scales: cache::Scales::Exact,
            kv_cache,
        };
        cache::append(&self.device, stream, args)
    }

    /// `o` from `absorbed`.
    fn attend(
        &self,
        planner: &Planner,
        plan: &DecodePlan,
        stream: StreamRef<'_>,
        buffers: &mut Buffers,
        kv_cache: &TensorMut<'_>,
    ) -> Result<()> {
        let (batch, s_q, heads) = (plan.batch(), plan.s_q() as usize, self.dims.h_q() as usize);
        let (d_qk, d_v) = (self.dims.d_qk() as usize, self.dims.d_v() as usize);
        let args = Decode {
            q: buffers.absorbed.view(self.dtype, &[batch, s_q, heads, d_qk])?,
            kv_cache: kv_cache.as_ref(),
            out: buffers.o.view_mut(self.dtype, &[batch, s_q, heads, d_v])?,
            lse: buffers.lse.view_mut(DType::F32, &[batch, heads, s_q])?,
            softmax_scale: self.config.softmax_scale(),
            softcap: None,
        };
        attention::decode(planner, plan, stream, args)
    }

    /// The layer's output from `o`.
    fn output(
        &self,
        run: &Run<'_>,
        buffers: &mut Buffers,
        out: TensorMut<'_>,
        after: &mut dyn FnMut(Operation) -> Result<()>,
    ) -> Result<()> {
        let (count, heads) = (run.tokens.count(), self.dims.h_q() as usize);
        let (activation, v) = (self.operations.activation(self.dtype), self.config.v_head_dim);
        let Buffers { o, values, .. } = buffers;
        let o = o.view(self.dtype, &[count, heads, self.dims.d_v() as usize])?;
        let by_head = values.view_mut(activation, &[count, heads, v])?;
        self.operations.expand(run, o, self.w_uv.by_head(heads), by_head)?;
        after(Operation::Expand)?;
        let values = values.view(activation, &[count, heads * v])?;
        self.operations.project(run, values, self.o.view(), out)?;
        after(Operation::ProjectOutput)
    }

    const fn norm<'a>(&self, weight: TensorRef<'a>) -> RmsNorm<'a> {
        RmsNorm { weight, eps: self.config.rms_norm_eps as f32 }
    }
}
