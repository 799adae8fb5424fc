//! 16-bit elements by their bits, so that one code path serves bf16 and f16.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use oxmla::DType;

use crate::random::SplitMix64;

/// A NaN in both types.
pub const NAN_BITS: u16 = 0x7fff;

/// Nearest element to `value`.
#[must_use]
pub fn narrow(dtype: DType, value: f32) -> u16 {
    match dtype {
        DType::F16 => f16::from_f32(value).to_bits(),
        _ => bf16::from_f32(value).to_bits(),
    }
}

/// The values of `bits`, exactly.
///
/// # Panics
/// If the slices differ in length.
pub fn widen(dtype: DType, bits: &[u16], values: &mut [f32]) {
    match dtype {
        DType::F16 => bytemuck::cast_slice::<u16, f16>(bits).convert_to_f32_slice(values),
        _ => {
            assert_eq!(bits.len(), values.len());
            for (value, &bits) in values.iter_mut().zip(bits) {
                *value = f32::from_bits(u32::from(bits) << 16);
            }
        }
    }
}

/// Random elements, drawn once: tensors are put together from windows into them, which is as fast as
/// copying.
#[derive(Debug)]
pub struct ElementPool {
    elements: Vec<u16>,
}

impl ElementPool {
    /// 2^20 elements: 2 MB, which stay in the L2 cache of a core.
    const LEN: usize = 1 << 20;

    /// Normally distributed values with standard deviation 0.1.
    #[must_use]
    pub fn new(dtype: DType) -> Self {
        let mut random = SplitMix64::new(u64::from(dtype == DType::F16));
        let element = |_| narrow(dtype, (random.normal() * 0.1) as f32);
        Self { elements: (0..Self::LEN).map(element).collect() }
    }

    /// The `len` elements that `key` decides.
    #[must_use]
    pub fn window(&self, key: u64, len: usize) -> &[u16] {
        let starts = (Self::LEN - len + 1) as u64;
        let start = (key % starts) as usize;
        &self.elements[start..start + len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inputs that drift would let every comparison pass, on other numbers than before.
    #[test]
    fn pools_never_change() {
        let digest = |dtype| {
            let pool = ElementPool::new(dtype);
            pool.elements.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &bits| {
                (hash ^ u64::from(bits)).wrapping_mul(0x0100_0000_01b3)
            })
        };
        let digests = [DType::Bf16, DType::F16].map(digest);
        assert_eq!(digests, [6_182_718_457_748_952_728, 15_155_549_464_820_201_090]);
    }

    #[test]
    fn widening_is_exact() {
        for dtype in [DType::Bf16, DType::F16] {
            let values = [0.0, -1.0, 0.125, 3.5, f32::INFINITY];
            let bits = values.map(|value| narrow(dtype, value));
            let mut widened = [0.0; 5];
            widen(dtype, &bits, &mut widened);
            assert_eq!(widened, values);
            widen(dtype, &[NAN_BITS; 5], &mut widened);
            assert!(widened.iter().all(|value| value.is_nan()));
        }
    }
}
