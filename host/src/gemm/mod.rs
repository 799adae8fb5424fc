//! Matrix products: the projections of a layer, and the way into latent space and out of it.
//!
//! | call | | |
//! |---|---|---|
//! | [`gemm`](gemm()) | `y [m, n] = x [m, k] · weight [n, k]ᵀ` | weights as checkpoints have them; also batches of products |
//! | [`absorb`] | `q [tokens, heads, nope + 64]` → `[tokens, heads, 576]` | times W_UK, head by head; the rope part turned, in the same launch |
//! | [`expand`] | `o [tokens, heads, 512]` → `[tokens, heads, v]` | times W_UV, head by head |
//!
//! Elements are bf16 or f16, sums f32, rounded once. On a GPU each is one launch in the order of its stream, which
//! allocates nothing, waits for nothing, and can be captured in a graph. Two runs agree bit by bit on one device; the
//! order in which sums are taken depends on the shape and on the number of multiprocessors.

#[cfg(feature = "cuda")]
mod gpu_layout;
mod heads;
mod plain;
mod product;
mod workspace;

pub use self::heads::{Absorb, Expand, absorb, expand};
#[cfg(all(feature = "cuda", feature = "cli"))]
pub use self::plain::gemm_in_tiles;
pub use self::plain::{Gemm, gemm};
pub(crate) use self::product::{Product, Turning};
#[cfg(feature = "cuda")]
pub(crate) use self::workspace::GpuMemory;
pub use self::workspace::Workspace;
