//! How a time was taken.

use std::fmt::{self, Display};

/// One way to time a decode call. Times compare only with times of the same method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The main kernel alone, nothing of it in the L2; a call of ours has no other.
    Kernel,
    /// Everything that one call starts, between two events, nothing of it in the L2.
    Call,
    /// Graph replays back to back: the steady state under the power limit.
    Sustained,
    /// The host's share of a call, launches included.
    Host,
}

impl Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Call => "call",
            Self::Sustained => "sustained",
            Self::Host => "host",
        })
    }
}
