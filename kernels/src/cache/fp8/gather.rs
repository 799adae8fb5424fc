//! Tokens of an FP8 cache as contiguous rows of 16-bit elements: latent part dequantised, rope part behind it.

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::run;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use crate::cache::abi::GatherParams;
    use crate::cache::fp8::format::Format;
    use crate::cache::fp8::scales::{first_rope, first_scales, load_scale};
    use crate::cache::row::{self, HALF_ELEMENTS};
    use crate::cache::{WARPS, place};
    use crate::ptx::{global, math, special};
    use crate::tile::element::{Bf16, Element};

    /// The kernel: rows of type `E` out of a cache of format `F`.
    ///
    /// # Safety
    /// As for the entry point.
    #[inline(always)]
    pub unsafe fn run<E: Element, F: Format>(params: &GatherParams) {
        let index = special::cta_x() * WARPS + special::warp();
        if index >= params.rows {
            return;
        }
        let width = F::LAYOUT.latent;
        // SAFETY: the launcher vouches for the parameters; row and request exist where they are used.
        unsafe {
            let Some((request, position)) = place::gathered(params, index) else { return };
            let Some(block) = params.pages.block(request, position) else { return };
            let token = params.pages.token(position);
            let rope = first_rope::<F>(block, &params.pages);
            let pair = row::load_pair(rope + u64::from(token * F::LAYOUT.rope_stride));
            let scales = first_scales::<F>(block, &params.pages);
            let half = |half| load_half::<E, F>(block, scales, token, half);
            let low = half(0);
            let high = if row::has_share(1, width) { half(1) } else { [0; 4] };
            let out = params.out + 2 * u64::from(index) * params.out_stride;
            row::store_latent(out, [low, high], width);
            let mut pair = Bf16::unpack(pair);
            if F::LAYOUT.rope_is_scaled {
                let scale = load_scale::<F>(scales, token, 0);
                pair = pair.map(|x| x * scale);
            }
            let [x, y] = pair;
            row::store_pair(out + 2 * u64::from(width), E::pack(x, y));
        }
    }

    /// Half `half` of the lane's share of a token, dequantised. The first scales of the block are at `scales`.
    #[inline(always)]
    unsafe fn load_half<E: Element, F: Format>(
        block: u64,
        scales: u64,
        token: u32,
        half: u32,
    ) -> [u32; 4] {
        let first = token * F::LAYOUT.token_stride + half * HALF_ELEMENTS + 8 * special::lane();
        // SAFETY: the caller's promise.
        let (codes, scale) = unsafe {
            let codes = global::load_u32x2((block + u64::from(first)) as *const u32);
            (codes, load_scale::<F>(scales, token, half))
        };
        let [a, b, c, d] = math::unpack_e4m3(codes[0]);
        let [e, f, g, h] = math::unpack_e4m3(codes[1]);
        [
            E::pack(a * scale, b * scale),
            E::pack(c * scale, d * scale),
            E::pack(e * scale, f * scale),
            E::pack(g * scale, h * scale),
        ]
    }
}
