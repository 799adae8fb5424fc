//! Several threads at once, with and without a current context.

use std::ptr::{dangling_mut, null_mut};
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;

use anyhow::{Result, anyhow, ensure};
use half::bf16;
use oxmla::{
    BLOCK_SIZE, BlockPool, BlockTable, CacheLayout, DType, Decode, Device, LatentCache, Mask,
    MlaDims, Planner, PlannerConfig, Step, decode,
};

use crate::fake::Fake;
use crate::scenario::{Request, Scenario};

const THREADS: usize = 4;
const ROUNDS: usize = 50;

/// Runs `work` on so many threads, which begin together, each with its number; all must succeed.
fn at_once(work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    let start = Barrier::new(THREADS);
    let run = |thread| {
        start.wait();
        work(thread)
    };
    let run = &run;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || run(n))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
    })
}

/// What is current on a thread: nothing on the even ones, somebody else's context on the others.
fn before(fake: &Fake, thread: usize) -> *mut std::ffi::c_void {
    let context = if thread.is_multiple_of(2) { null_mut() } else { dangling_mut::<u64>().cast() };
    fake.set_current(context);
    context
}

/// A planner, a stream and a cache for each thread, one pool for all behind a lock. Nobody gets a block of another's,
/// and each thread has afterwards the context that it had.
#[test]
fn planners_of_their_own_and_one_pool() -> Result<()> {
    const BLOCKS: usize = 16;
    let fake = Fake::driver();
    let device = Device::cuda(0)?;
    // What is made once and kept: page-locked memory for uploads.
    drop(Scenario::run(&device, &Request::new()?.grow()?)?);
    let (live, launches) = (fake.live(), fake.calls("cuLaunchKernelEx"));
    let pool = Mutex::new(BlockPool::new(BLOCKS)?);
    let lock = || pool.lock().unwrap_or_else(PoisonError::into_inner);
    let owners = Mutex::new([None; BLOCKS]);
    at_once(|thread| {
        let before = before(&fake, thread);
        let mut scenario = Scenario::new(&device)?;
        for round in 0..ROUNDS {
            let mut sequence = lock().sequence();
            let tokens = BLOCK_SIZE * (1 + round % (BLOCKS / THREADS));
            let _ = lock().append(&mut sequence, tokens)?;
            for &block in sequence.blocks() {
                let owner =
                    &mut owners.lock().unwrap_or_else(PoisonError::into_inner)[block as usize];
                ensure!(owner.is_none(), "block {block} is also that of thread {owner:?}");
                *owner = Some(thread);
            }
            let plan = scenario.plan(&BlockTable::from_sequences(&[&sequence])?)?;
            scenario.decode(&plan)?;
            scenario.results()?;
            for &block in sequence.blocks() {
                owners.lock().unwrap_or_else(PoisonError::into_inner)[block as usize] = None;
            }
            lock().free(sequence)?;
            ensure!(
                before.is_null() || fake.current() == before,
                "another context in round {round}"
            );
        }
        drop(scenario);
        ensure!(before.is_null() || fake.current() == before, "another context at the end");
        Ok(())
    })?;
    ensure!(lock().available() == BLOCKS, "a block is missing");
    ensure!(fake.live() == live, "something was not given back");
    let launches = fake.calls("cuLaunchKernelEx") - launches;
    ensure!(launches == (THREADS * ROUNDS) as u64, "{launches} launches");
    Ok(())
}

/// One plan, and the layers of a model shared out among threads that launch into one stream.
#[test]
fn one_plan_for_all() -> Result<()> {
    const HEADS: usize = 16;
    let fake = Fake::driver();
    let device = Device::cuda(0)?;
    let (dims, dtype) = (MlaDims::new(HEADS as u32, 1)?, DType::Bf16);
    let config = PlannerConfig {
        dims,
        dtype,
        max_batch: 1,
        max_blocks_per_sequence: 1,
        max_s_q: 1,
        block_size: BLOCK_SIZE,
        blocks_in_cache: 1,
    };
    let mut planner = Planner::new(&device, config)?;
    let stream = device.stream()?;
    let table = Request::new()?.grow()?;
    let plan = planner.plan(stream.as_ref(), Step::new(&table, 1, Mask::Causal))?;
    let q = device.upload(&[bf16::ONE; HEADS * 576])?;
    let (stream, planner) = (stream.as_ref(), &planner);
    let launches = fake.calls("cuLaunchKernelEx");
    at_once(|thread| {
        before(&fake, thread);
        let cache = LatentCache::new(&device, CacheLayout::new(dims, dtype, BLOCK_SIZE)?, 1)?;
        let (mut out, mut lse) = (device.alloc(HEADS * 512 * 2)?, device.alloc(HEADS * 4)?);
        for _ in 0..ROUNDS {
            let args = Decode {
                q: q.view(dtype, &[1, 1, HEADS, 576])?,
                kv_cache: cache.view(),
                out: out.view_mut(dtype, &[1, 1, HEADS, 512])?,
                lse: lse.view_mut(DType::F32, &[1, HEADS, 1])?,
                softmax_scale: 0.1,
                softcap: None,
            };
            decode(planner, &plan, stream, args)?;
        }
        Ok(())
    })?;
    let launches = fake.calls("cuLaunchKernelEx") - launches;
    ensure!(launches == (THREADS * ROUNDS) as u64, "{launches} launches");
    Ok(())
}

/// What one thread has made another drops, whatever is current there.
#[test]
fn made_here_and_dropped_there() -> Result<()> {
    let fake = Fake::driver();
    let device = Device::cuda(0)?;
    let table = Request::new()?.grow()?;
    drop(Scenario::run(&device, &table)?);
    let live = fake.live();
    let made: Vec<_> = (0..THREADS)
        .map(|_| Ok(Mutex::new(Some(Scenario::run(&device, &table)?))))
        .collect::<Result<_>>()?;
    ensure!(fake.live() > live, "nothing was made");
    at_once(|thread| {
        let before = before(&fake, thread);
        drop(made[thread].lock().unwrap_or_else(PoisonError::into_inner).take());
        ensure!(before.is_null() || fake.current() == before, "another context");
        Ok(())
    })?;
    ensure!(fake.live() == live, "something was not given back");
    Ok(())
}

/// One thread captures while the others allocate, copy and launch.
#[test]
fn a_capture_is_its_threads_own() -> Result<()> {
    let fake = Fake::driver();
    let device = Device::cuda(0)?;
    let table = Request::new()?.grow()?;
    at_once(|thread| {
        before(&fake, thread);
        for _ in 0..ROUNDS {
            if thread == 0 {
                let mut scenario = Scenario::new(&device)?;
                let plan = scenario.plan(&table)?;
                drop(scenario.capture(&plan)?);
            } else {
                drop(Scenario::run(&device, &table)?);
            }
        }
        Ok(())
    })
}
