//! Where the tokens of a cache are that indices name.

use crate::tensor::TensorRef;

/// A cache `[blocks, block_size, 1, width]`, whose tokens are numbered through all blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CachedRows {
    /// Blocks.
    pub blocks: usize,
    /// Tokens of a block.
    pub block_size: usize,
}

impl CachedRows {
    /// Those of a tensor of four axes.
    pub fn new(kv_cache: &TensorRef<'_>) -> Self {
        Self { blocks: kv_cache.shape()[0], block_size: kv_cache.shape()[1] }
    }

    /// Tokens; as many as `usize` can count if there are more.
    pub const fn tokens(&self) -> usize {
        self.blocks.saturating_mul(self.block_size)
    }

    /// Block, and place in the block, of the token that `index` names, if it names any.
    pub fn place(&self, index: i32) -> Option<[usize; 2]> {
        let token = usize::try_from(index).ok().filter(|&token| token < self.tokens())?;
        Some([token / self.block_size, token % self.block_size])
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::error::Result;

    #[test]
    fn tokens_are_numbered_through_all_blocks() -> Result<()> {
        let elements = [bf16::ZERO; 6 * 8];
        let rows = CachedRows::new(&TensorRef::from_slice(&elements, &[2, 3, 1, 8])?);
        assert_eq!(rows.place(0), Some([0, 0]));
        assert_eq!(rows.place(4), Some([1, 1]));
        assert_eq!(rows.place(5), Some([1, 2]));
        for index in [6, i32::MAX, -1, i32::MIN] {
            assert_eq!(rows.place(index), None, "{index}");
        }
        let none = CachedRows::new(&TensorRef::from_slice(&elements, &[2, 0, 1, 8])?);
        assert_eq!(none.place(0), None);
        Ok(())
    }
}
