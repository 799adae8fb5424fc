//! Fences.

pub use oxmla_simt::fence::{mbarrier_init, proxy_async_shared};
