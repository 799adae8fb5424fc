//! Kernels for multi-head latent attention on NVIDIA Hopper.
//!
//! The crate compiles for two targets. On `nvptx64-nvidia-cuda` it becomes the PTX that the `oxmla`
//! crate embeds. On the host it offers what both sides share: parameter structs, tile shapes, launch
//! geometry and the work partition, all of it plain `const` and pure functions.
//!
//! Read `decode/dense/` from `config.rs` to see a kernel from top to bottom; `ptx/` is the machine.

#![no_std]
#![cfg_attr(target_arch = "nvptx64", feature(abi_ptx, asm_experimental_arch))]

pub mod abi;
pub mod decode;
pub mod launch;
pub mod tile;

#[cfg(target_arch = "nvptx64")]
mod attention;
#[cfg(target_arch = "nvptx64")]
mod entry;
#[cfg(target_arch = "nvptx64")]
mod ptx;
