//! e4m3 as NVIDIA's tensor cores and safetensors have it: bias 7, no infinities, 448 the largest, NaN where all bits but
//! the sign are set.

/// The value of a code.
pub fn to_f32(code: u8) -> f32 {
    const NAN: u8 = 0x7f;
    /// From f32's bias of exponents to that of e4m3: 2^(127 − 7).
    const BIAS: f32 = f32::from_bits((127 + 120) << 23);
    let sign = u32::from(code & 0x80) << 24;
    match code & 0x7f {
        NAN => f32::NAN,
        // Exponent and fraction are where f32 has them, but for the bias; subnormal numbers become such.
        bits => f32::from_bits(sign | u32::from(bits) << 20) * BIAS,
    }
}

/// The code of the nearest number, ties to even; ±448 if it is larger, 0x7f for NaN.
pub fn from_f32(x: f32) -> u8 {
    if x.is_nan() {
        return 0x7f;
    }
    let magnitude = x.abs().min(448.0);
    // Below 2^−6 numbers are subnormal: multiples of 2^−9.
    let exponent = ((magnitude.to_bits() >> 23) as i32 - 127).max(-6);
    let steps = (magnitude / 2f32.powi(exponent - 3)).round_ties_even() as i32;
    // Codes follow each other as their values do, so a carry goes where it belongs.
    let code = 8 * (exponent + 6) + steps;
    code as u8 | u8::from(x.is_sign_negative()) << 7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
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
        for (code, value) in known {
            assert_eq!(to_f32(code), value, "{code:#x}");
        }
        assert!(to_f32(0x7f).is_nan() && to_f32(0xff).is_nan());
    }

    /// Of two neighbours the nearer, in the middle the even one: every code, and every f32 beside a border.
    #[test]
    fn nearest() {
        for code in 0..0x7e_u8 {
            let (low, high) = (to_f32(code), to_f32(code + 1));
            let middle = (low + high) / 2.0;
            let even = code + code % 2;
            let cases = [
                (low, code),
                (middle.next_down(), code),
                (middle, even),
                (middle.next_up(), code + 1),
                (high, code + 1),
            ];
            for (value, expected) in cases {
                assert_eq!(from_f32(value), expected, "{value}");
                assert_eq!(from_f32(-value), expected | 0x80, "-{value}");
            }
        }
        for value in [448.1, 464.0, 1e9, f32::INFINITY] {
            assert_eq!([from_f32(value), from_f32(-value)], [0x7e, 0xfe]);
        }
        assert_eq!([from_f32(f32::NAN), from_f32(-f32::NAN)], [0x7f; 2]);
        assert_eq!(from_f32(f32::from_bits(1)), 0);
    }
}
