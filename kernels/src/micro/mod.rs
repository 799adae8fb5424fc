//! Micro-benchmarks: kernels that do one thing, to find out how fast this GPU does it.
//!
//! They make up a PTX module of their own (feature `micro`, entry points in `entry.rs`), which only the command line
//! loads: `oxmla bench micro`. Each leaves a checksum behind, so that a rate is known to be of work that was done.
//!
//! | file | what it measures |
//! |---|---|
//! | `stream` | reading and copying global memory with plain vector accesses |
//! | `ring` | TMA from L2 or DRAM into a ring in shared memory, with and without cluster multicast |
//! | `tensor` | `wgmma` back to back, by shape and by where A comes from |
//! | `empty` | nothing, to time the launch |

pub mod abi;
pub mod launch;
pub mod ring;
pub mod stream;
pub mod tensor;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub mod empty;
