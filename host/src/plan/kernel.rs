//! Which of the dense decode kernels a step is for.

use oxmla_kernels::abi::Rows;
pub use oxmla_kernels::decode::Variant;

use crate::device::Device;

/// Tiles of a list of rows from which on pairs are faster. With fewer, the tensor cores are not what is waited for, and
/// two CTAs that wait for each other are later than two that do not (`docs/performance-notes.md`, 19).
const LEAST_TILES: u32 = 4;
/// Blocks of the busiest part from which on the steady state is what counts.
const LEAST_BLOCKS: u32 = 16;

/// The kernel for `rows` on `device`, where the busiest of `parts` has `most_blocks`: `preferred` if it can do it.
pub(super) fn choose(
    device: &Device,
    rows: &Rows,
    parts: u32,
    most_blocks: u32,
    preferred: Option<Variant>,
) -> Variant {
    let pays = rows.tiles_per_group >= LEAST_TILES && most_blocks >= LEAST_BLOCKS;
    let wanted = preferred.unwrap_or(if pays { Variant::Pair } else { Variant::Dense });
    let possible = wanted.accepts(rows) && has_room(device, wanted, rows.tiles() * parts);
    if possible { wanted } else { Variant::Dense }
}

/// Whether `ctas` of the kernel can be on the device at once, as they have to be where they share requests.
#[cfg_attr(not(feature = "cuda"), expect(unused_variables, reason = "only GPUs have limits"))]
fn has_room(device: &Device, variant: Variant, ctas: u32) -> bool {
    match (device, variant) {
        #[cfg(feature = "cuda")]
        (Device::Cuda(device), Variant::Pair) => ctas <= 2 * device.pairs(),
        _ => true,
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
        choose(&Device::cpu(), &Rows::pack(s_q, h_q, 1), 1, most_blocks, preferred)
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
}
