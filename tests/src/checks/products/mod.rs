//! Matrix products.

mod heads;
#[cfg(feature = "gpu")]
mod host_path;
pub(super) mod operand;
mod plain;
mod refusals;

pub use heads::{absorbed, expanded};
#[cfg(feature = "gpu")]
pub use host_path::allocations;
#[cfg(feature = "gpu")]
pub use plain::layer_sizes;
pub use plain::small;
pub use refusals::all as refused;
