//! candle's CPU tensors for oxmla, and back; nothing is copied.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use oxmla_candle::{CpuRef, new_tensor, write};
//!
//! # fn main() -> oxmla_candle::Result<()> {
//! let cache = Tensor::zeros((4, 64, 1, 576), DType::BF16, &Device::Cpu)?;
//! let borrowed = CpuRef::new(&cache)?;
//! assert_eq!(borrowed.view()?.shape()[..], [4, 64, 1, 576]);
//! drop(borrowed);
//!
//! // In place, as a cache is appended to.
//! write(&cache, |cache| Ok(assert_eq!(cache.dtype(), oxmla::DType::Bf16)))?;
//! // As the output of a call.
//! let (out, ()) = new_tensor(DType::F32, &[2, 3], |out| Ok(assert_eq!(out.shape()[..], [2, 3])))?;
//! assert_eq!(out.to_vec2::<f32>()?, [[0.0; 3]; 2]);
//! # Ok(())
//! # }
//! ```
//!
//! Tensors of bf16, f16, f32 and i32 with up to four axes, gaps and offsets included. The example `deepseek_v2` has
//! candle-transformers' DeepSeek-V2 beside the same model with oxmla's attention.

mod error;
mod read;
mod write;

pub use error::{Error, Result};
pub use read::CpuRef;
pub use write::{new_tensor, write};
