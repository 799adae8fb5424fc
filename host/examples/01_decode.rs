//! One decode call: a cache of one request, its block table, a plan, attention.
//!
//!     cargo run --example 01_decode

use half::bf16;
use oxmla::*;

fn main() -> Result<()> {
    let device = Device::best(); // a Hopper GPU if there is one, else the CPU
    let dims = MlaDims::deepseek_v3(); // 128 heads
    let layout = CacheLayout::new(dims, DType::Bf16, BLOCK_SIZE)?;
    let mut pool = BlockPool::new(32)?; // one for all layers
    let mut cache = LatentCache::new(&device, layout, 32)?; // one per layer
    let mut request = pool.sequence();
    let tokens = pool.append(&mut request, 1000)?.positions;
    cache.write_rows(&request, tokens, &vec![bf16::ONE; 1000 * 576])?;

    let mut planner = Planner::new(
        &device,
        PlannerConfig {
            dims,
            dtype: DType::Bf16,
            max_batch: 1,
            max_blocks_per_sequence: 32,
            max_s_q: 1,
            block_size: BLOCK_SIZE,
            blocks_in_cache: 32,
        },
    )?;
    let (stream, table) = (device.stream()?, BlockTable::from_sequences(&[&request])?);
    let plan = planner.plan(stream.as_ref(), Step::new(&table, 1, Mask::Causal))?; // once per step

    let q = device.upload(&[bf16::ONE; 128 * 576])?;
    let (mut out, mut lse) = (device.alloc(128 * 512 * 2)?, device.alloc(128 * 4)?);
    let tensors = Decode {
        q: q.view(DType::Bf16, &[1, 1, 128, 576])?,
        kv_cache: cache.view(),
        out: out.view_mut(DType::Bf16, &[1, 1, 128, 512])?,
        lse: lse.view_mut(DType::F32, &[1, 128, 1])?,
        softmax_scale: 192f32.sqrt().recip(),
        softcap: None,
    };
    decode(&planner, &plan, stream.as_ref(), tensors)?; // once per layer
    stream.synchronize()?;

    println!("{}\n{}", device.name(), plan.explain());
    println!("out {} …, lse {} …", out.to_vec::<bf16>()?[0], lse.to_vec::<f32>()?[0]);
    pool.free(request)
}
