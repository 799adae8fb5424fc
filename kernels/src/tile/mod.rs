//! Tiles: how matrices lie in shared memory and in registers. Shapes are types and `const fn`s.

pub mod descriptor;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub mod element;
pub mod swizzle;
#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub mod uniform;
