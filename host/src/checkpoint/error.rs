//! What can be wrong with a checkpoint.

use std::io;
use std::path::PathBuf;

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// A file that cannot be read.
    #[error("{}: {reason}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// A file that is no JSON.
    #[error("{}: {reason}", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: serde_json::Error,
    },
    /// A file that is no safetensors file, or a damaged one.
    #[error("{}: {reason}", .path.display())]
    SafeTensors {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: safetensors::SafeTensorError,
    },
    /// A directory without weights.
    #[error(
        "{} has neither `model.safetensors.index.json` nor `model.safetensors`", .directory.display()
    )]
    NoWeights {
        /// The directory.
        directory: PathBuf,
    },
    /// A field of a JSON file that is missing, makes no sense or is not supported.
    #[error("{}: `{field}` must be {expected}, but is {found}", .path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Name of the field; of one inside another `outer.inner`.
        field: String,
        /// What it must be.
        expected: String,
        /// What it is, as JSON, or `missing`.
        found: String,
    },
    /// A tensor that is needed and not there.
    #[error("{}: there is no tensor `{tensor}`; of its layer there are {found}", .path.display())]
    MissingTensor {
        /// The file that should have it.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Names of the attention tensors of that layer.
        found: String,
    },
    /// A tensor with another shape than `config.json` asks for.
    #[error(
        "{}: tensor `{tensor}` must have shape {expected:?}, but has {found:?}", .path.display()
    )]
    WrongShape {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Shape it must have.
        expected: Vec<usize>,
        /// Shape it has.
        found: Vec<usize>,
    },
    /// A tensor of another element type.
    #[error("{}: tensor `{tensor}` must be {expected}, but is {found}", .path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Types it may have.
        expected: &'static str,
        /// Type it has, as the file calls it.
        found: String,
    },
    /// A layer that could not be made from its weights.
    #[error("layer {layer}: {reason}")]
    Layer {
        /// Number of the layer.
        layer: usize,
        /// What is wrong.
        reason: crate::Error,
    },
}
