//! A whole attention layer with random weights, in the shape of DeepSeek-V2-Lite: a prompt in two chunks, then a few
//! tokens one by one, each from hidden states to hidden states. On a GPU if there is one, else on the CPU.
//!
//!     cargo run --example 03_layer

use half::bf16;
use oxmla::layer::{
    Forward, HeadShard, LayerScratch, MlaAttention, MlaConfig, MlaWeights, QueryWeights,
};
use oxmla::*;

const HIDDEN: usize = 2048;
const HEADS: usize = 16;
const BLOCKS: usize = 4;
const POSITIONS: usize = BLOCKS * BLOCK_SIZE;

/// Numbers around 0; the squares of `row` of them add up to 1 or so (a linear congruential generator, Knuth's
/// constants).
fn random(seed: u64, len: usize, row: usize) -> Vec<bf16> {
    let mut state = seed;
    let scale = (3.0 / row as f32).sqrt();
    let next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bf16::from_f32(((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale)
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn make_layer(device: &Device) -> Result<MlaAttention> {
    let config = MlaConfig {
        hidden_size: HIDDEN,
        num_attention_heads: HEADS,
        q_lora_rank: None,
        ..MlaConfig::deepseek_v3()
    };
    let q = random(1, HEADS * 192 * HIDDEN, HIDDEN);
    let kv_a = random(2, 576 * HIDDEN, HIDDEN);
    let norm = vec![bf16::ONE; 512];
    let kv_b = random(3, HEADS * 256 * 512, 512);
    let o = random(4, HIDDEN * HEADS * 128, HEADS * 128);
    let weights = MlaWeights {
        q: QueryWeights::Direct { q_proj: TensorRef::from_slice(&q, &[HEADS * 192, HIDDEN])? },
        kv_a_proj_with_mqa: TensorRef::from_slice(&kv_a, &[576, HIDDEN])?,
        kv_a_layernorm: TensorRef::from_slice(&norm, &[512])?,
        kv_b_proj: TensorRef::from_slice(&kv_b, &[HEADS * 256, 512])?,
        o_proj: TensorRef::from_slice(&o, &[HIDDEN, HEADS * 128])?,
    };
    MlaAttention::new(device, &config, &weights, DType::Bf16, HeadShard::WHOLE)
}

fn main() -> Result<()> {
    let device = Device::best();
    let layer = make_layer(&device)?; // one for each layer of the model
    let mut scratch = LayerScratch::new(&layer, POSITIONS)?; // one for all layers
    let rope = device.upload(&layer.config().rope.table(POSITIONS))?; // one for all layers

    let layout = CacheLayout::new(layer.dims(), layer.dtype(), BLOCK_SIZE)?;
    let mut cache = LatentCache::new(&device, layout, BLOCKS)?; // one per layer
    let mut pool = BlockPool::new(BLOCKS)?; // one for all layers
    let mut planner = Planner::new(
        &device,
        PlannerConfig {
            dims: layer.dims(),
            dtype: layer.dtype(),
            max_batch: 1,
            max_blocks_per_sequence: BLOCKS,
            max_s_q: POSITIONS as u32,
            block_size: BLOCK_SIZE,
            blocks_in_cache: BLOCKS,
        },
    )?;
    let stream = device.stream()?;
    let mut request = pool.sequence();

    println!("{}: {} bytes of weights", device.name(), layer.weight_bytes());
    for chunk in [100, 60, 1, 1, 1] {
        let first = pool.append(&mut request, chunk)?.positions.start;
        let table = BlockTable::from_sequences(&[&request])?;
        let step = Step::new(&table, chunk as u32, Mask::Causal);
        let plan = planner.plan(stream.as_ref(), step)?; // once per step

        let hidden = random(first as u64, chunk * HIDDEN, 1);
        let hidden = device.upload(&hidden)?;
        let mut out = device.alloc(2 * chunk * HIDDEN)?;
        let args = Forward {
            hidden: hidden.view(DType::Bf16, &[chunk, HIDDEN])?,
            kv_cache: cache.view_mut(),
            rope: rope.view(DType::F32, &[POSITIONS, ROPE_PAIRS, 2])?,
            scratch: &mut scratch,
            out: out.view_mut(DType::Bf16, &[chunk, HIDDEN])?,
        };
        layer.forward(&planner, &plan, stream.as_ref(), args)?; // once per layer
        stream.synchronize()?;
        let out = out.to_vec::<bf16>()?;
        let squares: f32 = out.iter().map(|x| x.to_f32() * x.to_f32()).sum();
        let rms = (squares / out.len() as f32).sqrt();
        println!("{chunk:3} tokens from position {first:3} on: output of size {rms:.4}");
    }
    pool.free(request)
}
