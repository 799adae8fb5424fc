//! The functions that kernels call: one per PTX instruction, in one module per instruction family.
//!
//! They act on the GPU thread that the calling coroutine is, and panic outside a launch. An instruction that
//! breaks a rule ends the launch with a report and never returns.

pub mod atomic;
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
