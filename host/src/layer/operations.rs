//! What a device does for a layer beside attention and the cache: the seam between the layer and the devices.

use std::fmt::Debug;

use super::host::Host;
use super::weight::Weight;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::plan::{DecodePlan, Planner};
use crate::stream::StreamRef;
use crate::tensor::{TensorMut, TensorRef};

/// Operations of a layer, each in the order of `stream`. Arguments have been checked: tensors are on the device,
/// have the shapes that each operation says, and are aligned to their elements. `tokens` is `batch · s_q`, those
/// of a request side by side.
pub trait Operations: Debug + Send + Sync {
    /// Type of what is between two operations, unless attention reads or wrote it.
    fn activation(&self) -> DType;

    /// `y = x · weightᵀ`: `x [tokens, inputs]`, `y [tokens, outputs]`.
    fn project(
        &self,
        stream: StreamRef<'_>,
        x: TensorRef<'_>,
        weight: &Weight,
        y: TensorMut<'_>,
    ) -> Result<()>;

    /// RMS norm of each row of `x [tokens, width]`, in place: `x · weight / sqrt(mean(x²) + eps)`.
    fn normalise(&self, stream: StreamRef<'_>, x: TensorMut<'_>, norm: Norm<'_>) -> Result<()>;

    /// Queries for attention, `absorbed [tokens, heads, 576]`, from `q [tokens, heads, nope + rope]`: of each head
    /// `q_nope · W_UK`, then its rotated part. 0 for tokens without position.
    fn absorb(
        &self,
        stream: StreamRef<'_>,
        tokens: &Tokens<'_>,
        q: TensorRef<'_>,
        w_uk: &Weight,
        rope: TensorRef<'_>,
        absorbed: TensorMut<'_>,
    ) -> Result<()>;

    /// Values from what attention wrote, `o [tokens, heads, 512]`: `values [tokens, heads, v] = o · W_UVᵀ`, head
    /// by head.
    fn expand(
        &self,
        stream: StreamRef<'_>,
        o: TensorRef<'_>,
        w_uv: &Weight,
        values: TensorMut<'_>,
    ) -> Result<()>;
}

/// An RMS norm.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// `[1, width]`.
    pub weight: &'a Weight,
    /// Added to the mean square.
    pub eps: f32,
}

/// The operations of a device.
pub fn of(device: &Device) -> Result<Box<dyn Operations>> {
    match device {
        Device::Cpu(_) => Ok(Box::new(Host)),
        #[cfg(feature = "sim")]
        Device::Sim(_) => Ok(Box::new(Host)),
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => {
            let operation = "the matrix product of a layer's projections";
            let device = device.name().to_owned();
            Err(crate::error::Error::NoKernel { operation, device })
        }
    }
}

/// The tokens of a step: of each request the last `s_q`, token `i` of the step being token `i % s_q` of request
/// `i / s_q`. A request may be shorter than `s_q`; its first tokens then have no position.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    planner: &'a Planner,
    batch: usize,
    s_q: usize,
}

impl<'a> Tokens<'a> {
    /// The tokens of a plan of `planner`.
    pub const fn new(planner: &'a Planner, plan: &DecodePlan) -> Self {
        Self { planner, batch: plan.batch(), s_q: plan.s_q() as usize }
    }

    /// Tokens of all requests.
    pub const fn count(&self) -> usize {
        self.batch * self.s_q
    }

    /// Tokens of the longest request.
    pub fn longest(&self) -> usize {
        self.lengths().iter().map(|&length| length as usize).max().unwrap_or(0)
    }

    /// Position of a token in its request.
    pub fn position(&self, token: usize) -> Option<usize> {
        let length = self.lengths()[token / self.s_q] as usize;
        (length + token % self.s_q).checked_sub(self.s_q)
    }

    fn lengths(&self) -> &[i32] {
        self.planner.tables().lengths(self.batch)
    }
}
