//! Weights in scaled blocks: e4m3 elements, and an f32 factor for every 128 × 128 of them.

use half::bf16;
use safetensors::Dtype;

use super::Result;
use super::file::RawTensor;
use super::index::Index;
use super::tensor::{check_shape, wrong_type};
use crate::e4m3;

/// Rows, and columns, that share a factor.
pub const BLOCK: usize = 128;

/// The bf16 elements of the weight `name`, whose factors are in `name` + `_scale_inv`.
pub fn read(index: &Index, name: &str, raw: &RawTensor<'_>) -> Result<Vec<u8>> {
    let [rows, columns] = raw.info.shape[..] else {
        return Err(wrong_type(raw, name, "bf16, f16 or f32"));
    };
    let scales_name = format!("{name}_scale_inv");
    let scales = index.tensor(&scales_name)?;
    let blocks = columns.div_ceil(BLOCK);
    check_shape(&scales, &scales_name, &[rows.div_ceil(BLOCK), blocks])?;
    if scales.info.dtype != Dtype::F32 {
        return Err(wrong_type(&scales, &scales_name, "f32"));
    }
    let scales: Vec<f32> = scales.bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
    let values: [f32; 256] = std::array::from_fn(|code| e4m3::to_f32(code as u8));
    let mut elements = Vec::with_capacity(rows * columns);
    for (row, of_row) in raw.bytes.chunks_exact(columns).enumerate() {
        let scales = &scales[row / BLOCK * blocks..][..blocks];
        for (block, scale) in of_row.chunks(BLOCK).zip(scales) {
            let value = |&bits: &u8| bf16::from_f32(values[usize::from(bits)] * scale);
            elements.extend(block.iter().map(value));
        }
    }
    Ok(bytemuck::cast_slice(&elements).to_vec())
}
