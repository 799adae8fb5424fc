//! A decode step as the CPU sees it.

use crate::attention::Decode;
use crate::cache::CacheFormat;
use crate::dims::MlaDims;
use crate::plan::{DecodePlan, Mask, Planner, Tables};

/// Tensors and plan of one call. They have been checked: the tensors have the shapes that `dims`, `batch`
/// and `s_q` give, are on the host, aligned, and of the type that the two implementations are called with;
/// block ids are those of blocks.
///
/// The two implementations find their way through it separately, so that none hides a mistake of the other.
pub struct Problem<'a> {
    /// The tensors.
    pub args: &'a Decode<'a>,
    /// What a cached token is.
    pub format: CacheFormat,
    /// Tokens of a block.
    pub block_size: usize,
    /// Block ids.
    pub tables: &'a Tables,
    /// Cached tokens of each request.
    pub lengths: &'a [i32],
    /// Which of them a query token sees.
    pub mask: Mask,
    /// Heads and widths.
    pub dims: MlaDims,
    /// Requests.
    pub batch: usize,
    /// Query tokens per request.
    pub s_q: usize,
}

impl<'a> Problem<'a> {
    /// The problem that checked arguments pose.
    pub fn new(planner: &'a Planner, plan: &DecodePlan, args: &'a Decode<'a>) -> Self {
        Self {
            args,
            format: CacheFormat::of(&args.kv_cache)
                .unwrap_or(CacheFormat::Elements(planner.config().dtype)),
            block_size: planner.config().block_size,
            tables: planner.tables(),
            lengths: planner.tables().lengths(plan.batch()),
            mask: plan.mask(),
            dims: planner.config().dims,
            batch: plan.batch(),
            s_q: plan.s_q() as usize,
        }
    }
}
