//! Attention over the cache.

mod checks;
#[cfg(any(feature = "cuda", test))]
mod gpu_layout;
#[cfg(feature = "cuda")]
mod launch;

use crate::backend::cpu;
#[cfg(feature = "sim")]
use crate::backend::sim;
use crate::device::Device;
use crate::error::Result;
use crate::plan::{DecodePlan, Planner};
use crate::stream::StreamRef;
use crate::tensor::{TensorMut, TensorRef};

/// The tensors of one layer's decode attention. All are on the planner's device; queries, output and the cache, if it
/// is none in an FP8 format, have the planner's type.
#[derive(Debug)]
pub struct Decode<'a> {
    /// Queries, with W_UK absorbed and the rotary part last: `[batch, s_q, h_q, 576]`.
    pub q: TensorRef<'a>,
    /// Cached rows: `[blocks, block size, h_k, 576]`, as many blocks and of the size that the planner was told; or, for
    /// one KV head, `[blocks, block size, 1, 656]` bytes of
    /// [`Fp8Format::Token656`](crate::cache::Fp8Format::Token656), whose elements then count as
    /// [`gather`](crate::cache::gather) gives them in the type of the queries; or `[blocks, block size, 1, 644]` bytes of
    /// [`Fp8Format::Planar644`](crate::cache::Fp8Format::Planar644), over which a GPU multiplies in FP8, queries and
    /// probabilities too: to some percent, as `docs/fp8-math.md` says. Rows that no request of the plan has may
    /// hold anything, NaN included, and so may rows that are before the windows of all its query tokens.
    pub kv_cache: TensorRef<'a>,
    /// The output, in latent space: `[batch, s_q, h_q, 512]`. 0 for a query token that sees nothing.
    pub out: TensorMut<'a>,
    /// Natural logarithm of the sum of exponentials of the scaled scores: `[batch, h_q, s_q] f32`. −∞ for a
    /// query token that sees nothing.
    pub lse: TensorMut<'a>,
    /// By what scores are multiplied before the softmax; for DeepSeek-V3 `1 / sqrt(192)`, times the square
    /// of YaRN's factor.
    pub softmax_scale: f32,
    /// Soft cap of the scaled scores `s`, which become `cap · tanh(s / cap)`, as Gemma 2 has it; `None` leaves them as
    /// they are. On a GPU the tangent is that of `tanh.approx`: a capped score is off by up to 2^−11 of itself; and the first
    /// call with a cap loads the kernels for it, see [`Device::load`](crate::Device::load).
    pub softcap: Option<f32>,
}

/// Attends from `q` to what the plan's requests have cached.
///
/// On the CPU the result is there when the call returns. On a GPU the call starts the work in the order of
/// `stream` and returns: it allocates nothing and waits for nothing, and can be captured in a graph. The
/// tensors must then stay until the stream has done the work.
///
/// A GPU follows strides as far as its loads can: the innermost axis contiguous; addresses of `q`, `kv_cache`
/// and `out` and all their strides multiples of 16 bytes; query tokens and heads of `q` evenly spaced; query
/// tokens of `lse` contiguous. The CPU follows any, and so does the simulator.
///
/// # Errors
/// - [`PlanOfAnotherPlanner`](crate::Error::PlanOfAnotherPlanner), [`StalePlan`](crate::Error::StalePlan).
/// - [`LocationMismatch`](crate::Error::LocationMismatch) if a tensor or the stream is of another device.
/// - [`DTypeMismatch`](crate::Error::DTypeMismatch), [`RankMismatch`](crate::Error::RankMismatch),
///   [`ShapeMismatch`](crate::Error::ShapeMismatch) if a tensor is not what its field says.
/// - [`Misaligned`](crate::Error::Misaligned), [`MisalignedStride`](crate::Error::MisalignedStride),
///   [`StrideMismatch`](crate::Error::StrideMismatch), [`OutOfRange`](crate::Error::OutOfRange) if the device
///   cannot follow its layout.
/// - [`InvalidScale`](crate::Error::InvalidScale), [`InvalidSoftcap`](crate::Error::InvalidSoftcap).
/// - [`UnknownFormat`](crate::Error::UnknownFormat) if the cache is of bytes, and a token has none of 656, 644 and 584.
/// - [`NoKernel`](crate::Error::NoKernel) over an FP8 cache of 584 bytes a token, whose tokens are 512 wide.
///
/// All of these and [`Simulation`](crate::Error::Simulation) leave the output as it was;
/// [`Driver`](crate::Error::Driver) may not.
pub fn decode(
    planner: &Planner,
    plan: &DecodePlan,
    stream: StreamRef<'_>,
    args: Decode<'_>,
) -> Result<()> {
    planner.check_plan(plan)?;
    checks::check(planner, plan, stream, &args)?;
    match planner.device() {
        Device::Cpu(backend) => cpu::decode(*backend, planner, plan, &args),
        #[cfg(feature = "sim")]
        Device::Sim(simulator) => sim::decode(*simulator, planner, plan, &args)?,
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => {
            gpu_layout::check(&args)?;
            launch::launch(device, planner, plan, stream, &args)?;
        }
    }
    Ok(())
}
