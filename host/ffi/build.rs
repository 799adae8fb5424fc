//! Keeps what the library is made of to itself.
//!
//! The Rust crate defines the driver's functions (`host/src/backend/cuda/lazy.rs`) with their own names. Were
//! they visible, a program that links `liboxmla` would call the driver through them.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,--exclude-libs,ALL");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,liboxmla.so");
}
