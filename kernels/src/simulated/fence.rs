//! Fences.

pub use oxmla_simt::fence::{gpu, mbarrier_init, proxy_async_shared};
