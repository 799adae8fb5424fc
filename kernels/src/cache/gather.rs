//! Cached tokens of requests as contiguous rows: row `i` of request `r` is its token at position `i`.

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::run;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use crate::cache::abi::GatherParams;
    use crate::cache::row::{self, LATENT_BYTES};
    use crate::cache::{WARPS, place};
    use crate::decode::dense::config::D_LATENT;
    use crate::ptx::special;

    /// The kernel.
    ///
    /// # Safety
    /// As for the entry point.
    #[inline(always)]
    pub unsafe fn run(params: &GatherParams) {
        let index = special::cta_x() * WARPS + special::warp();
        if index >= params.rows {
            return;
        }
        // SAFETY: the launcher vouches for the parameters; row and request exist where they are used.
        unsafe {
            let Some((request, position)) = place::gathered(params, index) else { return };
            let Some(cached) = params.pages.row(request, position) else { return };
            let latent = row::load_latent(cached, D_LATENT);
            let pair = row::load_pair(cached + LATENT_BYTES);
            let out = params.out + 2 * u64::from(index) * params.out_stride;
            row::store_latent(out, latent, D_LATENT);
            row::store_pair(out + LATENT_BYTES, pair);
        }
    }
}
