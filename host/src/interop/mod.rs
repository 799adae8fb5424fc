//! Streams and memory of other crates, without raw addresses.

pub mod cudarc;
