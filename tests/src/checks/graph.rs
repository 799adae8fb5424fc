//! A decode captured in a CUDA graph.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use half::f16;
use oxmla::backend::cuda::CudaDevice;
use oxmla::backend::cuda::graph::Graph;
use oxmla::cache::{CopyBlocks, copy_blocks};
use oxmla::{BLOCK_SIZE, DType, Device, Error, Family, Mask, Planner, PlannerConfig, decode};

use crate::case::{Case, Lengths};
use crate::inputs::Cache;
use crate::scene::{PlacedCache, Scene};
use crate::session::Session;

const BLOCKS: usize = 300;

fn gpu(session: &Session) -> Result<CudaDevice> {
    match session.device() {
        Device::Cuda(device) => Ok(device.clone()),
        other => anyhow::bail!("{} captures no graphs", other.name()),
    }
}

/// Case of one step: the same tensors in every step, other tokens.
fn step(lengths: Vec<i32>, seed: u64) -> Case {
    let lengths = Lengths::Listed(lengths);
    Case { batch: 6, s_q: 2, h_q: 128, lengths, mask: Mask::Causal, seed, ..Case::default() }
}

fn planner(session: &Session, scene: &Scene) -> Result<Planner> {
    let config = PlannerConfig { max_blocks_per_sequence: 100, ..scene.planner_config()? };
    Ok(Planner::new(session.device(), config)?)
}

/// A graph captured once follows lengths, block tables and cache contents that change: from work that is
/// hardly split to one long request, to none at all, and back.
pub fn replay(session: &mut Session) -> Result<()> {
    let steps = [
        step(vec![1000, 30, 0, 64, 500, 129], 51),
        step(vec![1, 6000, 1, 0, 7, 65], 52),
        step(vec![0; 6], 53),
        step(vec![130, 63, 2000, 64, 300, 1], 54),
    ];
    let device = gpu(session)?;
    let pool = session.pool(steps[0].dtype);
    let host = Cache::with_blocks(&steps[0], pool, 0, BLOCKS);
    let cache = Arc::new(PlacedCache::new(session.device(), host)?);
    let mut scene = Scene::new(session.device(), &steps[0], pool, cache)?;
    let mut planner = planner(session, &scene)?;
    let stream = session.stream();

    let plan = planner.plan(stream.as_ref(), scene.step()?)?;
    let args = scene.args()?;
    let graph = Graph::capture(&device, stream.as_ref(), || {
        decode(&planner, &plan, stream.as_ref(), args)
    })?;
    ensure!(scene.out.is_untouched()?, "capturing did the work");
    for (order, case) in steps.iter().enumerate() {
        change(&mut scene, case, Cache::with_blocks(case, pool, order as u64, BLOCKS))?;
        planner.plan(stream.as_ref(), scene.step()?)?;
        // SAFETY: the scene and the planner that the capture named are still there, and nobody uses them.
        unsafe { graph.launch(stream.as_ref())? };
        stream.synchronize()?;
        session.verify(&scene).with_context(|| format!("replay {order}"))?;
    }
    Ok(())
}

/// Other tokens in the same memory.
fn change(scene: &mut Scene, case: &Case, host: Cache) -> Result<()> {
    let cache = Arc::get_mut(&mut scene.cache).context("the cache is shared")?;
    cache.buffer.write(0, bytemuck::cast_slice(&host.bits))?;
    cache.host = host;
    // Queries stay, and with them the seed that they were made from.
    scene.case.lengths = case.lengths.clone();
    scene.out.refill()?;
    scene.lse.refill()?;
    Ok(())
}

/// A capture whose first call finds nothing loaded: a copy of a block, which nothing is made for.
pub fn before_kernels(session: &mut Session) -> Result<()> {
    let (device, gpu, stream) = (session.device(), gpu(session)?, session.stream());
    ensure!(!gpu.has_loaded(Family::Rows), "this check must be the first to use these kernels");
    let rows: Vec<f16> = (0..BLOCK_SIZE * 576).map(|n| f16::from_f32(n as f32 % 1000.0)).collect();
    let mut cache = device.upload(&[rows.clone(), vec![f16::ZERO; rows.len()]].concat())?;
    let pairs = device.upload(&[0, 1])?;
    let graph = Graph::capture(&gpu, stream.as_ref(), || {
        let args = CopyBlocks {
            pairs: pairs.view(DType::I32, &[1, 2])?,
            kv_cache: cache.view_mut(DType::F16, &[2, BLOCK_SIZE, 1, 576])?,
        };
        copy_blocks(device, stream.as_ref(), args)
    })?;
    // SAFETY: the memory that the capture named is still there, and nobody uses it.
    unsafe { graph.launch(stream.as_ref())? };
    stream.synchronize()?;
    ensure!(cache.to_vec::<f16>()?[rows.len()..] == rows, "the block was not copied");
    Ok(())
}

/// `plan` cannot be captured and says so; the stream works on afterwards.
pub fn stream_out_of_capture(session: &mut Session) -> Result<()> {
    let case = step(vec![100; 6], 55);
    let mut scene = session.scene(&case)?;
    let device = gpu(session)?;
    let mut planner = planner(session, &scene)?;
    let stream = session.stream();
    let outcome = Graph::capture(&device, stream.as_ref(), || {
        planner.plan(stream.as_ref(), scene.step()?).map(drop)
    });
    ensure!(matches!(outcome, Err(Error::Driver { .. })), "capturing `plan` gave {outcome:?}");
    scene.attend_with(&mut planner, stream)?;
    session.verify(&scene).map(drop)
}
