//! How the lists of few query tokens are split among CTAs.

use std::sync::atomic::{AtomicU64, Ordering};

use oxmla_kernels::abi::{Reach, Rows};
use oxmla_kernels::decode::sparse::abi::listed_tokens;

use super::checks::Problem;
use crate::check;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::plan::schedule::{self, Cut};
use crate::plan::{Splitting, Workspace, divide, multiprocessors};

/// What a [`SparsePlanner`] is made for. Memory is reserved for the maxima once; steps may be smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SparsePlannerConfig {
    /// Query heads.
    pub h_q: u32,
    /// Most query tokens in a step.
    pub max_tokens: usize,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SparseStep {
    /// Query tokens.
    pub tokens: usize,
    /// Indices of each.
    pub topk: usize,
    /// Indices of each into the second cache; 0 without one.
    pub extra_topk: usize,
}

/// Plans steps of [`sparse_decode`](super::sparse_decode) on one device, and owns the memory that they need besides the
/// tensors: partial results of lists that are split, and counters of these.
///
/// That memory is one step's at a time: steps on one stream follow each other in order; a caller with several streams
/// orders them, as for any memory that they share. Nothing of a step is kept in it, so that plans stay good.
#[derive(Debug)]
pub struct SparsePlanner {
    id: u64,
    device: Device,
    config: SparsePlannerConfig,
    /// `None` on the host, which keeps no partial results.
    workspace: Option<Workspace>,
}

/// One step, for all layers, and for all later steps of the same size: made by [`SparsePlanner::plan`].
#[derive(Clone, Copy, Debug)]
pub struct SparsePlan {
    planner: u64,
    step: SparseStep,
    h_q: u32,
    parts: u32,
    cut: Cut,
}

impl SparsePlanner {
    /// A planner for `device`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a maximum is 0, or more than the kernels can count; [`Error::OutOfMemory`],
    /// [`Error::SizeOverflow`], [`Error::Driver`], or [`Error::ModuleLoad`]: the first planner loads the kernels, see
    /// [`Device::load`].
    pub fn new(device: &Device, config: SparsePlannerConfig) -> Result<Self> {
        let SparsePlannerConfig { h_q, max_tokens } = config;
        check::range("h_q", h_q, 1, 1 << 20)?;
        check::range("max_tokens", max_tokens as i128, 1, 1 << 29)?;
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = device {
            crate::backend::cuda::prepare_sparse(device)?;
        }
        let workspace = match multiprocessors(device) {
            None => None,
            Some(multiprocessors) => {
                let tiles = Rows::pack(1, h_q, 1).tiles();
                let partial_tiles = Splitting::balanced_tiles(multiprocessors, tiles);
                let counters = max_tokens as u64 * u64::from(tiles);
                Some(Workspace::new(device, 0, partial_tiles, counters)?)
            }
        };
        static PLANNERS: AtomicU64 = AtomicU64::new(0);
        let id = PLANNERS.fetch_add(1, Ordering::Relaxed);
        Ok(Self { id, device: device.clone(), config, workspace })
    }

    /// Plans a step. On a GPU nothing is uploaded: the kernel finds lengths where the caller has them, and a step with
    /// fewer indices than `topk` for some tokens is as right, if perhaps not as even.
    ///
    /// # Errors
    /// [`Error::Capacity`] if there are more tokens than the planner was made for, [`Error::OutOfRange`] if there are
    /// more indices than kernels can count, [`Error::ScheduleTooLarge`].
    pub fn plan(&self, step: SparseStep) -> Result<SparsePlan> {
        let SparseStep { tokens, topk, extra_topk } = step;
        let limit = self.config.max_tokens;
        if tokens > limit {
            return Err(Error::Capacity { quantity: "tokens", limit, got: tokens });
        }
        check::range("topk", topk as i128, 0, 1 << 29)?;
        check::range("extra_topk", extra_topk as i128, 0, 1 << 29)?;
        let h_q = self.config.h_q;
        let lengths = vec![listed_tokens(topk as u32, extra_topk as u32); tokens];
        let tiles = Rows::pack(1, h_q, 1).tiles();
        let (parts, cut) = divide(&self.device, Splitting::Balanced, &lengths, Reach::ALL, tiles)?;
        schedule::total_cost(&lengths, cut, Reach::ALL)?;
        Ok(SparsePlan { planner: self.id, step, h_q, parts, cut })
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// What the planner was made for.
    #[must_use]
    pub const fn config(&self) -> &SparsePlannerConfig {
        &self.config
    }

    /// Bytes that the planner has reserved on its device.
    #[must_use]
    pub fn workspace_bytes(&self) -> usize {
        self.workspace.as_ref().map_or(0, Workspace::bytes)
    }

    pub(super) const fn check_plan(&self, plan: &SparsePlan) -> Result<()> {
        if plan.planner == self.id {
            return Ok(());
        }
        Err(Error::PlanOfAnotherPlanner { plan: plan.planner, planner: self.id })
    }

    #[cfg(feature = "cuda")]
    pub(super) const fn workspace(&self) -> Option<&Workspace> {
        self.workspace.as_ref()
    }
}

impl SparsePlan {
    /// The step that it is for.
    #[must_use]
    pub const fn step(&self) -> &SparseStep {
        &self.step
    }

    /// Parts that the lists are divided into; each is one CTA per tile of 64 heads.
    #[must_use]
    pub const fn parts(&self) -> u32 {
        self.parts
    }

    /// How they are divided among the parts.
    #[must_use]
    pub const fn cut(&self) -> Cut {
        self.cut
    }

    /// Refuses tensors of another step.
    pub(super) fn check(&self, problem: &Problem) -> Result<()> {
        let SparseStep { tokens, topk, extra_topk } = self.step;
        check::axis("q", "tokens", problem.tokens, tokens)?;
        check::axis("q", "h_q", problem.h_q, self.h_q as usize)?;
        check::axis("indices", "topk", problem.topk, topk)?;
        check::axis("extra indices", "topk", problem.extra_topk, extra_topk)
    }
}
