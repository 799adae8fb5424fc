//! Exchanges between the lanes of a warp: pure functions of their operands.

use super::collective::{Op, Then};
use super::{WARP, Words};

/// The modes of `shfl.sync`, each with its operands `b` (bits 0–4) and `c` (bits 0–4 clamp, 8–12 segment mask).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shuffle {
    /// From lane `b` of the segment.
    Index,
    /// From the lane whose index differs in the bits of `b`.
    Butterfly,
    /// From `b` lanes below.
    Up,
    /// From `b` lanes above.
    Down,
}

/// The operations of `redux.sync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduce {
    /// Wrapping sum.
    Add,
    /// Unsigned minimum.
    MinUnsigned,
    /// Unsigned maximum.
    MaxUnsigned,
    /// Signed minimum.
    MinSigned,
    /// Signed maximum.
    MaxSigned,
    /// Bitwise and.
    And,
    /// Bitwise or.
    Or,
    /// Bitwise exclusive or.
    Xor,
}

impl Reduce {
    fn apply(self, a: u32, b: u32) -> u32 {
        match self {
            Self::Add => a.wrapping_add(b),
            Self::MinUnsigned => a.min(b),
            Self::MaxUnsigned => a.max(b),
            Self::MinSigned => (a as i32).min(b as i32) as u32,
            Self::MaxSigned => (a as i32).max(b as i32) as u32,
            Self::And => a & b,
            Self::Or => a | b,
            Self::Xor => a ^ b,
        }
    }
}

impl Shuffle {
    /// The lane that `lane` reads, and whether it lies in the segment; if not, the lane reads itself.
    fn source(self, lane: u32, b: u32, c: u32) -> (u32, bool) {
        let (b, clamp, segment) = (b & 31, c & 31, c >> 8 & 31);
        let base = lane & segment;
        let last = base | clamp & !segment;
        let (source, inside) = match self {
            Self::Up => (lane.wrapping_sub(b), lane as i32 - b as i32 >= last as i32),
            Self::Down => (lane + b, lane + b <= last),
            Self::Butterfly => (lane ^ b, lane ^ b <= last),
            Self::Index => {
                let source = base | b & !segment;
                (source, source <= last)
            }
        };
        if inside { (source, true) } else { (lane, false) }
    }
}

/// Executes an exchange. In: word 0 the value, words 1 and 2 operands. Out: word 0 the result, word 1 the
/// predicate where there is one.
pub fn exchange(op: Op, members: u32, lanes: &mut [Words]) -> Then {
    let values: Vec<u32> = lanes.iter().map(|words| words[0] as u32).collect();
    let present = || (0..WARP).filter(move |lane| members >> lane & 1 != 0);
    let reduced = |reduce: Reduce| {
        present().map(|lane| values[lane]).reduce(|a, b| reduce.apply(a, b)).unwrap_or(0)
    };
    for lane in present() {
        let words = &mut lanes[lane];
        let (result, predicate) = match op {
            Op::Shuffle(shuffle) => {
                let (source, inside) =
                    shuffle.source(lane as u32, words[1] as u32, words[2] as u32);
                (values[source as usize], inside)
            }
            Op::Ballot => {
                let bits = present().filter(|&lane| values[lane] != 0).map(|lane| 1 << lane);
                (bits.sum(), true)
            }
            Op::Reduce(reduce) => (reduced(reduce), true),
            Op::MatchAny => {
                let same = present().filter(|&other| values[other] == values[lane]);
                (same.map(|other| 1 << other).sum(), true)
            }
            Op::Elect => (members.trailing_zeros(), members.trailing_zeros() == lane as u32),
            _ => unreachable!("not an exchange"),
        };
        words[0] = result.into();
        words[1] = predicate.into();
    }
    Then::Resume
}
