//! How cached tokens lie in memory.

use oxmla_kernels::cache::fp8::Fp8Format;
use oxmla_kernels::decode::dense::config::{D_LATENT, D_QK, D_ROPE};

use crate::check;
use crate::dims::MlaDims;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::TensorRef;

/// Tokens of a block, where nothing else is said.
pub const BLOCK_SIZE: usize = 64;
/// How many tokens a block may have.
pub const BLOCK_SIZES: [usize; 4] = [16, 32, 64, 128];

/// Whether there are kernels for blocks of so many tokens.
const fn is_block_size(tokens: usize) -> bool {
    matches!(tokens, 16 | 32 | 64 | 128)
}

/// Refuses sizes of blocks that there are no kernels for.
pub(crate) const fn check_block_size(got: usize) -> Result<()> {
    if is_block_size(got) { Ok(()) } else { Err(Error::UnsupportedBlockSize { got }) }
}

/// What a token is in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheFormat {
    /// 512 + 64 elements of bf16 or f16.
    Elements(DType),
    /// Bytes of an FP8 format.
    Fp8(Fp8Format),
}

impl CacheFormat {
    /// The format of a cache `[blocks, block size, h_k, 576]` of bf16 or f16, or `[blocks, block size, 1, 656, 644 or 584]` of
    /// u8.
    ///
    /// # Errors
    /// [`Error::UnsupportedDType`], [`Error::RankMismatch`], [`Error::UnknownFormat`].
    pub(crate) fn of(kv_cache: &TensorRef<'_>) -> Result<Self> {
        const ARG: &str = "kv_cache";
        let dtype = kv_cache.dtype();
        if dtype.is_attention_type() {
            return Ok(Self::Elements(dtype));
        }
        if dtype != DType::U8 {
            return Err(Error::UnsupportedDType { arg: ARG, got: dtype });
        }
        check::rank(ARG, kv_cache.shape(), 4)?;
        let got = kv_cache.shape()[3];
        Fp8Format::of_width(got).map(Self::Fp8).ok_or(Error::UnknownFormat { arg: ARG, got })
    }

    /// Type of the elements of a cache as a tensor.
    #[must_use]
    pub const fn dtype(self) -> DType {
        match self {
            Self::Elements(dtype) => dtype,
            Self::Fp8(_) => DType::U8,
        }
    }

    /// Elements of a token in a cache as a tensor, of one KV head: 576, or bytes.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::Elements(_) => D_QK as usize,
            Self::Fp8(format) => format.bytes_per_token() as usize,
        }
    }

    /// Latent dimensions of a token.
    #[must_use]
    pub const fn latent(self) -> usize {
        match self {
            Self::Elements(_) => D_LATENT as usize,
            Self::Fp8(format) => format.layout().latent as usize,
        }
    }

    /// Dimensions of a token, the 64 rotary ones included: what it has outside the cache.
    #[must_use]
    pub const fn d_qk(self) -> usize {
        self.latent() + D_ROPE as usize
    }
}

/// Layout of the cache of one layer: `[blocks, block size, h_k, 576]` of bf16 or f16, or the bytes of an FP8 format,
/// `[blocks, block size, 1, 656, 644 or 584]`; contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLayout {
    format: CacheFormat,
    h_k: u32,
    block_size: usize,
}

impl CacheLayout {
    /// Blocks of `block_size` tokens of a model with `dims`.
    ///
    /// # Errors
    /// [`Error::UnsupportedBlockSize`] if `block_size` is none of [`BLOCK_SIZES`], [`Error::UnsupportedDType`] if the
    /// elements are neither bf16 nor f16.
    pub const fn new(dims: MlaDims, dtype: DType, block_size: usize) -> Result<Self> {
        if !is_block_size(block_size) {
            return Err(Error::UnsupportedBlockSize { got: block_size });
        }
        if !dtype.is_attention_type() {
            return Err(Error::UnsupportedDType { arg: "kv_cache", got: dtype });
        }
        Ok(Self { format: CacheFormat::Elements(dtype), h_k: dims.h_k(), block_size })
    }

