//! When kernels are loaded: with what is made for them, once, and not while it runs. Every test has a GPU of its own, on
//! which nothing is loaded yet.

use std::ptr::null_mut;
use std::sync::Barrier;
use std::thread;

use anyhow::{Result, anyhow, ensure};
use oxmla::backend::cuda::CudaDevice;
use oxmla::backend::cuda::graph::Graph;
use oxmla::cache::{CopyBlocks, Fp8Format, copy_blocks};
use oxmla::gemm::Workspace;
use oxmla::{
    BLOCK_SIZE, BlockTable, CacheLayout, DType, Decode, Device, Error, Family, LatentCache, Mask,
    MlaDims, Planner, PlannerConfig, SparsePlanner, SparsePlannerConfig, Step, Stream, TensorRef,
    decode,
};

use crate::fake::Fake;
use crate::scenario::{Request, Scenario};

const HEADS: usize = 16;

fn dims() -> MlaDims {
    MlaDims::new(HEADS as u32, 1).expect("16 heads")
}

fn planner(device: &Device, dtype: DType) -> oxmla::Result<Planner> {
    let config = PlannerConfig {
        dims: dims(),
        dtype,
        max_batch: 1,
        max_blocks_per_sequence: 4,
        max_s_q: 1,
        block_size: BLOCK_SIZE,
        blocks_in_cache: 4,
    };
    Planner::new(device, config)
}

fn fp8_cache(device: &Device) -> oxmla::Result<LatentCache> {
    let layout = CacheLayout::fp8(Fp8Format::Token656, BLOCK_SIZE)?;
    LatentCache::new(device, layout, 4)
}

/// The families that are loaded.
fn loaded(device: &Device) -> Vec<Family> {
    let gpu = gpu(device);
    Family::ALL.into_iter().filter(|&family| gpu.has_loaded(family)).collect()
}

fn gpu(device: &Device) -> &CudaDevice {
    let Device::Cuda(gpu) = device else { panic!("{} is no GPU", device.name()) };
    gpu
}

/// How often `work` loads a module.
fn loads(fake: &Fake, work: impl FnOnce() -> Result<()>) -> Result<u64> {
    let before = fake.calls("cuModuleLoadDataEx");
    work()?;
    Ok(fake.calls("cuModuleLoadDataEx") - before)
}

/// Whoever is first loads, whoever comes later does not, and what they do does not.
#[test]
fn what_is_made_for_kernels_loads_them() -> Result<()> {
    let fake = Fake::driver();
    let device = Device::cuda(2)?;
    let stream = device.stream()?;
    assert_eq!(loaded(&device), []);
    let once = |work: &dyn Fn() -> oxmla::Result<()>, expected: &[Family]| -> Result<()> {
        let before = loaded(&device);
        ensure!(loads(&fake, || Ok(work()?))? == expected.len() as u64);
        let mut new = loaded(&device);
        new.retain(|family| !before.contains(family));
        assert_eq!(new, expected);
        ensure!(loads(&fake, || Ok(work()?))? == 0);
        Ok(())
    };
    once(&|| planner(&device, DType::Bf16).map(drop), &[Family::DecodeBf16])?;
    once(&|| planner(&device, DType::F16).map(drop), &[Family::DecodeF16])?;
    let table = Request::new()?.grow()?;
    let with_window = || {
        let step = Step::new(&table, 1, Mask::Causal.within(7));
        planner(&device, DType::Bf16)?.plan(stream.as_ref(), step).map(drop)
    };
    once(&with_window, &[Family::DecodeLimitedBf16])?;
    let sparse = SparsePlannerConfig { h_q: 16, max_tokens: 1 };
    once(&|| SparsePlanner::new(&device, sparse).map(drop), &[Family::SparseDecode])?;
    once(&|| Workspace::new(&device).map(drop), &[Family::Gemm])?;
    once(&|| Scenario::run(&device, &table).map(drop), &[Family::Rows])?;
    // What planners are there for.
    let over_fp8 = [
        Family::Fp8DecodeBf16,
        Family::Fp8DecodeF16,
        Family::Fp8DecodeLimitedBf16,
        Family::Fp8SparseDecode,
        Family::Fp8Rows,
    ];
    once(&|| fp8_cache(&device).map(drop), &over_fp8)
}

/// A cache first, the planner then.
#[test]
fn a_planner_knows_of_caches() -> Result<()> {
    let _fake = Fake::driver();
    let device = Device::cuda(3)?;
    let _cache = fp8_cache(&device)?;
    assert_eq!(loaded(&device), [Family::Rows, Family::Fp8Rows]);
    planner(&device, DType::F16)?;
    let four = [Family::DecodeF16, Family::Fp8DecodeF16, Family::Rows, Family::Fp8Rows];
    assert_eq!(loaded(&device), four);
    Ok(())
}

/// One loads, the others wait for it; on two GPUs, both are loaded on.
#[test]
fn threads_load_once() -> Result<()> {
    const THREADS: usize = 8;
    let fake = Fake::driver();
    let devices = [Device::cuda(4)?, Device::cuda(5)?];
    let count = loads(&fake, || {
        let start = Barrier::new(THREADS);
        let work = &|device| -> oxmla::Result<()> {
            start.wait();
            planner(device, DType::Bf16).map(drop)
        };
        thread::scope(|scope| {
            let threads = devices.iter().cycle().take(THREADS);
            let running: Vec<_> = threads.map(|device| scope.spawn(move || work(device))).collect();
            running.into_iter().try_for_each(|thread| {
                thread.join().map_err(|_| anyhow!("a thread panicked"))??;
                Ok(())
            })
        })
    })?;
    assert_eq!(count, 2);
    for device in &devices {
        assert_eq!(loaded(device), [Family::DecodeBf16]);
    }
    Ok(())
}

