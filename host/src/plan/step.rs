//! What changes from one decode step to the next.

use std::fmt;

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
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no mask",
            Self::Causal => "causal mask",
        })
    }
}

/// One decode step.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Cached tokens of each request, those of this step's query tokens included: `[batch]`, from 0 on.
    pub lengths: &'a [i32],
    /// Block ids: `[batch, max_blocks] i32` on the host. Of each row the first `ceil(length / 64)` are read.
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
}
