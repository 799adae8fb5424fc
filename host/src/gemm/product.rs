//! What all calls come down to: a batch of products, and perhaps a rotation beside it.

use oxmla_kernels::gemm::abi::Shape;
#[cfg(feature = "cuda")]
use oxmla_kernels::gemm::tiling::Tiling;

use super::Workspace;
#[cfg(feature = "cuda")]
use super::gpu_layout;
use crate::backend::cpu;
#[cfg(feature = "cuda")]
use crate::backend::cuda;
#[cfg(feature = "sim")]
use crate::backend::sim;
use crate::check;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::stream::StreamRef;
use crate::tensor::{TensorMut, TensorRef};

/// `y[b] = x[b] · weight[b]ᵀ`, of the first `k` columns of `x` into the first `n` of `y`.
#[derive(Debug)]
pub(crate) struct Product<'a> {
    /// `[batch, m, k]`, or `[batch, m, k + 64]` with a rotation.
    pub x: TensorRef<'a>,
    /// `[batch, n, k]`.
    pub weight: TensorRef<'a>,
    /// `[batch, m, n]`, or `[batch, m, n + 64]` with a rotation.
    pub y: TensorMut<'a>,
    /// The rotation of the last 64 columns of `x` into the last of `y`; rows are tokens, the batch is heads.
    pub turning: Option<Turning<'a>>,
    /// Sizes.
    pub shape: Shape,
    /// How a GPU cuts it, if not as it thinks best.
    #[cfg(feature = "cuda")]
    pub tiling: Option<Tiling>,
}

/// Where tokens stand, and how rope parts are turned there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turning<'a> {
    /// `[positions, 32, 2] f32`.
    pub rotations: TensorRef<'a>,
    /// `[requests] i32`: the last token of a request is at `length − 1`.
    pub lengths: TensorRef<'a>,
    /// Consecutive tokens of a request.
    pub tokens_per_request: usize,
}

impl<'a> Product<'a> {
    /// The product of tensors `[batch, rows, columns]` whose sizes fit together.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a size is more than the kernels count, or there are no inputs.
    pub fn new(
        x: TensorRef<'a>,
        weight: TensorRef<'a>,
        y: TensorMut<'a>,
        turning: Option<Turning<'a>>,
    ) -> Result<Self> {
        let [batch, m, n, k] = [x.shape()[0], x.shape()[1], weight.shape()[1], weight.shape()[2]];
        check::range("batch", batch as i128, 0, i32::MAX)?;
        check::range("tokens", m as i128, 0, i32::MAX)?;
        check::range("outputs", n as i128, 0, i32::MAX)?;
        check::range("inputs", k as i128, 1, MOST_INPUTS)?;
        check::range("tokens · heads", (batch * m) as i128, 0, i32::MAX)?;
        let shape = Shape { batch: batch as u32, m: m as u32, n: n as u32, k: k as u32 };
        Ok(Self {
            x,
            weight,
            y,
            turning,
            shape,
            #[cfg(feature = "cuda")]
            tiling: None,
        })
    }

    /// Computes it, in the order of `stream`.
    pub fn run(&self, device: &Device, stream: StreamRef<'_>, workspace: &Workspace) -> Result<()> {
        check::location("stream", stream.location(), device.location())?;
        check::location("workspace", workspace.location(), device.location())?;
        match device {
            Device::Cpu(cpu) => {
                self.check_lengths()?;
                cpu::product::run(*cpu, self);
                Ok(())
            }
            #[cfg(feature = "sim")]
            Device::Sim(simulator) => {
                self.check_lengths()?;
                sim::product::run(*simulator, self)
            }
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => {
                gpu_layout::check(self)?;
                // The workspace of this GPU, for its location is.
                workspace
                    .gpu()
                    .map_or(Ok(()), |memory| cuda::launch_gemm(device, stream.raw(), memory, self))
            }
        }
    }

    /// Whether there is nothing to compute.
    #[cfg(any(feature = "cuda", feature = "sim"))]
    pub fn is_empty(&self) -> bool {
        let Shape { batch, m, n, .. } = self.shape;
        [batch, m, n].contains(&0)
    }

    /// Position of a token in its request, if it has one.
    pub fn position(&self, turning: &Turning<'_>, token: usize) -> Option<usize> {
        let each = turning.tokens_per_request;
        let length = crate::cache::index_at(&turning.lengths, [token / each]);
        let length = usize::try_from(length).unwrap_or(0);
        (length + token % each).checked_sub(each)
    }

    /// Refuses lengths that make no sense, where the host can read them.
    fn check_lengths(&self) -> Result<()> {
        let Some(turning) = &self.turning else { return Ok(()) };
        let positions = turning.rotations.shape()[0];
        for request in 0..turning.lengths.shape()[0] {
            let got = crate::cache::index_at(&turning.lengths, [request]);
            if got < 0 {
                return Err(Error::NegativeLength { request, got });
            }
            check::range("lengths", got, 0, positions as i128)?;
        }
        Ok(())
    }
}

/// Inputs whose blocks the kernels count without overflow.
const MOST_INPUTS: i32 = (1 << 24) - 1;
