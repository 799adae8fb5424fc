//! What a device does for a layer beside attention and the cache: the seam between the layer and the devices.

use std::fmt::Debug;

use super::config::MlaConfig;
use super::forward::Forward;
use super::host::Host;
#[cfg(any(feature = "cuda", feature = "sim"))]
use super::kernels::Kernels;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::gemm::Workspace;
use crate::norm::RmsNorm;
use crate::plan::{DecodePlan, Planner};
use crate::stream::StreamRef;
use crate::tensor::{TensorMut, TensorRef};

/// Operations of a layer, each in the order of the run's stream. Arguments have been checked: tensors are on the device,
/// have the shapes that each operation says, and are aligned to their elements. Tokens are those of all requests, those
/// of a request side by side.
pub trait Operations: Debug + Send + Sync {
    /// Type of what is between two operations of a layer of type `dtype`, unless attention reads or wrote it.
    fn activation(&self, dtype: DType) -> DType;

    /// Type that the weights of a layer of type `dtype` are kept in, if not in their own.
    fn weight_type(&self, dtype: DType) -> Option<DType>;

    /// Refuses sizes that the device cannot work with.
    fn check_config(&self, config: &MlaConfig) -> Result<()>;

    /// Refuses types and layouts of a run's tensors that the device cannot follow.
    fn check_tensors(&self, dtype: DType, args: &Forward<'_>) -> Result<()>;

    /// `y = x · weightᵀ`: `x [tokens, inputs]`, `weight [outputs, inputs]`, `y [tokens, outputs]`.
    fn project(
        &self,
        run: &Run<'_>,
        x: TensorRef<'_>,
        weight: TensorRef<'_>,
        y: TensorMut<'_>,
    ) -> Result<()>;

    /// RMS norm of each row of `x [tokens, width]`.
    fn normalise(
        &self,
        run: &Run<'_>,
        x: TensorRef<'_>,
        norm: RmsNorm<'_>,
        y: TensorMut<'_>,
    ) -> Result<()>;

    /// Queries for attention, `absorbed [tokens, heads, 576]`, from `q [tokens, heads, nope + rope]`: of each head
    /// `q_nope · W_UK`, then its rotated part; `w_uk [heads, 512, nope]`. What a token without position gets is not
    /// said: it attends to nothing.
    fn absorb(
        &self,
        run: &Run<'_>,
        q: TensorRef<'_>,
        w_uk: TensorRef<'_>,
        rope: TensorRef<'_>,
        absorbed: TensorMut<'_>,
    ) -> Result<()>;

    /// Values from what attention wrote, `o [tokens, heads, 512]`: `values [tokens, heads, v] = o · W_UVᵀ`, head
    /// by head; `w_uv [heads, v, 512]`.
    fn expand(
        &self,
        run: &Run<'_>,
        o: TensorRef<'_>,
        w_uv: TensorRef<'_>,
        values: TensorMut<'_>,
    ) -> Result<()>;
}

/// The operations of a device.
pub fn of(device: &Device) -> Box<dyn Operations> {
    match device {
        Device::Cpu(_) => Box::new(Host),
        #[cfg(feature = "sim")]
        Device::Sim(_) => Box::new(Kernels::new(device)),
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => Box::new(Kernels::new(device)),
    }
}

/// The run of a layer that an operation is part of.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(any(feature = "cuda", feature = "sim")),
    expect(dead_code, reason = "the CPU has no streams, and exchanges nothing")
)]
pub struct Run<'a> {
    /// In whose order.
    pub stream: StreamRef<'a>,
    /// Where CTAs exchange sums; nobody else uses it meanwhile.
    pub workspace: &'a Workspace,
    /// Of which tokens.
    pub tokens: Tokens<'a>,
}

/// The tokens of a step: of each request the last `s_q`, token `i` of the step being token `i % s_q` of request
/// `i / s_q`. A request may be shorter than `s_q`; its first tokens then have no position.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    planner: &'a Planner,
    plan: &'a DecodePlan,
}

impl<'a> Tokens<'a> {
    /// The tokens of a plan of `planner`.
    pub const fn new(planner: &'a Planner, plan: &'a DecodePlan) -> Self {
        Self { planner, plan }
    }

    /// Tokens of all requests.
    pub const fn count(&self) -> usize {
        self.plan.batch() * self.plan.s_q() as usize
    }

    /// Tokens of the longest request.
    pub fn longest(&self) -> usize {
        self.lengths().iter().map(|&length| length as usize).max().unwrap_or(0)
    }

    /// Position of a token in its request.
    pub fn position(&self, token: usize) -> Option<usize> {
        let s_q = self.plan.s_q() as usize;
        let length = self.lengths()[token / s_q] as usize;
        (length + token % s_q).checked_sub(s_q)
    }

    /// Cached tokens of each request, on the device: `[batch] i32`.
    #[cfg(any(feature = "cuda", feature = "sim"))]
    pub fn lengths_on_device(&self) -> Result<TensorRef<'a>> {
        self.planner.lengths(self.plan)
    }

    fn lengths(&self) -> &[i32] {
        self.planner.tables().lengths(self.plan.batch())
    }
}
