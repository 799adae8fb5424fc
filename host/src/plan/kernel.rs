//! Which of the dense decode kernels a step is for.

use oxmla_kernels::abi::Rows;
pub use oxmla_kernels::decode::Variant;

use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;

/// Tiles of a list of rows from which on pairs are faster. With fewer, the tensor cores are not what is waited for, and
/// two CTAs that wait for each other are later than two that do not (`docs/performance-notes.md`, 20).
const LEAST_TILES: u32 = 4;
/// Blocks of the busiest part from which on the steady state is what counts.
const LEAST_BLOCKS: u32 = 16;

/// The kernel for `rows` where the busiest of `parts` has `most_blocks`: `preferred` if it can do it. There is `room`
/// for so many CTAs of the paired kernel at once, and they all have to be there where they share requests.
pub(super) fn choose(
    rows: &Rows,
    parts: u32,
    most_blocks: u32,
    preferred: Option<Variant>,
    room: u32,
) -> Variant {
    let pays = rows.tiles_per_group >= LEAST_TILES && most_blocks >= LEAST_BLOCKS;
    let wanted = preferred.unwrap_or(if pays { Variant::Pair } else { Variant::Dense });
    let has_room = wanted == Variant::Dense || rows.tiles() * parts <= room;
    if wanted.accepts(rows) && has_room { wanted } else { Variant::Dense }
}

/// CTAs of the paired kernel for `dtype` that a device has room for at once.
#[cfg_attr(not(feature = "cuda"), expect(unused_variables, reason = "only GPUs have a limit"))]
pub(super) fn room(device: &Device, dtype: DType) -> Result<u32> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => Ok(2 * crate::backend::cuda::pairs(device, dtype)?),
        _ => Ok(u32::MAX),
    }
}

/// Loads the kernels for queries of type `dtype` on a GPU; `limited` if steps have windows.
#[cfg_attr(not(feature = "cuda"), expect(unused_variables, reason = "only GPUs load kernels"))]
pub(super) fn prepare(device: &Device, limited: bool, dtype: DType) -> Result<()> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => crate::backend::cuda::prepare_decode(device, limited, dtype),
        _ => Ok(()),
    }
}

/// A kernel in words.
pub(super) const fn explain(variant: Variant) -> &'static str {
    match variant {
        Variant::Dense => "dense, a CTA for each tile",
        Variant::Pair => "pairs of CTAs, each computing half of the columns of two tiles",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(s_q: u32, h_q: u32, most_blocks: u32, preferred: Option<Variant>) -> Variant {
        choose(&Rows::pack(s_q, h_q, 1), 1, most_blocks, preferred, 132)
    }

    #[test]
    fn pairs_are_for_many_rows_and_many_blocks() {
        assert_eq!(choice(2, 128, 64, None), Variant::Pair);
        assert_eq!(choice(1, 128, 64, None), Variant::Dense);
        assert_eq!(choice(2, 128, 4, None), Variant::Dense);
    }

    /// Three tiles are no pairs.
    #[test]
    fn a_preference_counts_where_the_kernel_accepts_the_rows() {
        assert_eq!(choice(1, 128, 1, Some(Variant::Pair)), Variant::Pair);
        assert_eq!(choice(3, 64, 64, Some(Variant::Pair)), Variant::Dense);
        assert_eq!(choice(2, 128, 64, Some(Variant::Dense)), Variant::Dense);
    }

    #[test]
    fn pairs_have_to_fit_on_the_gpu_together() {
        let rows = Rows::pack(2, 128, 1);
        let with_room = |room| choose(&rows, 33, 64, Some(Variant::Pair), room);
        assert_eq!(with_room(132), Variant::Pair);
        assert_eq!(with_room(130), Variant::Dense);
    }
}
