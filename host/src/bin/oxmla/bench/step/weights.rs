//! Random weights in the shape of a layer of DeepSeek-V3.

use half::bf16;
use oxmla::layer::{HeadShard, MlaAttention, MlaConfig, MlaWeights, QueryWeights};
use oxmla::{DType, Device, Result, TensorRef};
use rand_chacha::rand_core::SeedableRng;

use crate::elements::{self, Rng};

/// Elements that weights repeat.
const PATTERN: usize = 1 << 20;
/// Deviation of the elements of the pattern.
const DEVIATION: f32 = 0.1;

/// The weights of one layer on the host: 374 MB. All layers get the same numbers, each in memory of its own.
pub struct Weights {
    config: MlaConfig,
    q_a: Vec<bf16>,
    q_b: Vec<bf16>,
    kv_a: Vec<bf16>,
    kv_b: Vec<bf16>,
    o: Vec<bf16>,
    norm: Vec<bf16>,
}

impl Weights {
    /// Those of `config`, whose queries are compressed to `q_lora_rank`.
    pub fn new(config: &MlaConfig, q_lora_rank: usize) -> Self {
        let pattern = elements::random(DType::Bf16, PATTERN, &mut Rng::seed_from_u64(0));
        let matrix = |outputs: usize, inputs: usize| {
            // Sums of products with numbers of deviation 1 have deviation 1 again.
            let scale = (inputs as f32).sqrt().recip() / DEVIATION;
            let scaled =
                pattern.iter().map(|&bits| bf16::from_f32(bf16::from_bits(bits).to_f32() * scale));
            scaled.cycle().take(outputs * inputs).collect()
        };
        let (heads, hidden) = (config.num_attention_heads, config.hidden_size);
        let (nope, v) = (config.qk_nope_head_dim, config.v_head_dim);
        Self {
            q_a: matrix(q_lora_rank, hidden),
            q_b: matrix(heads * config.qk_head_dim(), q_lora_rank),
            kv_a: matrix(config.kv_lora_rank + config.qk_rope_head_dim, hidden),
            kv_b: matrix(heads * (nope + v), config.kv_lora_rank),
            o: matrix(hidden, heads * v),
            norm: vec![bf16::ONE; q_lora_rank.max(config.kv_lora_rank)],
            config: config.clone(),
        }
    }

    /// A layer on a device, with the heads of `shard`.
    pub fn layer(&self, device: &Device, shard: HeadShard) -> Result<MlaAttention> {
        let of_inputs = |weight: &'_ [bf16], inputs: usize| [weight.len() / inputs, inputs];
        let MlaConfig { hidden_size: hidden, kv_lora_rank: latent, .. } = self.config;
        let rank = self.q_a.len() / hidden;
        let values = self.config.num_attention_heads * self.config.v_head_dim;
        let norm = |width: usize| TensorRef::from_slice(&self.norm[..width], &[width]);
        let weights = MlaWeights {
            q: QueryWeights::Compressed {
                q_a_proj: TensorRef::from_slice(&self.q_a, &of_inputs(&self.q_a, hidden))?,
                q_a_layernorm: norm(rank)?,
                q_b_proj: TensorRef::from_slice(&self.q_b, &of_inputs(&self.q_b, rank))?,
            },
            kv_a_proj_with_mqa: TensorRef::from_slice(&self.kv_a, &of_inputs(&self.kv_a, hidden))?,
            kv_a_layernorm: norm(latent)?,
            kv_b_proj: TensorRef::from_slice(&self.kv_b, &of_inputs(&self.kv_b, latent))?,
            o_proj: TensorRef::from_slice(&self.o, &of_inputs(&self.o, values))?,
        };
        MlaAttention::new(device, &self.config, &weights, DType::Bf16, shard)
    }
}
