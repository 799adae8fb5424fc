//! Caches in FP8.

use oxmla::DType;
use oxmla::cache::Fp8Format;

use crate::checks::fp8::quantise_tile;
use crate::element::NAN_BITS;
use crate::layout::Layout;

/// The tokens of a cache `[blocks, block_size, 1, 576 or 512]` in the format for their width; what it holds becomes what they
/// stand for. Bytes that nobody may read are NaN. Blocks begin at multiples of 16 bytes, with a gap before them.
pub fn quantise(bits: &mut [u16], cache: &Layout<4>) -> (Vec<u8>, Layout<4>) {
    let [blocks, block_size, _, d_qk] = cache.shape;
    let format = if d_qk == 576 { Fp8Format::Token656 } else { Fp8Format::Paged584 };
    let (layout, width) = (format.layout(), format.bytes_per_token() as usize);
    let strides = [(block_size * width + 1).next_multiple_of(16), width, width, 1];
    let mut bytes = vec![0xff; blocks * strides[0]];
    let (latent, tile) = (layout.latent as usize, layout.tile as usize);
    for (block, place) in (0..blocks).flat_map(|block| (0..block_size).map(move |p| (block, p))) {
        let row = &mut bits[cache.offset([block, place, 0, 0])..][..d_qk];
        if row[0] == NAN_BITS {
            continue;
        }
        let block = &mut bytes[block * strides[0]..][..strides[0]];
        let first_scales = layout.scales(block_size as u64) as usize;
        let (token, scales) = (
            place * layout.token_stride as usize,
            first_scales + place * layout.scale_stride as usize,
        );
        for (group, elements) in row[..latent].chunks_mut(tile).enumerate() {
            let codes = &mut block[token + group * tile..][..tile];
            let power_of_two = format == Fp8Format::Paged584;
            let scale = quantise_tile(DType::Bf16, elements, power_of_two, codes);
            if power_of_two {
                block[scales + group] = (scale.to_bits() >> 23) as u8;
            } else {
                block[scales + 4 * group..][..4].copy_from_slice(&scale.to_le_bytes());
            }
        }
        let rope = bytemuck::cast_slice(&row[latent..]);
        block[token + layout.rope(0) as usize..][..rope.len()].copy_from_slice(rope);
    }
    (bytes, Layout { shape: [blocks, block_size, 1, width], strides })
}
