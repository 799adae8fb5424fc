//! The four lanes that share the rows of an accumulator.

use crate::ptx::{special, warp};

/// Transposes four words of each of the four lanes: lane `q` gives `words[i]` to lane `i` and gets word `q` of
/// every lane.
///
/// Accumulators of a 16-bit output come in columns of eight: lane `q` has columns `2 q` and `2 q + 1` of each. Of
/// four such columns it gets all of the `q`-th, 16 bytes. (With stores of 4 bytes a lane, a tile's result took 5.4 µs
/// on an H100: `docs/performance-notes.md`, 14.)
///
/// All lanes of a warp call it, converged.
#[inline(always)]
pub fn transpose(words: [u32; 4]) -> [u32; 4] {
    let [a, b, c, d] = words;
    let odd = special::lane() & 1 != 0;
    let (a, b) = exchange::<1>(a, b, odd);
    let (c, d) = exchange::<1>(c, d, odd);
    let upper = special::lane() & 2 != 0;
    let (a, c) = exchange::<2>(a, c, upper);
    let (b, d) = exchange::<2>(b, d, upper);
    [a, b, c, d]
}

/// Exchanges the second word of the lower lane with the first word of the upper one, `DISTANCE` lanes above.
#[inline(always)]
pub fn exchange<const DISTANCE: u32>(first: u32, second: u32, upper: bool) -> (u32, u32) {
    let sent = if upper { first } else { second };
    let received = warp::butterfly::<DISTANCE>(f32::from_bits(sent)).to_bits();
    if upper { (received, second) } else { (first, received) }
}
