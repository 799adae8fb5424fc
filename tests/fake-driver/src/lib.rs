//! A CUDA driver without a GPU.
//!
//! It has eight GPUs of the Hopper generation, whose memory is the host's. Copies are done at once; kernels are
//! accepted or refused as the driver would, and do nothing. So the host's own share of every call can be tested
//! and timed on any machine: what it asks the driver for, how it takes a refusal, what it leaves behind.
//!
//! | file | what it does |
//! |---|---|
//! | `call` | every call is counted, needs a current context or not, and fails if a test wants it to |
//! | `control` | what tests ask and tell: `fake_…` |
//! | `device`, `memory`, `stream`, `kernel` | the driver's functions |
//!
//! The functions have the contracts of CUDA's driver API; `build.rs` says how programs come to call them.

#![allow(non_snake_case, non_upper_case_globals, reason = "the driver's own names")]

#[macro_use]
mod call;
mod control;
mod device;
mod kernel;
mod memory;
mod object;
mod stream;
