//! A step's new tokens into the cache: latent part normalised, rope part rotated, both optional.
//!
//! Request `r` of the batch has some consecutive rows, the last of them at position `lengths[r] − 1`. A row waits
//! for two loads one after the other, its request's length and then its block's id, and with ragged requests
//! first for one or two of the search for the request; everything else is under way meanwhile.

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::run;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use seq_macro::seq;

    use crate::cache::abi::AppendParams;
    use crate::cache::row::{self, LATENT_BYTES, Latent};
    use crate::cache::{WARPS, place, token};
    use crate::decode::dense::config::D_LATENT;
    use crate::ptx::special;
    use crate::tile::element::Element;

    /// The kernel.
    ///
    /// # Safety
    /// As for the entry point.
    #[inline(always)]
    pub unsafe fn run<E: Element>(params: &AppendParams) {
        let index = special::cta_x() * WARPS + special::warp();
        if index >= params.rows {
            return;
        }
        let [latent, rope] =
            [(params.latent, params.latent_stride), (params.rope, params.rope_stride)]
                .map(|(rows, stride)| rows + 2 * u64::from(index) * stride);
        // SAFETY: the launcher vouches for the parameters; the row exists.
        unsafe {
            let mut latent = row::load_latent(latent, D_LATENT);
            let mut pair = row::load_pair(rope);
            let weight = (params.weight != 0).then(|| row::load_latent(params.weight, D_LATENT));
            let Some((request, position)) = place::appended(params, index) else { return };
            let turn =
                (params.rotations != 0).then(|| token::load_turn(params.rotations, position));
            let Some(cached) = params.pages.row(request, position) else { return };
            if let Some(weight) = weight {
                latent = normalise::<E>(latent, weight, params.eps);
            }
            if let Some(turn) = turn {
                let [x, y] = token::rotate(E::unpack(pair), turn);
                pair = E::pack(x, y);
            }
            row::store_latent(cached, latent, D_LATENT);
            row::store_pair(cached + LATENT_BYTES, pair);
        }
    }

    /// RMS normalisation of 512 elements.
    #[inline(always)]
    fn normalise<E: Element>(mut latent: Latent, weight: Latent, eps: f32) -> Latent {
        let scale = token::inverse_root::<E>(latent, D_LATENT, eps);
        seq!(I in 0..8 {
            let [low, high] = E::unpack(latent[I / 4][I % 4]);
            let [low_weight, high_weight] = E::unpack(weight[I / 4][I % 4]);
            latent[I / 4][I % 4] = E::pack(low * scale * low_weight, high * scale * high_weight);
        });
        latent
    }
}
