//! Outcome of a call.

use oxmla::Error;

/// Outcome of a call; `oxmla_last_error` has the text. Anything but `OXMLA_STATUS_OK` means that the call was
/// refused or failed; one that was refused has changed nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OxmlaStatus {
    /// Done; on a GPU, given to the stream.
    Ok = 0,
    /// A pointer that must not be null.
    NullPointer = 1,
    /// An argument that is not what its description says.
    InvalidArgument = 2,
    /// A decode without a plan: none was made, or the driver failed in the middle of the latest.
    NoPlan = 3,
    /// The device has not the memory that the call needs.
    OutOfMemory = 4,
    /// No usable NVIDIA driver, or a library built without GPUs.
    NoDriver = 5,
    /// The thread's current context is not the primary context of a GPU.
    NoContext = 6,
    /// A GPU or a driver that the kernels are not made for.
    UnsupportedDevice = 7,
    /// A call of the CUDA driver failed.
    Driver = 8,
    /// A defect of the library. The planner is good for nothing but to be destroyed.
    Internal = 9,
}

impl From<&Error> for OxmlaStatus {
    /// Whatever is not about the machine is about the arguments.
    fn from(error: &Error) -> Self {
        match error {
            Error::StalePlan { .. } => Self::NoPlan,
            Error::OutOfMemory { .. } => Self::OutOfMemory,
            Error::NoDriver { .. } => Self::NoDriver,
            Error::NoPrimaryContext { .. } => Self::NoContext,
            Error::UnsupportedDevice { .. }
            | Error::OldDriver { .. }
            | Error::ModuleLoad { .. } => Self::UnsupportedDevice,
            Error::Driver { .. } | Error::DeviceLost { .. } => Self::Driver,
            _ => Self::InvalidArgument,
        }
    }
}
