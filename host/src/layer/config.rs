//! What a model's `config.json` says about its attention.

use crate::check;
use crate::dims::MlaDims;
use crate::error::{Error, Result};
use crate::rope::{Rope, Yarn};

/// Sizes and constants of a model's attention layers. Fields have the names of `config.json`, so that every
/// number can be looked up there; with the `checkpoint` feature it is read from such a file.
#[derive(Clone, Debug, PartialEq)]
pub struct MlaConfig {
    /// Width of a hidden state: 7,168 for DeepSeek-V3.
    pub hidden_size: usize,
    /// Query heads, those of all ranks: 128.
    pub num_attention_heads: usize,
    /// Rank of the compressed query, 1,536, or `None` where hidden states are projected to queries at once, as
    /// in DeepSeek-V2-Lite and Moonlight.
    pub q_lora_rank: Option<usize>,
    /// Latent dimensions of a cached token. Must be 512.
    pub kv_lora_rank: usize,
    /// Dimensions of a head's query and key that are not rotated: 128.
    pub qk_nope_head_dim: usize,
    /// Those that are rotated. Must be 64.
    pub qk_rope_head_dim: usize,
    /// Dimensions of a head's value: 128.
    pub v_head_dim: usize,
    /// Added to the mean square in both RMS norms: 1e-6.
    pub rms_norm_eps: f64,
    /// `rope_theta` and `rope_scaling`.
    pub rope: Rope,
    /// Positions that the model is made for, YaRN included: 163,840.
    pub max_position_embeddings: usize,
}

impl MlaConfig {
    /// DeepSeek-V3, R1 and V3.1.
    #[must_use]
    pub fn deepseek_v3() -> Self {
        Self {
            hidden_size: 7168,
            num_attention_heads: 128,
            q_lora_rank: Some(1536),
            kv_lora_rank: 512,
            qk_nope_head_dim: 128,
            qk_rope_head_dim: 64,
            v_head_dim: 128,
            rms_norm_eps: 1e-6,
            rope: Rope::new(10_000.0, Some(Yarn::deepseek_v3())).expect("constants in range"),
            max_position_embeddings: 163_840,
        }
    }

    /// Dimensions of a head's query and key before absorption: 192.
    #[must_use]
    pub const fn qk_head_dim(&self) -> usize {
        self.qk_nope_head_dim + self.qk_rope_head_dim
    }

    /// By what scores are multiplied before the softmax: `1 / sqrt(192)`, times the square of YaRN's factor.
    #[must_use]
    pub fn softmax_scale(&self) -> f32 {
        self.rope.softmax_scale(self.qk_head_dim())
    }

    /// Heads and widths of attention over `heads` of the heads.
    ///
    /// # Errors
    /// [`Error::UnsupportedHeads`] without heads, [`Error::UnsupportedWidths`] unless `kv_lora_rank` and
    /// `qk_rope_head_dim` are 512 and 64.
    pub fn dims(&self, heads: usize) -> Result<MlaDims> {
        MlaDims::with_widths(
            count(heads),
            1,
            count(self.kv_lora_rank),
            count(self.qk_rope_head_dim),
        )
    }

    /// Refuses sizes that no layer can have.
    pub(super) fn check(&self) -> Result<()> {
        self.dims(self.num_attention_heads)?;
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("num_attention_heads", self.num_attention_heads),
            ("q_lora_rank", self.q_lora_rank.unwrap_or(1)),
            ("qk_nope_head_dim", self.qk_nope_head_dim),
            ("v_head_dim", self.v_head_dim),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        for (arg, size) in sizes {
            // Products of three of them, and of the bytes of an element, fit an `i128` and most a `usize`.
            check::range(arg, size as i128, 1, i32::MAX)?;
        }
        let (arg, expected, got) = ("rms_norm_eps", "finite and at least 0", self.rms_norm_eps);
        if !got.is_finite() || got < 0.0 {
            return Err(Error::InvalidNumber { arg, expected, got });
        }
        Ok(())
    }
}

/// Sizes that no `u32` holds become one that is refused.
fn count(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
