//! Which device a command runs on.

use clap::ValueEnum;
use oxmla::{DType, Device};

/// Choice of the device, for the commands that run something.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct BackendArgs {
    /// What to run on; `auto` is a GPU that can be used, or else the CPU; `sim` runs the GPU's kernels on the CPU,
    /// slowly, to find mistakes in them
    #[arg(long, value_enum, default_value_t = Backend::Auto)]
    backend: Backend,
    /// Number of the GPU, with `--backend cuda`
    #[arg(long, value_name = "N", default_value_t = 0)]
    device: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Backend {
    Auto,
    Cpu,
    Cuda,
    Sim,
}

impl BackendArgs {
    /// Opens the device.
    pub fn open(&self) -> oxmla::Result<Device> {
        match self.backend {
            Backend::Auto => Ok(Device::best()),
            Backend::Cpu => Ok(Device::cpu()),
            Backend::Cuda => Device::cuda(self.device),
            Backend::Sim => Ok(Device::simulator()),
        }
    }
}

/// Element type of queries, cache and outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AttentionType {
    Bf16,
    F16,
}

impl From<AttentionType> for DType {
    fn from(dtype: AttentionType) -> Self {
        match dtype {
            AttentionType::Bf16 => Self::Bf16,
            AttentionType::F16 => Self::F16,
        }
    }
}
