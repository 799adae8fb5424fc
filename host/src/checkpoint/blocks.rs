//! Weights in scaled blocks: e4m3 elements, and an f32 factor for every 128 × 128 of them.

use half::bf16;
use safetensors::Dtype;

use super::Result;
use super::file::RawTensor;
use super::index::Index;
use super::tensor::{check_shape, wrong_type};

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
    let values: [f32; 256] = std::array::from_fn(|bits| from_e4m3(bits as u8));
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

/// e4m3 as NVIDIA's tensor cores and safetensors have it: bias 7, no infinities, 448 the largest, NaN where all
/// bits but the sign are set.
fn from_e4m3(bits: u8) -> f32 {
    let sign = if bits & 0x80 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 3 & 15), f32::from(bits & 7) / 8.0);
    match (exponent, bits & 7) {
        (15, 7) => f32::NAN,
        (0, _) => sign * fraction * 2f32.powi(-6),
        _ => sign * (1.0 + fraction) * 2f32.powi(exponent - 7),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_e4m3() {
        let known = [
            (0x00, 0.0),
            (0x01, 1.0 / 512.0),
            (0x07, 7.0 / 512.0),
            (0x08, 1.0 / 64.0),
            (0x38, 1.0),
            (0x3c, 1.5),
            (0xb8, -1.0),
            (0x7e, 448.0),
            (0xfe, -448.0),
        ];
        for (bits, value) in known {
            assert_eq!(from_e4m3(bits), value, "{bits:#x}");
        }
        assert!(from_e4m3(0x7f).is_nan() && from_e4m3(0xff).is_nan());
    }
}
