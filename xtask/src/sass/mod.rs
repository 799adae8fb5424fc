//! `cargo xtask sass`: what the assembler made of a kernel.

pub mod listing;
