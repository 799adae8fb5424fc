//! Attention layers out of Hugging Face checkpoints: `config.json`, and weights in safetensors files.
//!
//! ```no_run
//! use oxmla::checkpoint::Checkpoint;
//! use oxmla::layer::HeadShard;
//! use oxmla::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let checkpoint = Checkpoint::open("DeepSeek-V2-Lite")?;
//! let device = Device::cpu();
//! let layers = (0..checkpoint.layers())
//!     .map(|layer| checkpoint.attention(&device, layer, DType::Bf16, HeadShard::WHOLE, &mut |_| {}))
//!     .collect::<Result<Vec<_>, _>>()?;
//! # Ok(())
//! # }
//! ```
//!
//! Models: those whose `model_type` is `deepseek_v2`, `deepseek_v3` or `kimi_k2`, which are DeepSeek-V2 and
//! V2-Lite, V3, R1 and V3.1, Kimi-K2 and Moonlight. What would change the result and is not supported is an error
//! that names the field. Weights may be bf16, f16 or f32, or e4m3 in scaled blocks, as DeepSeek-V3 is published;
//! the latter become bf16.
//!
//! Files are mapped, and read when a layer is loaded. Whoever shortens one meanwhile ends the process (SIGBUS).

mod blocks;
mod config;
mod error;
mod fields;
mod file;
mod index;
mod tensor;
mod weights;

use std::path::{Path, PathBuf};

pub use self::error::CheckpointError;
use self::index::Index;
use self::weights::LayerTensors;
use crate::device::Device;
use crate::dtype::DType;
use crate::layer::{HeadShard, MlaAttention, MlaConfig};

/// Result of everything that reads a checkpoint.
pub type Result<T, E = CheckpointError> = std::result::Result<T, E>;

/// A directory with a `config.json` and weights: `model.safetensors.index.json` and the files that it names, or
/// `model.safetensors`.
#[derive(Debug)]
pub struct Checkpoint {
    config: MlaConfig,
    layers: usize,
    index: Index,
}

/// How far a layer is loaded, in bytes on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are there.
    pub done: usize,
    /// Bytes of the whole layer.
    pub total: usize,
}

impl Checkpoint {
    /// The checkpoint in `directory`. Of the weights, the index is read at most.
    ///
    /// # Errors
    /// [`CheckpointError`] names the file, the field, what was expected and what was found.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        let directory = directory.as_ref();
        let (config, layers) = config::read(&directory.join("config.json"))?;
        Ok(Self { config, layers, index: Index::open(directory)? })
    }

    /// What `config.json` says about attention.
    #[must_use]
    pub const fn config(&self) -> &MlaConfig {
        &self.config
    }

    /// Layers of the model: `num_hidden_layers`.
    #[must_use]
    pub const fn layers(&self) -> usize {
        self.layers
    }

    /// Loads the attention of layer number `layer`, of its heads those of `shard`, for queries and a cache of type
    /// `dtype`. `progress` is called whenever another weight is on the device.
    ///
    /// # Errors
    /// - [`CheckpointError::MissingTensor`], [`CheckpointError::WrongShape`], [`CheckpointError::WrongType`] and
    ///   what is wrong with a file.
    /// - [`CheckpointError::Layer`] with the errors of [`MlaAttention::new`].
    pub fn attention(
        &self,
        device: &Device,
        layer: usize,
        dtype: DType,
        shard: HeadShard,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<MlaAttention> {
        let of_layer = |reason| CheckpointError::Layer { layer, reason };
        crate::check::range("layer", layer as i128, 0, self.layers as i128 - 1)
            .map_err(of_layer)?;
        let tensors = LayerTensors::read(&self.index, &self.config, layer)?;
        let weights = tensors.weights().map_err(of_layer)?;
        let (mut done, total) = (0, weights.bytes_of_rank(device, dtype, shard.world()));
        let mut count = |bytes| {
            done += bytes;
            progress(Progress { done, total });
        };
        MlaAttention::with_progress(device, &self.config, &weights, dtype, shard, &mut count)
            .map_err(of_layer)
    }
}

impl MlaConfig {
    /// The attention of the model with this `config.json`.
    ///
    /// # Errors
    /// [`CheckpointError`] names the field, what was expected and what was found.
    pub fn from_json(path: impl Into<PathBuf>) -> Result<Self> {
        config::read(&path.into()).map(|(config, _)| config)
    }
}
