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
    use crate::cache::{WARPS, place};
    use crate::decode::dense::config::D_LATENT;
    use crate::ptx::{global, math, special, warp};
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
            let mut latent = row::load_latent(latent);
            let mut pair = row::load_pair(rope);
            let weight = (params.weight != 0).then(|| row::load_latent(params.weight));
            let Some((request, position)) = place(params, index) else { return };
            let turn = (params.rotations != 0).then(|| load_turn(params.rotations, position));
            let Some(cached) = params.pages.row(request, position) else { return };
            if let Some(weight) = weight {
                latent = normalise::<E>(latent, weight, params.eps);
            }
            if let Some(turn) = turn {
                pair = rotate::<E>(pair, turn);
            }
            row::store_latent(cached, latent);
            row::store_pair(cached + LATENT_BYTES, pair);
        }
    }

    /// Request and position of a row, if table and rotations have them.
    #[inline(always)]
    unsafe fn place(params: &AppendParams, index: u32) -> Option<(u32, u32)> {
        let offsets = params.offsets as *const i32;
        // SAFETY: `request` is less than `batch` where it is used.
        unsafe {
            let (request, end) = if offsets.is_null() {
                let request = index.checked_div(params.rows_per_request)?;
                (request, (request + 1) * params.rows_per_request)
            } else {
                let request = place::request_of(offsets, params.batch, index);
                let next = (request + 1).min(params.batch);
                (request, global::load_i32(offsets.add(next as usize)) as u32)
            };
            if request >= params.batch {
                return None;
            }
            let length = global::load_i32((params.lengths as *const i32).add(request as usize));
            // A request with more new rows than tokens has negative positions, which are large here.
            let position = (length as u32).wrapping_sub(end.wrapping_sub(index));
            let rotated = params.rotations == 0 || position < params.positions;
            (params.pages.reaches(position) && rotated).then_some((request, position))
        }
    }

    /// Cosine and sine of the lane's pair at `position`.
    #[inline(always)]
    unsafe fn load_turn(rotations: u64, position: u32) -> [f32; 2] {
        let pair = u64::from(position) * 32 + u64::from(special::lane());
        // SAFETY: the table has the position.
        unsafe { global::load_f32x2((rotations + 8 * pair) as *const f32) }
    }

    /// RMS normalisation of 512 elements.
    #[inline(always)]
    fn normalise<E: Element>(mut latent: Latent, weight: Latent, eps: f32) -> Latent {
        let mut sum = 0.0;
        seq!(I in 0..8 {
            let [low, high] = E::unpack(latent[I / 4][I % 4]);
            sum = math::fma(low, low, math::fma(high, high, sum));
        });
        sum += warp::butterfly::<16>(sum);
        sum += warp::butterfly::<8>(sum);
        sum += warp::butterfly::<4>(sum);
        sum += warp::butterfly::<2>(sum);
        sum += warp::butterfly::<1>(sum);
        let scale = math::rsqrt(math::fma(sum, 1.0 / D_LATENT as f32, eps));
        seq!(I in 0..8 {
            let [low, high] = E::unpack(latent[I / 4][I % 4]);
            let [low_weight, high_weight] = E::unpack(weight[I / 4][I % 4]);
            latent[I / 4][I % 4] = E::pack(low * scale * low_weight, high * scale * high_weight);
        });
        latent
    }

    /// Rotation of a pair of elements.
    #[inline(always)]
    fn rotate<E: Element>(pair: u32, [cos, sin]: [f32; 2]) -> u32 {
        let [x, y] = E::unpack(pair);
        E::pack(math::fma(x, cos, -(y * sin)), math::fma(x, sin, y * cos))
    }
}
