//! What can go wrong.

use candle_core::{DType, DeviceLocation};

/// Result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a tensor cannot be handed over, or what its use came to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor in the memory of a GPU.
    #[error("the tensor must be on the CPU, but is on {got:?}")]
    NotOnCpu {
        /// Where it is.
        got: DeviceLocation,
    },
    /// Elements that oxmla has no type for.
    #[error("the tensor must be bf16, f16, f32 or i32, but is {}", .got.as_str())]
    UnsupportedDType {
        /// Type they have.
        got: DType,
    },
    /// An error of oxmla: of the view, or of what was done with it.
    #[error(transparent)]
    Oxmla(#[from] oxmla::Error),
    /// An error of candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
