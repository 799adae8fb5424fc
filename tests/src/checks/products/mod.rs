//! Matrix products.

mod heads;
mod operand;
mod plain;
mod refusals;

pub use heads::{absorbed, expanded};
#[cfg(feature = "gpu")]
pub use plain::layer_sizes;
pub use plain::small;
pub use refusals::all as refused;
