//! What accumulators in flight hold: signalling NaNs that tell which tile they stand for.
//!
//! The true values are kept by the machine until a wait names the accumulator. A kernel that changes one
//! changes the pattern; one that uses it spreads the pattern, which arithmetic quietens but keeps, to where
//! the machine sees it: stores, shuffles, conversions, approximations.

use super::context;
use crate::report::{Fault, Kind, Outcome};

/// Exponent of a NaN and eight bits that neither a 16-bit float nor the canonical NaN widens to.
const PATTERN: u32 = 0x7f80_0000 | 0xa5 << ID_BITS;
const ID_BITS: u32 = 14;
const QUIET: u32 = 1 << 22;
const SIGN: u32 = 1 << 31;

/// Ids that the pattern can carry.
pub const IDS: u32 = 1 << ID_BITS;

/// The word of every register of tile `id`.
pub fn word(id: u32) -> u32 {
    PATTERN | id & (IDS - 1)
}

/// The tile that a register stands for, if it is in flight.
pub fn tile(bits: u32) -> Option<u32> {
    let plain = bits & !(QUIET | SIGN);
    (plain & !(IDS - 1) == PATTERN).then_some(plain & (IDS - 1))
}

/// Refuses a value that comes from an accumulator in flight.
pub fn check(bits: u32, what: &str) -> Outcome<()> {
    if tile(bits).is_none() {
        return Ok(());
    }
    let detail = format!("{what} uses an accumulator that no wait has handed back");
    Err(Fault::new(Kind::AccumulatorRead, detail))
}

/// As [`check`], for arithmetic, which does not enter the machine otherwise.
#[track_caller]
#[inline]
pub fn check_values(values: &[f32], what: &str) {
    for value in values {
        if tile(value.to_bits()).is_some() {
            context::execute(|_, _| check(value.to_bits(), what));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_keeps_the_pattern_and_data_never_has_it() {
        // Folded at compile time, NaN - NaN is a NaN of the compiler's own.
        let poison = std::hint::black_box(f32::from_bits(word(77)));
        for spoilt in [poison + 1.0, 2.0 * poison, -poison, poison - poison] {
            assert_eq!(tile(std::hint::black_box(spoilt).to_bits()), Some(77));
        }
        for high in 0..=u16::MAX {
            assert_eq!(tile(u32::from(high) << 16), None, "a widened bf16");
        }
        assert_eq!(tile(f32::NAN.to_bits()), None);
        assert_eq!(tile(0x7fff_ffff), None, "the canonical NaN of the hardware");
    }
}
