//! The entry points, and nothing else. `launch` has their geometry, `family` the PTX modules that they are in.
//!
//! Names of entry points are part of the ABI. Tensor maps are passed by value: rustc sees them as unused,
//! the kernels read them through the address of the parameter.

mod decode;
mod fp8;
mod gemm;
mod rows;
mod sparse;
