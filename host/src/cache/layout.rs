//! How cached tokens lie in memory.

use oxmla_kernels::decode::schedule::BLOCK_TOKENS;

use crate::dims::MlaDims;
use crate::dtype::DType;
use crate::error::{Error, Result};

/// Tokens of a block.
pub const BLOCK_SIZE: usize = BLOCK_TOKENS as usize;

/// Layout of the cache of one layer: `[blocks, 64, h_k, 576]`, contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLayout {
    dtype: DType,
    dims: MlaDims,
}

impl CacheLayout {
    /// Blocks of `block_size` tokens of a model with `dims`.
    ///
    /// # Errors
    /// [`Error::UnsupportedBlockSize`] if a block is not of 64 tokens, [`Error::UnsupportedDType`] if the
    /// elements are neither bf16 nor f16.
    pub const fn new(dims: MlaDims, dtype: DType, block_size: usize) -> Result<Self> {
        if block_size != BLOCK_SIZE {
            return Err(Error::UnsupportedBlockSize { got: block_size });
        }
        if !dtype.is_attention_type() {
            return Err(Error::UnsupportedDType { arg: "kv_cache", got: dtype });
        }
        Ok(Self { dtype, dims })
    }

    /// Type of the elements.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// KV heads.
    #[must_use]
    pub const fn h_k(&self) -> u32 {
        self.dims.h_k()
    }

    /// Tokens of a block: 64.
    #[must_use]
    pub const fn block_size(&self) -> usize {
        BLOCK_SIZE
    }

    /// Elements of a token, all KV heads together.
    #[must_use]
    pub const fn elements_per_token(&self) -> usize {
        self.bytes_per_token() / self.dtype.size()
    }

    /// Bytes of a token.
    #[must_use]
    pub const fn bytes_per_token(&self) -> usize {
        self.dims.cache_bytes_per_token(self.dtype)
    }

    /// Bytes of a block.
    #[must_use]
    pub const fn bytes_per_block(&self) -> usize {
        BLOCK_SIZE * self.bytes_per_token()
    }

    /// Shape of a cache of `blocks` blocks.
    #[must_use]
    pub const fn shape(&self, blocks: usize) -> [usize; 4] {
        [blocks, BLOCK_SIZE, self.dims.h_k() as usize, self.dims.d_qk() as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_of_64_tokens_of_16_bit_floats() {
        let dims = MlaDims::deepseek_v3();
        for got in [0, 1, 32, 63, 65, 128] {
            let error = Err(Error::UnsupportedBlockSize { got });
            assert_eq!(CacheLayout::new(dims, DType::Bf16, got), error);
        }
        for got in [DType::F32, DType::I32] {
            let error = Err(Error::UnsupportedDType { arg: "kv_cache", got });
            assert_eq!(CacheLayout::new(dims, got, 64), error);
        }
    }

    #[test]
    fn sizes() -> Result<()> {
        let layout = CacheLayout::new(MlaDims::new(6, 3)?, DType::F16, 64)?;
        assert_eq!(layout.shape(10), [10, 64, 3, 576]);
        assert_eq!(layout.elements_per_token(), 3 * 576);
        assert_eq!(layout.bytes_per_token(), 3 * 576 * 2);
        assert_eq!(layout.bytes_per_block(), 64 * 3 * 576 * 2);
        Ok(())
    }
}
