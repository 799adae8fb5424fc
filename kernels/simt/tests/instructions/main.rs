//! Every instruction against a model of its own in plain Rust, written from the ISA's definition.

mod boxes;
mod clusters;
mod cooperative;
mod copies;
mod matrices;
mod memory;
mod multiply;
mod operands;
mod schedule;
mod support;
mod synchronisation;
mod tensors;
mod warps;
