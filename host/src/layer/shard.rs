//! Which heads of a layer a device has.

use std::ops::Range;

use crate::check;
use crate::error::{Error, Result};

/// The heads of one rank under tensor parallelism: `heads / world` of them, those of rank 0 first. The ranks'
/// outputs are to be added up; everything that is not of a head (the compressed query, the cache) every rank has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeadShard {
    rank: usize,
    world: usize,
}

impl HeadShard {
    /// All heads on one device.
    pub const WHOLE: Self = Self { rank: 0, world: 1 };

    /// The heads of `rank`, of `world` ranks.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there are no ranks, or `rank` is none of them.
    pub fn new(rank: usize, world: usize) -> Result<Self> {
        check::range("world", world as i128, 1, i32::MAX)?;
        check::range("rank", rank as i128, 0, world as i128 - 1)?;
        Ok(Self { rank, world })
    }

    /// The rank.
    #[must_use]
    pub const fn rank(&self) -> usize {
        self.rank
    }

    /// Ranks in all.
    #[must_use]
    pub const fn world(&self) -> usize {
        self.world
    }

    /// The heads of a layer with `heads` heads that the rank has.
    ///
    /// # Errors
    /// [`Error::UnevenShards`] if they cannot be divided among the ranks.
    pub const fn heads(&self, heads: usize) -> Result<Range<usize>> {
        if !heads.is_multiple_of(self.world) {
            return Err(Error::UnevenShards { heads, world: self.world });
        }
        let each = heads / self.world;
        Ok(self.rank * each..(self.rank + 1) * each)
    }
}

impl Default for HeadShard {
    fn default() -> Self {
        Self::WHOLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_have_all_heads_between_them() -> Result<()> {
        let heads: Vec<_> =
            (0..8).map(|rank| HeadShard::new(rank, 8)?.heads(128)).collect::<Result<_>>()?;
        assert_eq!((heads[0].clone(), heads[7].clone()), (0..16, 112..128));
        assert!(heads.iter().flat_map(Clone::clone).eq(0..128));
        assert_eq!(HeadShard::WHOLE.heads(3), Ok(0..3));
        Ok(())
    }

    #[test]
    fn bad_shards() -> Result<()> {
        let error = Error::OutOfRange { arg: "rank", min: 0, max: 3, got: 4 };
        assert_eq!(HeadShard::new(4, 4), Err(error));
        assert!(matches!(HeadShard::new(0, 0), Err(Error::OutOfRange { arg: "world", .. })));
        let error = Error::UnevenShards { heads: 16, world: 3 };
        assert_eq!(HeadShard::new(0, 3)?.heads(16), Err(error));
        Ok(())
    }
}
