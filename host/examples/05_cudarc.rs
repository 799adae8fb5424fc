//! A decode on cudarc's stream and memory, captured in cudarc's graph, replayed, and compared with the CPU. Without a
//! usable GPU it says so.
//!
//!     cargo run --features cudarc --example 05_cudarc

use std::error::Error;

use cudarc::driver::CudaContext;
use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use half::bf16;
use oxmla::interop::cudarc::{CudarcStream, device};
use oxmla::*;

const HEADS: usize = 128;
const BLOCKS: usize = 32;
const LENGTHS: [i32; 2] = [1000, 900];
const REPLAYS: usize = 3;
/// Results stay below 0.125, where neighbours in bf16 are 0.0005 apart; one may round up and one down.
const TOLERANCE: f32 = 1e-3;

const Q: [usize; 4] = [LENGTHS.len(), 1, HEADS, 576];
const CACHE: [usize; 4] = [BLOCKS, BLOCK_SIZE, 1, 576];
const OUT: [usize; 4] = [LENGTHS.len(), 1, HEADS, 512];
const LSE: [usize; 3] = [LENGTHS.len(), HEADS, 1];

fn main() -> Result<(), Box<dyn Error>> {
    // cudarc panics without a driver; this is an error to look at.
    if let Err(reason) = Device::cuda(0) {
        println!("nothing to show without a GPU: {reason}");
        return Ok(());
    }
    let (q, cache) = (values(Q.iter().product(), 1), values(CACHE.iter().product(), 2));
    let (out, lse) = on_gpu(&q, &cache)?;
    let (expected_out, expected_lse) = on_cpu(&q, &cache)?;
    let apart = |a: f32, b: f32| (a - b).abs();
    let of_out = |(a, b): (&bf16, &bf16)| apart(a.to_f32(), b.to_f32());
    let out = out.iter().zip(&expected_out).map(of_out).fold(0.0, worse);
    let lse = lse.iter().zip(&expected_lse).map(|(&a, &b)| apart(a, b)).fold(0.0, worse);
    println!("furthest from the CPU: out {out:.5}, lse {lse:.5}; {TOLERANCE} is allowed");
    if out <= TOLERANCE && lse <= TOLERANCE {
        println!("passed");
        return Ok(());
    }
    Err("the GPU's results are wrong".into())
}

/// All of it with cudarc: memory, stream, graph.
fn on_gpu(q: &[bf16], cache: &[bf16]) -> Result<(Vec<bf16>, Vec<f32>), Box<dyn Error>> {
    let stream = CudaContext::new(0)?.new_stream()?;
    let q = stream.clone_htod(bytemuck::cast_slice::<_, u16>(q))?;
    let cache = stream.clone_htod(bytemuck::cast_slice::<_, u16>(cache))?;
    let mut out = stream.alloc_zeros::<u16>(OUT.iter().product())?;
    let mut lse = stream.alloc_zeros::<f32>(LSE.iter().product())?;

    let device = device(stream.context())?;
    let (mut planner, table) = (planner(&device)?, table()?);
    let graph = {
        // SAFETY: the views are used on this stream alone.
        let ours = unsafe { CudarcStream::new(&stream)? };
        // Before the capture, for views may wait for other streams; so may their end.
        let q = ours.view(&q, DType::Bf16, &Q)?;
        let cache = ours.view(&cache, DType::Bf16, &CACHE)?;
        let mut out = ours.view_mut(&mut out, DType::Bf16, &OUT)?;
        let mut lse = ours.view_mut(&mut lse, DType::F32, &LSE)?;
        let plan = planner.plan(ours.as_ref(), Step::new(&table, 1, Mask::Causal))?;
        stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)?;
        let args = tensors(q.as_ref(), cache.as_ref(), out.as_mut(), lse.as_mut());
        let recorded = decode(&planner, &plan, ours.as_ref(), args);
        let graph = stream.end_capture(CUgraphInstantiate_flags(0))?;
        recorded?;
        graph.ok_or("nothing was captured")?
    };
    let untouched = stream.clone_dtoh(&out)?;
    assert!(untouched.iter().all(|&bits| bits == 0), "a capture does nothing yet");
    for _ in 0..REPLAYS {
        graph.launch()?;
    }
    println!("{}: captured once, replayed {REPLAYS} times by cudarc", device.name());
    let out = stream.clone_dtoh(&out)?.into_iter().map(bf16::from_bits).collect();
    Ok((out, stream.clone_dtoh(&lse)?))
}

fn on_cpu(q: &[bf16], cache: &[bf16]) -> Result<(Vec<bf16>, Vec<f32>), Box<dyn Error>> {
    let (mut planner, table) = (planner(&Device::cpu())?, table()?);
    let (mut out, mut lse) =
        (vec![bf16::ZERO; OUT.iter().product()], vec![0.0; LSE.iter().product()]);
    let plan = planner.plan(StreamRef::cpu(), Step::new(&table, 1, Mask::Causal))?;
    let args = tensors(
        TensorRef::from_slice(q, &Q)?,
        TensorRef::from_slice(cache, &CACHE)?,
        TensorMut::from_slice(&mut out, &OUT)?,
        TensorMut::from_slice(&mut lse, &LSE)?,
    );
    decode(&planner, &plan, StreamRef::cpu(), args)?;
    Ok((out, lse))
}

fn tensors<'a>(
    q: TensorRef<'a>,
    kv_cache: TensorRef<'a>,
    out: TensorMut<'a>,
    lse: TensorMut<'a>,
) -> Decode<'a> {
    Decode { q, kv_cache, out, lse, softmax_scale: 192f32.sqrt().recip(), softcap: None }
}

fn planner(device: &Device) -> oxmla::Result<Planner> {
    let config = PlannerConfig {
        dims: MlaDims::new(HEADS as u32, 1)?,
        dtype: DType::Bf16,
        max_batch: LENGTHS.len(),
        max_blocks_per_sequence: BLOCKS,
        max_s_q: 1,
        block_size: BLOCK_SIZE,
        blocks_in_cache: BLOCKS,
    };
    Planner::new(device, config)
}

/// Requests of `LENGTHS` tokens, with blocks of one pool.
fn table() -> oxmla::Result<BlockTable> {
    let mut pool = BlockPool::new(BLOCKS)?;
    let mut requests = LENGTHS.map(|_| pool.sequence());
    for (request, length) in requests.iter_mut().zip(LENGTHS) {
        let _ = pool.append(request, length as usize)?;
    }
    BlockTable::from_sequences(&requests.each_ref())
}

/// Numbers between −1 and 1 (a linear congruential generator, Knuth's constants).
fn values(len: usize, seed: u64) -> Vec<bf16> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bf16::from_f32((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
    };
    (0..len).map(|_| next()).collect()
}

/// The larger; NaN is worse than any number.
fn worse(worst: f32, x: f32) -> f32 {
    if x <= worst { worst } else { x }
}
