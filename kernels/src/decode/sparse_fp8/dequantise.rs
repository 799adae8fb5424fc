//! Codes times their scale.

use seq_macro::seq;

use crate::ptx::math;
use crate::tile::element::Element;

/// 16 codes times their scale, each rounded once.
#[inline(always)]
pub fn dequantise<E: Element>(codes: [u32; 4], scale: f32) -> [[u32; 4]; 2] {
    let mut values = [[0; 4]; 2];
    seq!(I in 0..4 {
        let [a, b, c, d] = math::unpack_e4m3(codes[I]);
        values[I / 2][2 * (I % 2)] = E::pack(a * scale, b * scale);
        values[I / 2][2 * (I % 2) + 1] = E::pack(c * scale, d * scale);
    });
    values
}
