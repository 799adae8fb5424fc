//! What one decode step cannot show.

pub mod cached_rows;
mod determinism;
mod fp8;
pub mod layers;
mod memory;
mod norms;
mod planner;
mod poison;
pub mod products;
pub mod refusals;
pub mod sparse;
mod threads;
mod variants;

#[cfg(feature = "gpu")]
mod far_pool;
#[cfg(feature = "gpu")]
mod graph;
#[cfg(feature = "gpu")]
pub mod host_path;
#[cfg(feature = "gpu")]
mod streams;

use anyhow::Result;

use crate::session::Session;

/// A check, which any device must pass.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Runs it.
    pub run: fn(&mut Session) -> Result<()>,
}

/// What every device must pass.
pub const EVERY_DEVICE: &[Check] = &[
    Check { name: "block-order", run: planner::block_order },
    Check { name: "planner-reuse", run: planner::reuse },
    Check { name: "layers", run: planner::layers },
    Check { name: "empty-batch", run: planner::empty_batch },
    Check { name: "batch-neighbours", run: determinism::neighbours },
    Check { name: "same-step-again", run: determinism::repetition },
    Check { name: "variants-agree", run: variants::agree },
    Check { name: "out-of-memory", run: memory::exhausted },
    Check { name: "poison", run: poison::stays_in_its_request },
    Check { name: "refusals", run: refusals::all },
    Check { name: "threads", run: threads::independent },
    Check { name: "append", run: cached_rows::new_rows },
    Check { name: "append-plan", run: cached_rows::rows_of_a_plan },
    Check { name: "append-out-of-place", run: cached_rows::rows_without_a_place },
    Check { name: "gather", run: cached_rows::gathered_rows },
    Check { name: "copy-blocks", run: cached_rows::copied_blocks },
    Check { name: "fp8-append", run: fp8::new_rows },
    Check { name: "fp8-append-out-of-place", run: fp8::rows_without_a_place },
    Check { name: "fp8-gather", run: fp8::gathered_rows },
    Check { name: "fp8-copy-blocks", run: fp8::copied_blocks },
    Check { name: "fp8-decode", run: fp8::decoded },
    Check { name: "fp8-math", run: fp8::multiplied },
    Check { name: "sparse", run: sparse::attended },
    Check { name: "sparse-second-cache", run: sparse::second_caches },
    Check { name: "sparse-fp8", run: sparse::over_fp8 },
    Check { name: "sparse-refusals", run: sparse::refused },
    Check { name: "gemm", run: products::small },
    Check { name: "absorb", run: products::absorbed },
    Check { name: "expand", run: products::expanded },
    Check { name: "gemm-refusals", run: products::refused },
    Check { name: "normalise", run: norms::rows },
    Check { name: "normalise-refusals", run: norms::refused },
    Check { name: "layer-decode", run: layers::decode },
    Check { name: "layer-prefill", run: layers::prefill },
    Check { name: "layer-steps", run: layers::steps },
];

/// What a GPU must pass first, before anybody has loaded kernels.
#[cfg(feature = "gpu")]
pub const UNLOADED: &[Check] =
    &[Check { name: "graph-before-kernels", run: graph::before_kernels }];

/// What a GPU must pass beside that.
#[cfg(feature = "gpu")]
pub const GPU: &[Check] = &[
    Check { name: "graph", run: graph::replay },
    Check { name: "graph-refuses-plan", run: graph::stream_out_of_capture },
    Check { name: "streams", run: streams::foreign_and_default },
    Check { name: "decode-allocates-nothing", run: host_path::allocations },
    Check { name: "cache-allocates-nothing", run: cached_rows::allocations },
    Check { name: "gemm-allocates-nothing", run: products::allocations },
    Check { name: "decode-host-time", run: host_path::time },
    Check { name: "gemm-layer-sizes", run: products::layer_sizes },
    Check { name: "layer-graph", run: layers::replayed_steps },
    Check { name: "layer-allocates-nothing", run: layers::allocations },
    Check { name: "layer-model-sizes", run: layers::model_sizes },
    Check { name: "sparse-graph", run: sparse::gpu::replayed },
    Check { name: "sparse-allocates-nothing", run: sparse::gpu::allocations },
    Check { name: "sparse-model-sizes", run: sparse::gpu::model_sizes },
    Check { name: "far-pool", run: far_pool::beyond_two_billion_elements },
];

/// Those that compute-sanitizer cannot judge: it counts what the driver refuses as an error, slows host and kernels
/// down, and keeps a copy of all memory.
#[cfg(feature = "gpu")]
pub const NOT_SMALL: &[&str] =
    &["out-of-memory", "decode-host-time", "far-pool", "layer-model-sizes", "sparse-model-sizes"];
