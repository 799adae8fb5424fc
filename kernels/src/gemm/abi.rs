//! Parameters of the matrix-product kernels.
//!
//! Addresses are those of the device, 0 where something is missing; strides are in elements.

use bytemuck::{Pod, Zeroable};

/// Sizes of `y[b] [m, n] = x[b] [m, k] · weight[b] [n, k]ᵀ` for every `b` below `batch`; none is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Shape {
    /// Products.
    pub batch: u32,
    /// Rows of `x` and `y`: tokens.
    pub m: u32,
    /// Rows of the weight, columns of `y`: outputs. A multiple of 8.
    pub n: u32,
    /// Columns of `x` and of the weight: inputs.
    pub k: u32,
}

/// Parameters of the matrix-product kernels, beside the tensor maps of `x`, `weight` and `y`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct GemmParams {
    /// `[batch, m, n]` of 16-bit elements, 16-byte aligned; written by address where `splits` is not 1.
    pub y: u64,
    /// Stride of `y` along the batch.
    pub y_stride_batch: u64,
    /// Stride of `y` along its rows.
    pub y_stride_row: u64,
    /// `*mut f32`: partial sums, [`Tiling::partial_bytes`](super::tiling::Tiling::partial_bytes) of them; 0 if `splits`
    /// is 1.
    pub partial: u64,
    /// `*mut u32 [tiles, 32]`, of which the first of each 32 counts CTAs that have left their partial sums; all zero
    /// between launches.
    pub arrivals: u64,
    /// Sizes.
    pub shape: Shape,
    /// CTAs that share the inputs of a tile, all of them on the GPU together; 1 if none does.
    pub splits: u32,
    /// Rows of a box of `x`, as [`Tiling::rows_of_box`](super::tiling::Tiling::rows_of_box) says.
    pub x_rows: u32,
    /// What is rotated beside the product.
    pub turns: Turns,
}

/// Rope parts that are rotated on their way from `from [tokens, heads, 64]` to `to [tokens, heads, 64]`, both 16-byte
/// aligned with strides that are multiples of 8.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Turns {
    /// The elements to turn.
    pub from: u64,
    /// Stride of `from` along tokens.
    pub from_stride_token: u64,
    /// Stride of `from` along heads.
    pub from_stride_head: u64,
    /// Where they go.
    pub to: u64,
    /// Stride of `to` along tokens.
    pub to_stride_token: u64,
    /// Stride of `to` along heads.
    pub to_stride_head: u64,
    /// `*const f32 [positions, 32, 2]`, 16-byte aligned: cosines and sines.
    pub rotations: u64,
    /// `*const i32 [tokens / tokens_per_request]`: tokens of each request, these included.
    pub lengths: u64,
    /// Tokens; 0 if nothing is rotated.
    pub tokens: u32,
    /// Heads.
    pub heads: u32,
    /// Consecutive tokens of one request, the last of them at position `length − 1`; at least 1.
    pub tokens_per_request: u32,
    /// Positions that `rotations` has; a token that is at none of them gets zeros.
    pub positions: u32,
}

const _: () = assert!(size_of::<Turns>() == 8 * 8 + 4 * 4);
const _: () = assert!(size_of::<GemmParams>() == 5 * 8 + 6 * 4 + size_of::<Turns>());
