//! A step's new tokens into an FP8 cache: latent part normalised and quantised, rope part rotated and stored as bf16.
//! Normalisation and rotation are optional, and those of [`append`](crate::cache::append); the normalised numbers are
//! quantised as they are, in f32.

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::run;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use seq_macro::seq;

    use crate::cache::abi::AppendParams;
    use crate::cache::fp8::format::Format;
    use crate::cache::fp8::quantise::{Values, quantise, scales, unpack};
    use crate::cache::fp8::scales::{first_rope, first_scales, inverse, store_scales};
    use crate::cache::row::{self, HALF_ELEMENTS, Latent};
    use crate::cache::{WARPS, place, token};
    use crate::ptx::{global, special};
    use crate::tile::element::{Bf16, Element};

    /// The kernel: rows of type `E` into a cache of format `F`.
    ///
    /// # Safety
    /// As for the entry point.
    #[inline(always)]
    pub unsafe fn run<E: Element, F: Format>(params: &AppendParams) {
        let index = special::cta_x() * WARPS + special::warp();
        if index >= params.rows {
            return;
        }
        let [latent, rope] =
            [(params.latent, params.latent_stride), (params.rope, params.rope_stride)]
                .map(|(rows, stride)| rows + 2 * u64::from(index) * stride);
        let width = F::LAYOUT.latent;
        // SAFETY: the launcher vouches for the parameters; the row exists.
        unsafe {
            let latent = row::load_latent(latent, width);
            let pair = row::load_pair(rope);
            let weight = (params.weight != 0).then(|| row::load_latent(params.weight, width));
            let Some((request, position)) = place::appended(params, index) else { return };
            let turn =
                (params.rotations != 0).then(|| token::load_turn(params.rotations, position));
            let Some(block) = params.pages.block(request, position) else { return };
            let mut values = unpack::<E>(latent);
            if let Some(weight) = weight {
                let scale = token::inverse_root::<E>(latent, width, params.eps);
                values = weighted::<E>(values, weight, scale);
            }
            let mut pair = E::unpack(pair);
            if let Some(turn) = turn {
                pair = token::rotate(pair, turn);
            }
            let token = params.pages.token(position);
            let power_of_two = F::LAYOUT.power_of_two || params.power_of_two_scales != 0;
            let scales = scales::<F>(values, power_of_two);
            let codes = quantise(values, scales);
            store_scales::<F>(first_scales::<F>(block, &params.pages), token, scales);
            let cached = block + u64::from(token * F::LAYOUT.token_stride);
            store_codes(cached, codes, width);
            if F::LAYOUT.rope_is_scaled {
                pair = pair.map(|x| x * inverse(scales[0]));
            }
            let rope = first_rope::<F>(block, &params.pages);
            let rope = rope + u64::from(token * F::LAYOUT.rope_stride);
            row::store_pair(rope, Bf16::pack(pair[0], pair[1]));
        }
    }

    /// `values · scale · weight`.
    #[inline(always)]
    fn weighted<E: Element>(mut values: Values, weight: Latent, scale: f32) -> Values {
        seq!(I in 0..8 {
            let [low, high] = E::unpack(weight[I / 4][I % 4]);
            values[I / 4][2 * (I % 4)] *= scale;
            values[I / 4][2 * (I % 4)] *= low;
            values[I / 4][2 * (I % 4) + 1] *= scale;
            values[I / 4][2 * (I % 4) + 1] *= high;
        });
        values
    }

    /// Stores the lane's share of `width` codes.
    #[inline(always)]
    unsafe fn store_codes(address: u64, codes: [[u32; 2]; 2], width: u32) {
        let lane = address + 8 * u64::from(special::lane());
        // SAFETY: the caller's promise.
        unsafe {
            global::store_u32x2(lane as *mut u32, codes[0]);
            if row::has_share(1, width) {
                global::store_u32x2((lane + u64::from(HALF_ELEMENTS)) as *mut u32, codes[1]);
            }
        }
    }
}
