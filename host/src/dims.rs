//! Dimensions of a model's attention.

use oxmla_kernels::abi::Rows;
use oxmla_kernels::decode::dense::config::{D_LATENT, D_ROPE};

use crate::dtype::DType;
use crate::error::{Error, Result};

/// Heads and widths of one attention layer, in absorbed form: attention runs over `h_k` KV heads (one, for
/// MLA as DeepSeek publishes it), each cached token being one row of `latent + rope` elements, of which
/// the first `latent` are also the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MlaDims {
    h_q: u32,
    h_k: u32,
    latent: u32,
    rope: u32,
}

impl MlaDims {
    /// `h_q` query heads over `h_k` KV heads, 512 latent and 64 rotary dimensions.
    ///
    /// # Errors
    /// [`Error::UnsupportedHeads`] if either is 0 or `h_k` does not divide `h_q`.
    pub const fn new(h_q: u32, h_k: u32) -> Result<Self> {
        Self::with_widths(h_q, h_k, D_LATENT, D_ROPE)
    }

    /// As [`MlaDims::new`], with the widths of a model that states them.
    ///
    /// # Errors
    /// Besides those of `new`, [`Error::UnsupportedWidths`] if they are not 512 and 64.
    pub const fn with_widths(h_q: u32, h_k: u32, latent: u32, rope: u32) -> Result<Self> {
        if h_q == 0 || h_k == 0 || !h_q.is_multiple_of(h_k) {
            return Err(Error::UnsupportedHeads { h_q, h_k });
        }
        if latent != D_LATENT || rope != D_ROPE {
            return Err(Error::UnsupportedWidths { latent, rope });
        }
        Ok(Self { h_q, h_k, latent, rope })
    }

    /// DeepSeek-V3 on one device: 128 query heads, one KV head.
    #[must_use]
    pub const fn deepseek_v3() -> Self {
        Self { h_q: 128, h_k: 1, latent: D_LATENT, rope: D_ROPE }
    }

    /// Query heads.
    #[must_use]
    pub const fn h_q(&self) -> u32 {
        self.h_q
    }

    /// KV heads.
    #[must_use]
    pub const fn h_k(&self) -> u32 {
        self.h_k
    }

    /// Compressed dimensions of a cached token: 512.
    #[must_use]
    pub const fn latent(&self) -> u32 {
        self.latent
    }

    /// Rotary dimensions of a cached token: 64.
    #[must_use]
    pub const fn rope(&self) -> u32 {
        self.rope
    }

    /// Width of a query and of a cached row: 576.
    #[must_use]
    pub const fn d_qk(&self) -> u32 {
        self.latent + self.rope
    }

    /// Width of a value and of an output row: 512.
    #[must_use]
    pub const fn d_v(&self) -> u32 {
        self.latent
    }

    /// Query heads per KV head.
    #[must_use]
    pub const fn group_heads(&self) -> u32 {
        self.h_q / self.h_k
    }

    /// How `s_q` query tokens of all heads are packed into tile rows. `s_q · h_q` must fit a `u32`; a
    /// [`Planner`](crate::Planner) has made sure of that.
    #[must_use]
    pub const fn rows(&self, s_q: u32) -> Rows {
        Rows::pack(s_q, self.h_q, self.h_k)
    }

    /// Bytes that one token takes in the cache of one layer: `h_k · 576` elements. For DeepSeek-V3 in
    /// bf16 that is 1,152 bytes.
    #[must_use]
    pub const fn cache_bytes_per_token(&self, dtype: DType) -> usize {
        self.h_k as usize * self.d_qk() as usize * dtype.size()
    }
}

/// Bytes that one token takes in the cache of one layer that keeps keys and values of `kv_heads` heads
/// apart, as MHA and GQA do: what [`MlaDims::cache_bytes_per_token`] is to be compared with.
///
/// DeepSeek-V3 with plain MHA would have 128 heads with `d_k` 192 and `d_v` 128, 81,920 bytes in bf16; with
/// GQA of 8 groups, 5,120 bytes.
#[must_use]
pub const fn kv_cache_bytes_per_token(kv_heads: u32, d_k: u32, d_v: u32, dtype: DType) -> usize {
    kv_heads as usize * (d_k as usize + d_v as usize) * dtype.size()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_must_divide() {
        assert!(MlaDims::new(128, 1).is_ok());
        assert!(MlaDims::new(126, 3).is_ok());
        for (h_q, h_k) in [(0, 1), (1, 0), (0, 0), (9, 2), (1, 2)] {
            assert_eq!(MlaDims::new(h_q, h_k), Err(Error::UnsupportedHeads { h_q, h_k }));
        }
    }

    #[test]
    fn widths_are_fixed() {
        let error = Err(Error::UnsupportedWidths { latent: 512, rope: 128 });
        assert_eq!(MlaDims::with_widths(16, 1, 512, 128), error);
        assert_eq!(MlaDims::with_widths(128, 1, 512, 64), Ok(MlaDims::deepseek_v3()));
    }

    #[test]
    fn cache_sizes_of_deepseek_v3() {
        assert_eq!(MlaDims::deepseek_v3().cache_bytes_per_token(DType::Bf16), 1152);
        assert_eq!(kv_cache_bytes_per_token(128, 192, 128, DType::Bf16), 81_920);
        assert_eq!(kv_cache_bytes_per_token(8, 192, 128, DType::Bf16), 5_120);
    }
}