/// Whatever fails while a family is loaded is said, with the family's name where there is one to say, leaves nothing
/// behind, and can be tried again.
#[test]
fn what_cannot_be_loaded_can_be_later() -> Result<()> {
    const NOT_PERMITTED: i32 = 800;
    let fake = Fake::driver();
    let device = Device::cuda(6)?;
    let live = fake.live();
    for (call, spared) in [
        ("cuThreadExchangeStreamCaptureMode", 0),
        ("cuModuleLoadDataEx", 0),
        ("cuModuleGetFunction", 0),
        ("cuModuleGetFunction", 1),
        ("cuFuncSetAttribute", 1),
    ] {
        fake.fail(call, spared, NOT_PERMITTED);
        let outcome = planner(&device, DType::Bf16).map(drop);
        let refused = match &outcome {
            Err(Error::ModuleLoad { module, .. }) => {
                call.starts_with("cuModule") && *module == "decode_bf16"
            }
            Err(Error::Driver { call: named, code: NOT_PERMITTED, .. }) => *named == call,
            _ => false,
        };
        ensure!(refused, "call {spared} of {call} failed, and it was said: {outcome:?}");
        ensure!(live == fake.live(), "call {spared} of {call} failed, and something leaks");
        assert_eq!(loaded(&device), []);
        assert_eq!(fake.capture_mode(), 0);
    }
    planner(&device, DType::Bf16)?;
    Ok(())
}

/// What nothing is made for loads its kernels itself, also the first call of all, in a capture. The thread is as strict
/// afterwards as it was before, and has the context that it had.
#[test]
fn a_capture_may_be_the_first_call() -> Result<()> {
    let fake = Fake::driver();
    let device = Device::cuda(7)?;
    let stream = device.stream()?;
    let mut cache = device.alloc(4 * BLOCK_SIZE * 656)?;
    let pairs = device.alloc(8)?;
    let own = fake.current();
    fake.set_current(null_mut());
    let count = loads(&fake, || {
        Graph::capture(gpu(&device), stream.as_ref(), || {
            let args = CopyBlocks {
                pairs: pairs.view(DType::I32, &[1, 2])?,
                kv_cache: cache.view_mut(DType::Bf16, &[2, BLOCK_SIZE, 1, 576])?,
            };
            copy_blocks(&device, stream.as_ref(), args)
        })?;
        Ok(())
    })?;
    assert_eq!((count, fake.capture_mode()), (1, 0));
    assert_eq!(loaded(&device), [Family::Rows]);
    assert_eq!(fake.launched(), "copy_blocks");
    fake.set_current(own);
    over_memory_of_others(&fake, &device, &stream)
}

/// Decode over an FP8 cache that only the caller knows of, and with a soft cap: the first call loads, no other does.
fn over_memory_of_others(fake: &Fake, device: &Device, stream: &Stream) -> Result<()> {
    let mut planner = planner(device, DType::Bf16)?;
    let table = Request::new()?.grow()?;
    let plan = plan(&mut planner, stream, &table)?;
    let cache = device.alloc(4 * BLOCK_SIZE * 1152)?;
    let (q, bf16) = (device.alloc(HEADS * 1152)?, DType::Bf16);
    let (mut out, mut lse) = (device.alloc(HEADS * 1024)?, device.alloc(HEADS * 4)?);
    let mut attend = |kv_cache: TensorRef<'_>, softcap| -> Result<()> {
        let args = Decode {
            q: q.view(bf16, &[1, 1, HEADS, 576])?,
            kv_cache,
            out: out.view_mut(bf16, &[1, 1, HEADS, 512])?,
            lse: lse.view_mut(DType::F32, &[1, HEADS, 1])?,
            softmax_scale: 0.1,
            softcap,
        };
        Ok(decode(&planner, &plan, stream.as_ref(), args)?)
    };
    let elements = || cache.view(bf16, &[4, BLOCK_SIZE, 1, 576]);
    let bytes = || cache.view(DType::U8, &[4, BLOCK_SIZE, 1, 656]);
    assert_eq!(loads(fake, || attend(elements()?, None))?, 0);
    for (family, kv_cache, softcap) in [
        (Family::DecodeLimitedBf16, elements()?, Some(30.0)),
        (Family::Fp8DecodeBf16, bytes()?, None),
        (Family::Fp8DecodeLimitedBf16, bytes()?, Some(30.0)),
    ] {
        assert_eq!(loads(fake, || attend(kv_cache, softcap))?, 1, "{}", family.name());
        assert!(gpu(device).has_loaded(family), "{}", family.name());
        assert_eq!(loads(fake, || attend(kv_cache, softcap))?, 0, "{}", family.name());
    }
    Ok(())
}

fn plan(
    planner: &mut Planner,
    stream: &Stream,
    table: &BlockTable,
) -> oxmla::Result<oxmla::DecodePlan> {
    planner.plan(stream.as_ref(), Step::new(table, 1, Mask::Causal))
}
