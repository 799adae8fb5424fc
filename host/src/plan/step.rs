//! What changes from one decode step to the next.

use std::fmt;

use super::schedule::Reach;
use crate::cache::BlockTable;
use crate::tensor::TensorRef;

/// Which cached tokens a query token sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mask {
    /// All of them.
    None,
    /// Query token `i` of `s_q` sees the first `length − (s_q − 1 − i)` tokens: the last one sees all, for
    /// the query tokens' own rows are the last ones in the cache.
    Causal,
    /// [`Mask::None`] behind a sliding window: query token `i`, which is the cached token `own = length − s_q + i`, sees
    /// the tokens `p > own − tokens`: up to its own as many as the window has, and all that come later.
    Window {
        /// Tokens of the window: 1 or more.
        tokens: u32,
    },
    /// [`Mask::Causal`] behind a sliding window: query token `i` sees the tokens `own − tokens < p ≤ own`, its own
    /// included, as Mistral's models have it.
    CausalWindow {
        /// Tokens of the window: 1 or more.
        tokens: u32,
    },
}

impl Mask {
    /// The same behind a sliding window of `tokens` tokens instead of any other.
    #[must_use]
    pub const fn within(self, tokens: u32) -> Self {
        if self.is_causal() { Self::CausalWindow { tokens } } else { Self::Window { tokens } }
    }

    /// Whether a query token does not see what comes after it.
    #[must_use]
    pub const fn is_causal(self) -> bool {
        matches!(self, Self::Causal | Self::CausalWindow { .. })
    }

    /// Tokens of the window, if there is one.
    #[must_use]
    pub const fn window(self) -> Option<u32> {
        match self {
            Self::None | Self::Causal => None,
            Self::Window { tokens } | Self::CausalWindow { tokens } => Some(tokens),
        }
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_causal() { "causal mask" } else { "no mask" })?;
        match self.window() {
            Some(tokens) => write!(f, ", window of {tokens} tokens"),
            None => Ok(()),
        }
    }
}

/// One decode step.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Cached tokens of each request, those of this step's query tokens included: `[batch]`, from 0 on.
    pub lengths: &'a [i32],
    /// Block ids: `[batch, max_blocks] i32` on the host. Of each row the first
    /// `ceil(length / block size)` are read;
    /// behind a window only those of blocks that some query token sees, so that the others may be gone.
    pub block_table: TensorRef<'a>,
    /// Query tokens per request.
    pub s_q: u32,
    /// Which cached tokens they see.
    pub mask: Mask,
}

impl<'a> Step<'a> {
    /// The step of the requests in `table`.
    #[must_use]
    pub fn new(table: &'a BlockTable, s_q: u32, mask: Mask) -> Self {
        Self { lengths: table.lengths(), block_table: table.view(), s_q, mask }
    }

    /// How many tokens at the end of a request the query tokens see.
    pub(super) const fn reach(&self) -> Reach {
        match self.mask.window() {
            Some(window) => Reach::behind(window, self.s_q),
            None => Reach::ALL,
        }
    }
}
