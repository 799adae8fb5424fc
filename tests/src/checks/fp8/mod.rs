//! Caches of the FP8 formats: what goes in, what comes out, bit by bit as on the CPU, and attention over them.

mod append;
mod blocks;
mod decode;
mod math;
mod step;

pub use append::{new_rows, rows_without_a_place};
pub use blocks::{copied_blocks, gathered_rows};
pub use decode::decoded;
pub use math::multiplied;

use oxmla::DType;
use oxmla::cache::Fp8Format;

use crate::element::{narrow, widen};
use crate::layout::Layout;

/// All formats.
const FORMATS: [Fp8Format; 3] = [Fp8Format::Token656, Fp8Format::Paged584, Fp8Format::Planar644];

/// A cache of `blocks` blocks of `block_size` tokens with gaps between them: those of `Paged584` begin at multiples of 576 bytes, as FlashMLA
/// asks for.
const fn with_gaps(format: Fp8Format, blocks: usize, block_size: usize) -> Layout<4> {
    let width = format.bytes_per_token() as usize;
    let stride = match format {
        Fp8Format::Token656 | Fp8Format::Planar644 => block_size * width + 80,
        Fp8Format::Paged584 => (block_size * width).next_multiple_of(576),
    };
    Layout { shape: [blocks, block_size, 1, width], strides: [stride, width, width, 1] }
}

/// Quantises the elements of a tile: its codes. The elements become those that these stand for. Returns
/// the scale, a power of two if that is wanted.
pub fn quantise_tile(
    dtype: DType,
    elements: &mut [u16],
    power_of_two: bool,
    codes: &mut [u8],
) -> f32 {
    let magnitudes: Vec<f32> = (0..0x7f).map(magnitude).collect();
    let mut values = vec![0.0; elements.len()];
    widen(dtype, elements, &mut values);
    let scale = values.iter().fold(f32::MIN_POSITIVE, |amax, x| amax.max(x.abs())) / 448.0;
    let scale = if power_of_two { scale.log2().ceil().exp2() } else { scale };
    for ((element, value), to) in elements.iter_mut().zip(values).zip(codes) {
        let wanted = value.abs() / scale;
        let above = magnitudes.partition_point(|&m| m < wanted).min(0x7e);
        let below = above.saturating_sub(1);
        let nearer_below = wanted - magnitudes[below] < magnitudes[above] - wanted;
        let code = if nearer_below { below } else { above };
        let negative = value.is_sign_negative();
        *to = code as u8 | u8::from(negative) << 7;
        let sign = if negative { -1.0 } else { 1.0 };
        *element = narrow(dtype, sign * magnitudes[code] * scale);
    }
    scale
}

/// The value of a positive e4m3 code.
fn magnitude(code: u8) -> f32 {
    let (exponent, fraction) = (i32::from(code >> 3), f32::from(code & 7));
    if exponent == 0 {
        fraction * 2f32.powi(-9)
    } else {
        (8.0 + fraction) * 2f32.powi(exponent - 10)
    }
}
