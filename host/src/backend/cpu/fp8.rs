//! Tokens of the FP8 formats on the CPU, as `oxmla_kernels::cache::fp8` describes them.

use std::ptr;

use half::bf16;
use oxmla_kernels::cache::fp8::{Fp8Format, LARGEST, LEAST_SCALE, ScaleType};

use super::half_float::HalfFloat;
use crate::e4m3;
use crate::tensor::TensorRef;

/// Rope elements.
const ROPE: usize = 64;

/// The parts of a token, as the cache has them.
pub struct Token {
    latent: Vec<u8>,
    scales: Vec<u8>,
    rope: Vec<u8>,
}

/// Quantises a token: latent part, rope part behind it.
pub fn quantise(format: Fp8Format, values: &[f64], power_of_two: bool) -> Token {
    let layout = format.layout();
    let (latent, rope) = values.split_at(layout.latent as usize);
    let mut token =
        Token { latent: Vec::with_capacity(latent.len()), scales: Vec::new(), rope: Vec::new() };
    let mut rope_scale = 1.0;
    for tile in latent.chunks(layout.tile as usize) {
        let tile: Vec<f32> = tile.iter().map(|&x| finite(x as f32)).collect();
        let amax = tile.iter().fold(0f32, |amax, x| amax.max(x.abs()));
        let mut scale = (amax / LARGEST).max(LEAST_SCALE);
        if power_of_two || layout.power_of_two {
            scale = round_up(scale);
        }
        if layout.rope_is_scaled {
            rope_scale = f64::from(scale);
        }
        match layout.scale {
            ScaleType::F32 => token.scales.extend(scale.to_le_bytes()),
            ScaleType::Ue8m0 => token.scales.push((scale.to_bits() >> 23) as u8),
        }
        token.latent.extend(tile.iter().map(|x| e4m3::from_f32(x / scale)));
    }
    if layout.scale == ScaleType::Ue8m0 {
        token.scales.push(0);
    }
    token.rope = rope.iter().flat_map(|&x| bf16::from_f64(x / rope_scale).to_le_bytes()).collect();
    token
}

/// `x`, NaN for an infinity.
fn finite(x: f32) -> f32 {
    if x.is_finite() { x } else { f32::NAN }
}

/// The next power of two of a normal number.
fn round_up(scale: f32) -> f32 {
    let power = f32::from_bits(scale.to_bits() & 0xff80_0000);
    if power < scale { 2.0 * power } else { power }
}

impl Token {
    /// Writes the token to place `token` of the block at `block`, of `block_size` tokens.
    ///
    /// # Safety
    /// The block is of that format and nobody else's, and has the place.
    pub unsafe fn store(&self, format: Fp8Format, block_size: usize, block: usize, token: usize) {
        let [latent, scales, rope] = parts(format, block_size, block, token);
        for (address, bytes) in [(latent, &self.latent), (scales, &self.scales), (rope, &self.rope)]
        {
            let to = ptr::with_exposed_provenance_mut::<u8>(address);
            // SAFETY: the part of the token has as many bytes.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        }
    }
}

/// The values of the token at place `token` of the block at `block`, of `block_size` tokens: latent part, rope part behind
/// it.
///
/// # Safety
/// The block is readable and of that format, and has the place.
pub unsafe fn dequantise(
    format: Fp8Format,
    block_size: usize,
    block: usize,
    token: usize,
) -> Vec<f32> {
    let layout = format.layout();
    let [latent, scales, rope] = parts(format, block_size, block, token);
    // SAFETY: the part of the token that begins there has as many bytes.
    let bytes = |address: usize, count: usize| unsafe {
        std::slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(address), count)
    };
    let tiles = (layout.latent / layout.tile) as usize;
    let scales: Vec<f32> = match layout.scale {
        ScaleType::F32 => {
            bytes(scales, 4 * tiles).chunks_exact(4).map(bytemuck::pod_read_unaligned).collect()
        }
        ScaleType::Ue8m0 => bytes(scales, tiles).iter().map(|&code| from_ue8m0(code)).collect(),
    };
    let rope_scale = if layout.rope_is_scaled { scales[0] } else { 1.0 };
    let codes = bytes(latent, layout.latent as usize);
    let tiles = codes.chunks(layout.tile as usize).zip(scales);
    let latent =
        tiles.flat_map(|(tile, scale)| tile.iter().map(move |&code| e4m3::to_f32(code) * scale));
    let rope = bytes(rope, 2 * ROPE).chunks_exact(2);
    let rope = rope.map(|pair| bf16::from_le_bytes([pair[0], pair[1]]).to_f32() * rope_scale);
    latent.chain(rope).collect()
}

