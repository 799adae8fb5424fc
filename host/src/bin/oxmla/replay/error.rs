//! What can be wrong with a file of tensors.

/// Why a file cannot be replayed.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum InputError {
    /// A tensor that is needed is not in the file.
    #[error("there is no tensor `{name}`; the file has {found}")]
    MissingTensor {
        /// Its name.
        name: &'static str,
        /// Names of the tensors that are there.
        found: String,
    },
    /// A tensor has another element type.
    #[error("`{name}` must be {expected}, but is {found}")]
    WrongDtype {
        /// Name of the tensor.
        name: &'static str,
        /// Types that it may have.
        expected: String,
        /// Type that it has, as the file calls it.
        found: String,
    },
    /// A tensor has another number of axes, or an axis another size.
    #[error("`{name}` must have shape {expected}, but has {found:?}")]
    WrongShape {
        /// Name of the tensor.
        name: &'static str,
        /// Names of the axes, and their sizes as far as they are given.
        expected: String,
        /// Size of each axis.
        found: Vec<usize>,
    },
    /// A metadata key that is needed is not in the file.
    #[error("there is no metadata key `{key}`; its value must be {expected}")]
    MissingMetadata {
        /// The key.
        key: &'static str,
        /// What its value must be.
        expected: &'static str,
    },
    /// The value of a metadata key makes no sense.
    #[error("metadata key `{key}` must be {expected}, but is {found:?}")]
    WrongMetadata {
        /// The key.
        key: &'static str,
        /// What its value must be.
        expected: &'static str,
        /// Its value.
        found: String,
    },
}
