//! The functions of `ptx` on the host, with the feature `simt`: each hands over to the SIMT machine, which
//! checks the contract that `ptx` states. Signatures are those of `ptx`, and so are the modules.

pub mod barrier;
pub mod bulk;
pub mod cluster;
pub mod cp_async;
pub mod fence;
pub mod global;
pub mod grid;
pub mod math;
pub mod matrix;
pub mod mbarrier;
pub mod registers;
pub mod shared;
pub mod special;
pub mod tma;
pub mod warp;
pub mod wgmma;
pub mod wgmma_fp8;
