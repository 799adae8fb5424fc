//! Kernels for multi-head latent attention on NVIDIA Hopper.
//!
//! The crate compiles for two targets. On `nvptx64-nvidia-cuda` it becomes the PTX that the `oxmla`
//! crate embeds. On the host it offers what both sides share: parameter structs, tile shapes, launch
//! geometry and the work partition, all of it plain `const` and pure functions. With the feature `simt`, the
//! kernels themselves compile for the host too, on top of the SIMT machine: see `simulate`.
//!
//! The entry points are those of `entry`, which `family` divides among PTX modules, or with the feature `micro` those of
//! the micro-benchmarks in `micro`, one module more.
//!
//! Read `decode/dense/` from `config.rs` to see a kernel from top to bottom; `ptx/` is the machine.

#![no_std]
// `seq!` counts from 0 and writes the numbers into the expressions.
#![allow(clippy::identity_op, clippy::erasing_op, clippy::eq_op)]
#![cfg_attr(target_arch = "nvptx64", feature(abi_ptx, asm_experimental_arch, link_llvm_intrinsics))]
// What kernels are parameterised by is named by the other entry points alone.
#![cfg_attr(feature = "micro", allow(dead_code))]
// LLVM's intrinsics, for `ptx/` alone.
#![cfg_attr(target_arch = "nvptx64", allow(internal_features))]

#[cfg(feature = "simt")]
extern crate std;

pub mod abi;
pub mod cache;
pub mod decode;
pub mod family;
pub mod gemm;
pub mod launch;
pub mod micro;
pub mod norm;
pub mod tile;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
#[cfg_attr(
    feature = "micro",
    allow(dead_code, reason = "the micro module has no entry that attends")
)]
mod attention;
#[cfg(target_arch = "nvptx64")]
#[cfg_attr(feature = "micro", path = "micro/entry.rs")]
mod entry;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
#[cfg_attr(not(target_arch = "nvptx64"), path = "simulated/mod.rs")]
mod ptx;
#[cfg(feature = "simt")]
pub mod simulate;
