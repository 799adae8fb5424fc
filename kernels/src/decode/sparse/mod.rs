//! Sparse attention.

pub mod abi;