/// The values of a token of a cache, rounded to `T`: what `gather` would give.
///
/// # Safety
/// The cache is readable and of that format, `block` and `token` are inside.
pub unsafe fn row<T: HalfFloat>(
    format: Fp8Format,
    kv_cache: &TensorRef<'_>,
    block: usize,
    token: usize,
) -> impl Iterator<Item = T> {
    // SAFETY: the caller's promise.
    let values =
        unsafe { dequantise(format, kv_cache.shape()[1], kv_cache.address_at([block]), token) };
    values.into_iter().map(T::from_f32)
}

/// Addresses of the latent part, the scales and the rope part of a token.
fn parts(format: Fp8Format, block_size: usize, block: usize, token: usize) -> [usize; 3] {
    let layout = format.layout();
    let tokens = block_size as u64;
    let part = |first: u64, stride: u32| block + first as usize + token * stride as usize;
    [
        part(0, layout.token_stride),
        part(layout.scales(tokens), layout.scale_stride),
        part(layout.rope(tokens), layout.rope_stride),
    ]
}

/// `2^(code − 127)`.
fn from_ue8m0(code: u8) -> f32 {
    if code == 255 { f32::NAN } else { 2f64.powi(i32::from(code) - 127) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a tile in which all elements but the first few are zero.
    fn tile(format: Fp8Format, first: &[f64], power_of_two: bool) -> (Vec<u8>, f32) {
        let mut values = vec![0.0; format.layout().latent as usize + ROPE];
        values[..first.len()].copy_from_slice(first);
        let token = quantise(format, &values, power_of_two);
        let scale = match format.layout().scale {
            ScaleType::F32 => bytemuck::pod_read_unaligned(&token.scales[..4]),
            ScaleType::Ue8m0 => from_ue8m0(token.scales[0]),
        };
        (token.latent[..first.len()].to_vec(), scale)
    }

    #[test]
    fn scales_map_the_largest_element_to_448() {
        let (codes, scale) = tile(Fp8Format::Token656, &[1.0, -7.0, 3.5], false);
        assert_eq!((codes, scale), (vec![0x68, 0xfe, 0x76], 7.0 / 448.0));
        for (format, power_of_two) in [
            (Fp8Format::Token656, true),
            (Fp8Format::Paged584, false),
            (Fp8Format::Planar644, false),
        ] {
            // 7 is 448 times 2^−6, and 7.5 needs the next power.
            assert_eq!(tile(format, &[7.0], power_of_two), (vec![0x7e], 1.0 / 64.0));
            assert_eq!(tile(format, &[7.5], power_of_two), (vec![0x77], 1.0 / 32.0));
        }
    }

    #[test]
    fn zeros_and_numbers_that_are_none() {
        for format in [Fp8Format::Token656, Fp8Format::Paged584, Fp8Format::Planar644] {
            assert_eq!(tile(format, &[0.0, -0.0], false), (vec![0, 0x80], LEAST_SCALE));
            assert_eq!(tile(format, &[1e-30], false), (vec![0], LEAST_SCALE));
            let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 448.0];
            assert_eq!(tile(format, &odd, false), (vec![0x7f, 0x7f, 0x7f, 0x7e], 1.0));
        }
        // The largest bf16.
        let (codes, scale) = tile(Fp8Format::Paged584, &[bf16::MAX.to_f64()], false);
        assert_eq!((codes, scale), (vec![0x78], 2f32.powi(120)));
    }

    /// What the latent part is divided by, the rope part is, too.
    #[test]
    fn rope_parts_share_the_scale_of_a_planar_token() {
        let mut values = vec![0.0; 512 + ROPE];
        (values[0], values[512], values[513]) = (7.0, 3.0, -0.1);
        let token = quantise(Fp8Format::Planar644, &values, false);
        assert_eq!(token.scales, (1.0f32 / 64.0).to_le_bytes());
        let rope: Vec<bf16> = token
            .rope
            .chunks_exact(2)
            .map(|pair| bf16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        assert_eq!(rope[..2], [bf16::from_f32(192.0), bf16::from_f32(-6.4)]);
    }

    #[test]
    fn ue8m0() {
        assert_eq!([0, 1, 127, 254].map(from_ue8m0).map(f32::log2), [-127.0, -126.0, 0.0, 127.0]);
        assert!(from_ue8m0(255).is_nan());
    }
}
