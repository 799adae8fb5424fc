//! What measurements of attention mean: records of `oxmla bench`, the ceilings of the card that they were
//! taken on, the recorded rows of other libraries, and the target of every regime.
//!
//! Cards of one model differ by several per cent in clocks and bandwidth. So two runs are compared by how far
//! each of them gets up to what its own card could do in that same run:
//!
//! ```text
//! floor = max(bytes / memory rate, FLOP / multiply rate)      of the run's own ceilings
//! ratio = (our floor / our time) / (their floor / their time)
//! ```
//!
//! `oxmla bench suite` prints a [`Comparison`] of what it has just measured, `cargo xtask report` writes one of
//! what is committed.

mod ceilings;
mod cells;
mod comparison;
mod method;
mod peers;
mod record;
mod regimes;
mod target;
mod work;

pub use ceilings::{Ceiling, Ceilings, Share};
pub use cells::{NOT_NORMALISED, TITLES, Tally};
pub use comparison::{Comparison, Other, Ratio, Theirs, compare};
pub use method::Method;
pub use peers::{PeerRow, PeerRun, Place, Schedule};
pub use record::{Environment, ReadError, Record};
pub use regimes::{Goal, REGIMES, Regime, is_dense};
pub use target::{Target, Verdict};
pub use work::Work;
