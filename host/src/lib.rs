//! Multi-head latent attention (MLA) for NVIDIA Hopper GPUs, and for machines without one, in Rust alone.

mod attention;
pub mod backend;
mod buffer;
pub mod cache;
mod check;
mod device;
mod dims;
mod dtype;
mod error;
pub mod plan;
mod stream;
mod tensor;

pub use attention::{Decode, decode, decode_main_kernel};
pub use backend::cpu::Precision;
pub use buffer::Buffer;
pub use cache::{
    Append, BLOCK_SIZE, BlockCopy, BlockPool, BlockTable, CacheLayout, LatentCache, Sequence, Slot,
};
pub use device::{Candidate, Device};
pub use dims::{MlaDims, kv_cache_bytes_per_token};
pub use dtype::{DType, Element};
pub use error::{Error, Result};
pub use plan::{DecodePlan, Mask, Planner, PlannerConfig, Step};
pub use stream::{Stream, StreamRef};
pub use tensor::{Location, Shape, TensorMut, TensorRef};
