//! What every benchmark of kernels takes: a GPU, and where results go.

use std::path::PathBuf;

/// Arguments of all benchmarks that only a GPU can run.
#[derive(clap::Args, Debug)]
pub struct GpuArgs {
    /// Number of the GPU
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub device: u32,
    /// Append one JSON object per row to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Commit to note in the results [default: the one checked out here]
    #[arg(long, value_name = "HASH")]
    pub commit: Option<String>,
}
