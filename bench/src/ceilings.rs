//! What a card can do.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use crate::{Method, Work};

/// Rates that a card reached in a run, with simple kernels: nothing in the same run can be expected to pass them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ceilings {
    /// 10⁹ bytes per second that are read from the device memory.
    pub read_gbps: Option<f64>,
    /// 10⁹ bytes per second that a copy inside the device memory reads and writes.
    pub copy_gbps: Option<f64>,
    /// 10¹² FLOP per second of bf16 multiplies, while the card is cool: ours are `wgmma` back to back, those of
    /// the peers' runs a large GEMM.
    pub mma_tflops: Option<f64>,
    /// The same under the power limit.
    pub mma_sustained_tflops: Option<f64>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ceiling {
    /// [`Ceilings::read_gbps`].
    Read,
    /// [`Ceilings::copy_gbps`].
    Copy,
    /// [`Ceilings::mma_tflops`].
    Multiply,
    /// [`Ceilings::mma_sustained_tflops`].
    SustainedMultiply,
}

/// How near a time comes to a ceiling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// 1 at the ceiling.
    pub value: f64,
    /// The ceiling that is nearest.
    pub ceiling: Ceiling,
}

/// Ceilings of the memory, the preferred one first.
const MEMORY: [Ceiling; 2] = [Ceiling::Read, Ceiling::Copy];

impl Ceilings {
    /// The ceiling, in 10⁹ bytes or 10¹² FLOP per second, if it was measured.
    pub fn get(&self, ceiling: Ceiling) -> Option<f64> {
        match ceiling {
            Ceiling::Read => self.read_gbps,
            Ceiling::Copy => self.copy_gbps,
            Ceiling::Multiply => self.mma_tflops,
            Ceiling::SustainedMultiply => self.mma_sustained_tflops,
        }
    }

    /// How near `work` in `us` microseconds comes to one ceiling.
    pub fn share_of(&self, ceiling: Ceiling, work: &Work, us: f64) -> Option<Share> {
        let rate = match ceiling {
            Ceiling::Read | Ceiling::Copy => work.gbps(us),
            Ceiling::Multiply | Ceiling::SustainedMultiply => work.tflops(us),
        };
        Some(Share { value: rate / self.get(ceiling)?, ceiling })
    }

    /// How near `work` in `us` microseconds comes to the ceiling that bounds it: the nearest of those that were
    /// measured.
    pub fn share(&self, method: Method, work: &Work, us: f64) -> Option<Share> {
        let nearest =
            |kinds: &[Ceiling]| kinds.iter().find_map(|&ceiling| self.share_of(ceiling, work, us));
        let of_both = [nearest(&MEMORY), nearest(multiply(method))];
        of_both.into_iter().flatten().max_by(|a, b| a.value.total_cmp(&b.value))
    }

    /// The ceilings of both runs that are of one kind, for memory and for multiplies. `None` if there is no such
    /// pair of both: what bounds the work could then be one that was not measured.
    pub fn in_common(&self, other: &Self, method: Method) -> Option<(Self, Self)> {
        let common = |kinds: &[Ceiling]| {
            let in_both = |&&kind: &&Ceiling| self.get(kind).and(other.get(kind)).is_some();
            kinds.iter().find(in_both).copied()
        };
        let kinds = [common(&MEMORY)?, common(multiply(method))?];
        Some((self.only(kinds), other.only(kinds)))
    }

    fn only(&self, kinds: [Ceiling; 2]) -> Self {
        let keep = |ceiling| self.get(ceiling).filter(|_| kinds.contains(&ceiling));
        Self {
            read_gbps: keep(Ceiling::Read),
            copy_gbps: keep(Ceiling::Copy),
            mma_tflops: keep(Ceiling::Multiply),
            mma_sustained_tflops: keep(Ceiling::SustainedMultiply),
        }
    }
}

/// Ceilings of the tensor cores, the preferred one first.
const fn multiply(method: Method) -> &'static [Ceiling] {
    match method {
        Method::Sustained => &[Ceiling::SustainedMultiply, Ceiling::Multiply],
        _ => &[Ceiling::Multiply],
    }
}

impl Display for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "reads",
            Self::Copy => "copies",
            Self::Multiply => "multiplies",
            Self::SustainedMultiply => "sustained multiplies",
        })
    }
}

impl Display for Share {
    /// `94 % of reads`; below a tenth with one more figure.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.value * 100.0;
        let precision = usize::from(percent < 10.0);
        write!(f, "{percent:.precision$} % of {}", self.ceiling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: Ceilings = Ceilings {
        read_gbps: Some(3000.0),
        copy_gbps: Some(2900.0),
        mma_tflops: Some(800.0),
        mma_sustained_tflops: Some(700.0),
    };

    /// 700 TFLOP/s and 1,500 GB/s in a millisecond.
    const WORK: Work = Work { flop: 7e11, bytes: 1.5e9 };

    #[test]
    fn the_nearest_ceiling_bounds() {
        let share = |ceilings: Ceilings, method, us| ceilings.share(method, &WORK, us).unwrap();
        assert_eq!(share(CARD, Method::Kernel, 1e3).to_string(), "88 % of multiplies");
        assert_eq!(
            share(CARD, Method::Sustained, 1e3).to_string(),
            "100 % of sustained multiplies"
        );
        let without = Ceilings { mma_tflops: None, mma_sustained_tflops: None, ..CARD };
        assert_eq!(share(without, Method::Kernel, 1e4).to_string(), "5.0 % of reads");
        let copy = Ceilings { read_gbps: None, ..without };
        assert_eq!(share(copy, Method::Kernel, 1e3).to_string(), "52 % of copies");
        assert_eq!(Ceilings::default().share(Method::Call, &WORK, 1e3), None);
    }

    #[test]
    fn only_ceilings_of_one_kind_are_in_common() {
        let common = |a: Ceilings, b, method| a.in_common(&b, method);
        let cool = Ceilings { mma_sustained_tflops: None, ..CARD };
        let copy = Ceilings { read_gbps: None, ..cool };
        assert_eq!(common(CARD, CARD, Method::Sustained).unwrap().0.mma_tflops, None);
        assert_eq!(common(CARD, cool, Method::Sustained).unwrap().0.mma_tflops, Some(800.0));
        assert_eq!(common(CARD, copy, Method::Kernel).unwrap().0.read_gbps, None);
        let neither = Ceilings { copy_gbps: None, ..copy };
        assert_eq!(common(CARD, neither, Method::Kernel), None, "no memory");
        let memory_only = Ceilings { mma_tflops: None, ..cool };
        assert_eq!(common(CARD, memory_only, Method::Kernel), None, "no multiplies");
    }
}
