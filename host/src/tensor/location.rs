//! Where memory is.

use std::fmt;

/// The memory that an address belongs to, or the device that a stream belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// The memory of this process.
    Host,
    /// The memory of a GPU.
    Cuda {
        /// Number of the GPU, as the driver counts.
        ordinal: u32,
    },
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("the host"),
            Self::Cuda { ordinal } => write!(f, "GPU {ordinal}"),
        }
    }
}
