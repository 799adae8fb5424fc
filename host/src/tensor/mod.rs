//! Tensors as callers hand them over: borrowed memory with a type, a shape and strides.

mod layout;
mod location;
mod shape;
mod view;

pub(crate) use layout::byte_size;
pub use location::Location;
pub use shape::Shape;
pub use view::{TensorMut, TensorRef};
