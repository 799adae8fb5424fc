//! A decode loop that captures its work once and replays it: `plan` puts new lengths and new blocks where the
//! captured kernels look for them. Without a GPU there is nothing to capture, and each step calls `decode`.
//!
//!     cargo run --example 02_graph

use half::bf16;
use oxmla::backend::cuda::graph::Graph;
use oxmla::*;

const HEADS: usize = 16;
const BLOCKS: usize = 8;
const PROMPT: usize = 60;
const STEPS: usize = 8;

/// Memory of the queries and results of one request, the same in every step.
struct Tensors {
    q: Buffer,
    cache: LatentCache,
    out: Buffer,
    lse: Buffer,
}

impl Tensors {
    fn args(&mut self) -> Result<Decode<'_>> {
        Ok(Decode {
            q: self.q.view(DType::Bf16, &[1, 1, HEADS, 576])?,
            kv_cache: self.cache.view(),
            out: self.out.view_mut(DType::Bf16, &[1, 1, HEADS, 512])?,
            lse: self.lse.view_mut(DType::F32, &[1, HEADS, 1])?,
            softmax_scale: 192f32.sqrt().recip(),
            softcap: None,
        })
    }
}

fn main() -> Result<()> {
    let device = Device::best();
    let dims = MlaDims::new(HEADS as u32, 1)?;
    let layout = CacheLayout::new(dims, DType::Bf16, BLOCK_SIZE)?;
    let mut tensors = Tensors {
        q: device.upload(&[bf16::ONE; HEADS * 576])?,
        cache: LatentCache::new(&device, layout, BLOCKS)?,
        out: device.alloc(HEADS * 512 * 2)?,
        lse: device.alloc(HEADS * 4)?,
    };
    let config = PlannerConfig {
        dims,
        dtype: DType::Bf16,
        max_batch: 1,
        max_blocks_per_sequence: BLOCKS,
        max_s_q: 1,
        block_size: BLOCK_SIZE,
        blocks_in_cache: BLOCKS,
    };
    let mut planner = Planner::new(&device, config)?;
    let stream = device.stream()?;
    let mut pool = BlockPool::new(BLOCKS)?;
    let mut request = pool.sequence();
    let mut graph = None;

    for step in 0..STEPS {
        let new = if step == 0 { PROMPT } else { 1 };
        let tokens = pool.append(&mut request, new)?.positions;
        let values = vec![bf16::from_f32(step as f32); new * 576];
        tensors.cache.write_rows(&request, tokens, &values)?;

        let table = BlockTable::from_sequences(&[&request])?;
        let plan = planner.plan(stream.as_ref(), Step::new(&table, 1, Mask::Causal))?;
        let work = |args| decode(&planner, &plan, stream.as_ref(), args);
        match (&device, &graph) {
            (Device::Cuda(gpu), None) => {
                let args = tensors.args()?;
                graph = Some(Graph::capture(gpu, stream.as_ref(), || work(args))?);
            }
            (Device::Cuda(_), Some(_)) => {}
            _ => work(tensors.args()?)?,
        }
        if let Some(graph) = &graph {
            // SAFETY: `tensors`, the planner and the stream outlive the loop, and the next step waits for this one.
            unsafe { graph.launch(stream.as_ref())? };
        }
        stream.synchronize()?;
        let (out, lse) = (tensors.out.to_vec::<bf16>()?[0], tensors.lse.to_vec::<f32>()?[0]);
        println!("step {step}: {} tokens, out {out} …, lse {lse} …", request.len());
    }
    let how = if graph.is_some() { "captured once, replayed" } else { "called in every step" };
    println!("{}: decode was {how}", device.name());
    pool.free(request)
}
