//! What a measurement has to reach.

use std::fmt::{self, Display};

use crate::{Ceiling, Comparison, Record};

/// A bound on one time of one configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// At least this times the rate of the best peer.
    Rate(f64),
    /// At most this times the time of the best peer.
    Time(f64),
    /// At most this many microseconds on the card of the best peer.
    Micros(f64),
    /// At least this share of what the card reads from its memory.
    Reads(f64),
    /// At most this many microseconds of the host, and no heap allocation.
    Host(f64),
    /// At least this times our own rate with another configuration of as many tokens, of that name, in the same run.
    Beside(f64, &'static str),
}

/// Whether a target is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Met,
    /// No.
    Missed,
    /// What it depends on was not measured.
    Unknown,
}

impl Target {
    /// Holds a record, and its comparison with the best peer, against the target.
    pub fn verdict(self, record: &Record, comparison: &Comparison) -> Verdict {
        let holds = match self {
            Self::Rate(least) | Self::Beside(least, _) => {
                comparison.ratio.map(|ratio| ratio.rate >= least)
            }
            Self::Time(most) => comparison.ratio.map(|ratio| ratio.time() <= most),
            Self::Micros(most) => comparison.us_on_their_card().map(|us| us <= most),
            Self::Reads(least) => comparison.us.and_then(|us| {
                let ceilings = &record.environment.ceilings;
                let share = ceilings.share_of(Ceiling::Read, &record.work, us)?;
                Some(share.value >= least)
            }),
            Self::Host(most) => (comparison.us.zip(record.host_allocations))
                .map(|(us, allocations)| us <= most && allocations == 0),
        };
        holds.map_or(Verdict::Unknown, |holds| if holds { Verdict::Met } else { Verdict::Missed })
    }

    /// Whether it is stated as a time, so that less is better.
    pub const fn is_time(self) -> bool {
        matches!(self, Self::Time(_) | Self::Micros(_) | Self::Host(_))
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(least) | Self::Beside(least, _) => write!(f, "≥ {least:.2}× rate"),
            Self::Time(most) => write!(f, "≤ {most:.2}× time"),
            Self::Micros(most) => write!(f, "≤ {most} µs"),
            Self::Reads(least) => write!(f, "≥ {:.0} % of reads", least * 100.0),
            Self::Host(most) => write!(f, "≤ {most} µs, 0 allocations"),
        }
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Unknown => "not measured",
        })
    }
}
