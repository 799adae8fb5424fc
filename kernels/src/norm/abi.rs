//! Parameters of the normalisation kernels.

use bytemuck::{Pod, Zeroable};

/// Rows `y = x · weight / sqrt(mean(x²) + eps)`. Addresses are those of the device; strides are in elements.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub struct NormParams {
    /// `[rows, width]` of 16-bit elements, 16-byte aligned.
    pub x: u64,
    /// Stride of `x` along rows, a multiple of 8.
    pub x_stride: u64,
    /// `[rows, width]` of the type of `x`, 16-byte aligned.
    pub y: u64,
    /// Stride of `y` along rows, a multiple of 8.
    pub y_stride: u64,
    /// `[width]` of the type of `x`, 16-byte aligned.
    pub weight: u64,
    /// Rows.
    pub rows: u32,
    /// Elements of a row, a multiple of 8.
    pub width: u32,
    /// `1 / width`.
    pub inverse_width: f32,
    /// Added to the mean square.
    pub eps: f32,
}

const _: () = assert!(size_of::<NormParams>() == 5 * 8 + 4 * 4);