    /// Blocks of `block_size` tokens of a model with one KV head, in an FP8 format.
    ///
    /// [`append`](super::append()), [`gather`](super::gather()) and [`copy_blocks`](super::copy_blocks()) take such a
    /// cache; [`decode`](crate::decode()) takes [`Fp8Format::Token656`] and [`Fp8Format::Planar644`], and
    /// [`sparse_decode`](crate::sparse_decode()) all but the latter.
    ///
    /// # Errors
    /// [`Error::UnsupportedBlockSize`] if `block_size` is none of [`BLOCK_SIZES`].
    pub const fn fp8(format: Fp8Format, block_size: usize) -> Result<Self> {
        if !is_block_size(block_size) {
            return Err(Error::UnsupportedBlockSize { got: block_size });
        }
        Ok(Self { format: CacheFormat::Fp8(format), h_k: 1, block_size })
    }

    /// What a token is.
    #[must_use]
    pub const fn format(&self) -> CacheFormat {
        self.format
    }

    /// Type of the elements; [`DType::U8`] for an FP8 format.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        self.format.dtype()
    }

    /// KV heads.
    #[must_use]
    pub const fn h_k(&self) -> u32 {
        self.h_k
    }

    /// Tokens of a block.
    #[must_use]
    pub const fn block_size(&self) -> usize {
        self.block_size
    }

    /// Elements of a token, all KV heads together; bytes for an FP8 format.
    #[must_use]
    pub const fn elements_per_token(&self) -> usize {
        self.h_k as usize * self.format.width()
    }

    /// Bytes of a token, all its parts together.
    #[must_use]
    pub const fn bytes_per_token(&self) -> usize {
        self.elements_per_token() * self.dtype().size()
    }

    /// Bytes of a block.
    #[must_use]
    pub const fn bytes_per_block(&self) -> usize {
        self.block_size * self.bytes_per_token()
    }

    /// Shape of a cache of `blocks` blocks.
    #[must_use]
    pub const fn shape(&self, blocks: usize) -> [usize; 4] {
        [blocks, self.block_size, self.h_k as usize, self.format.width()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_some_sizes_of_blocks_and_16_bit_floats() {
        let dims = MlaDims::deepseek_v3();
        for got in [0, 1, 8, 48, 63, 65, 256] {
            let error = Err(Error::UnsupportedBlockSize { got });
            assert_eq!(CacheLayout::new(dims, DType::Bf16, got), error);
            assert_eq!(CacheLayout::fp8(Fp8Format::Token656, got), error);
        }
        for got in [DType::F32, DType::I32, DType::U8] {
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
    #[test]
    fn sizes_of_fp8() -> Result<()> {
        let layout = CacheLayout::fp8(Fp8Format::Token656, 64)?;
        assert_eq!(layout.shape(10), [10, 64, 1, 656]);
        assert_eq!((layout.bytes_per_token(), layout.bytes_per_block()), (656, 41_984));
        assert_eq!((layout.format().latent(), layout.format().d_qk()), (512, 576));
        for block_size in BLOCK_SIZES {
            let layout = CacheLayout::fp8(Fp8Format::Paged584, block_size)?;
            assert_eq!(layout.shape(3), [3, block_size, 1, 584]);
            assert_eq!(layout.bytes_per_block(), 584 * block_size);
        }
        let layout = CacheLayout::fp8(Fp8Format::Paged584, 64)?;
        assert_eq!(layout.shape(10), [10, 64, 1, 584]);
        assert_eq!((layout.bytes_per_token(), layout.bytes_per_block()), (584, 37_376));
        assert_eq!((layout.format().latent(), layout.format().d_qk()), (448, 512));
        Ok(())
    }
}
