//! Checks of a run's arguments.

use super::attention::MlaAttention;
use super::forward::Forward;
use super::operations::Tokens;
use super::scratch::Widths;
use crate::check;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::plan::{Planner, PlannerConfig};
use crate::rope::ROPE_PAIRS;
use crate::stream::StreamRef;

impl MlaAttention {
    /// Refuses a planner, a scratch or tensors that do not fit the layer.
    pub(super) fn check_run(
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
        check::location("scratch", scratch.workspace.location(), device)?;
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
        self.check_tensors(config, tokens, args)?;
        self.operations.check_tensors(self.dtype, args)
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
            [blocks, ("block_size", config.block_size), h_k, d_qk],
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
