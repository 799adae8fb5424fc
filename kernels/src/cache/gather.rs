//! Cached tokens of requests as contiguous rows: row `i` of request `r` is its token at position `i`.

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::run;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use crate::cache::abi::GatherParams;
    use crate::cache::row::{self, LATENT_BYTES};
    use crate::cache::{WARPS, place};
    use crate::ptx::{global, special};

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
        let offsets = params.offsets as *const i32;
        // SAFETY: the launcher vouches for the parameters; row and request exist where they are used.
        unsafe {
            let request = place::request_of(offsets, params.batch, index);
            if request >= params.batch {
                return;
            }
            // Before the first offset, positions are negative, which are large here.
            let start = global::load_i32(offsets.add(request as usize)) as u32;
            let position = index.wrapping_sub(start);
            if !params.pages.reaches(position) {
                return;
            }
            let Some(cached) = params.pages.row(request, position) else { return };
            let latent = row::load_latent(cached);
            let pair = row::load_pair(cached + LATENT_BYTES);
            let out = params.out + 2 * u64::from(index) * params.out_stride;
            row::store_latent(out, latent);
            row::store_pair(out + LATENT_BYTES, pair);
        }
    }
}
