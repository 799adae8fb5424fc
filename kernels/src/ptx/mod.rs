//! The machine: every PTX instruction the kernels use, one small function each, and nothing else.
//!
//! Only this module contains `asm!`. A function carries the name of its instruction, says which section
//! of the PTX ISA (9.0) it comes from, how it is ordered with respect to its neighbours, and what the
//! caller has to guarantee. Loads, stores and synchronisation are never `pure` or `nomem`: the compiler
//! must not move them. Arithmetic is.
//!
//! Instructions at which the lanes of a warp have to meet are LLVM's intrinsics where it has them for the operands in
//! use: it knows that they must not be copied into the branches of a condition, which of an asm block it does not.
//! `cargo xtask ptx` looks after the rest.

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
