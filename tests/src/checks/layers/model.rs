//! A layer with random weights.

use anyhow::Result;
use oxmla::layer::{HeadShard, MlaAttention, MlaConfig, MlaWeights, QueryWeights};
use oxmla::{DType, Device, TensorRef};

use crate::element::narrow;
use crate::random::{SplitMix64, hash};

/// What a layer is made of. Weights are of deviation `1 / sqrt(inputs)`, so that whatever comes in, what is between
/// operations is of deviation 1 or so, and scores of deviation 1 to 2.
pub struct Model {
    pub config: MlaConfig,
    pub dtype: DType,
    shard: HeadShard,
    /// `q_proj`, or `q_a_proj` and `q_b_proj`; then `kv_a_proj_with_mqa`, `kv_b_proj`, `o_proj`.
    matrices: Vec<Matrix>,
    q_a_layernorm: Vec<u16>,
    kv_a_layernorm: Vec<u16>,
}

struct Matrix {
    shape: [usize; 2],
    bits: Vec<u16>,
}

impl Model {
    /// A layer of `config`, of which a device has the heads of `shard`.
    pub fn new(config: MlaConfig, dtype: DType, shard: HeadShard, seed: u64) -> Self {
        let MlaConfig { hidden_size: hidden, num_attention_heads: heads, .. } = config;
        let latent = config.kv_lora_rank;
        let queries = heads * config.qk_head_dim();
        let of_query = match config.q_lora_rank {
            None => vec![[queries, hidden]],
            Some(rank) => vec![[rank, hidden], [queries, rank]],
        };
        let others = [
            [latent + config.qk_rope_head_dim, hidden],
            [heads * (config.qk_nope_head_dim + config.v_head_dim), latent],
            [hidden, heads * config.v_head_dim],
        ];
        let shapes = of_query.into_iter().chain(others);
        let matrices = shapes.zip(seed..).map(|(shape, seed)| Matrix::new(dtype, shape, seed));
        let norm = |width: usize, seed: u64| {
            let mut random = SplitMix64::new(seed);
            (0..width).map(|_| narrow(dtype, 1.0 + 0.2 * random.normal() as f32)).collect()
        };
        Self {
            matrices: matrices.collect(),
            q_a_layernorm: norm(config.q_lora_rank.unwrap_or(0), seed + 100),
            kv_a_layernorm: norm(latent, seed + 101),
            config,
            dtype,
            shard,
        }
    }

    /// The layer on a device.
    pub fn layer(&self, device: &Device) -> Result<MlaAttention> {
        let (of_query, others) = self.matrices.split_at(self.matrices.len() - 3);
        let q = match of_query {
            [q_proj] => QueryWeights::Direct { q_proj: self.matrix(q_proj)? },
            of_query => QueryWeights::Compressed {
                q_a_proj: self.matrix(&of_query[0])?,
                q_a_layernorm: self.view(&self.q_a_layernorm, &[self.q_a_layernorm.len()])?,
                q_b_proj: self.matrix(&of_query[1])?,
            },
        };
        let weights = MlaWeights {
            q,
            kv_a_proj_with_mqa: self.matrix(&others[0])?,
            kv_a_layernorm: self.view(&self.kv_a_layernorm, &[self.kv_a_layernorm.len()])?,
            kv_b_proj: self.matrix(&others[1])?,
            o_proj: self.matrix(&others[2])?,
        };
        Ok(MlaAttention::new(device, &self.config, &weights, self.dtype, self.shard)?)
    }

    fn matrix<'a>(&self, matrix: &'a Matrix) -> oxmla::Result<TensorRef<'a>> {
        self.view(&matrix.bits, &matrix.shape)
    }

    /// Elements of the model's type, by their bits, as a tensor.
    fn view<'a>(&self, bits: &'a [u16], shape: &[usize]) -> oxmla::Result<TensorRef<'a>> {
        if self.dtype == DType::F16 {
            TensorRef::from_slice(bytemuck::cast_slice::<u16, half::f16>(bits), shape)
        } else {
            TensorRef::from_slice(bytemuck::cast_slice::<u16, half::bf16>(bits), shape)
        }
    }
}

impl Matrix {
    fn new(dtype: DType, shape: [usize; 2], seed: u64) -> Self {
        let deviation = (shape[1] as f64).sqrt().recip();
        Self { shape, bits: random(dtype, shape[0] * shape[1], deviation, seed) }
    }
}

/// Random elements of a deviation.
pub fn random(dtype: DType, len: usize, deviation: f64, seed: u64) -> Vec<u16> {
    let mut random = SplitMix64::new(seed);
    let values: Vec<u16> =
        (0..4096).map(|_| narrow(dtype, (random.normal() * deviation) as f32)).collect();
    (0..len).map(|i| values[hash(seed, i as u64) as usize % values.len()]).collect()
}
