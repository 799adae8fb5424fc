//! cudarc's streams, memory and graphs around our calls.

use std::ptr::{dangling_mut, null_mut};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaContext, CudaSlice, CudaStream};
use oxmla::interop::cudarc::{CudarcStream, device};
use oxmla::{DType, Decode, DecodePlan, Error, Location, Planner, PlannerConfig, decode};
use oxmla::{Mask, MlaDims, Step};

use crate::fake::Fake;
use crate::scenario::Request;

const HEADS: usize = 16;
const BLOCKS: usize = 32;
const CACHE: [usize; 4] = [BLOCKS, 64, 1, 576];

/// What a runtime on cudarc has.
struct Runtime {
    stream: Arc<CudaStream>,
    q: CudaSlice<u16>,
    cache: CudaSlice<u8>,
    out: CudaSlice<u16>,
    lse: CudaSlice<f32>,
}

impl Runtime {
    fn new(stream: Arc<CudaStream>) -> Result<Self> {
        Ok(Self {
            q: stream.alloc_zeros(HEADS * 576)?,
            cache: stream.alloc_zeros(CACHE.iter().product::<usize>() * 2)?,
            out: stream.alloc_zeros(HEADS * 512)?,
            lse: stream.alloc_zeros(HEADS)?,
            stream,
        })
    }

    /// A decode in the place of `launch`, which gets the call to make; views are made before, and dropped after.
    fn decode(
        &mut self,
        planner: &Planner,
        plan: &DecodePlan,
        launch: impl FnOnce(&mut dyn FnMut() -> oxmla::Result<()>) -> Result<()>,
    ) -> Result<()> {
        // SAFETY: the views are used on this stream alone.
        let stream = unsafe { CudarcStream::new(&self.stream)? };
        let q = stream.view(&self.q, DType::Bf16, &[1, 1, HEADS, 576])?;
        let cache = stream.view(&self.cache, DType::Bf16, &CACHE)?;
        let mut out = stream.view_mut(&mut self.out, DType::Bf16, &[1, 1, HEADS, 512])?;
        let mut lse = stream.view_mut(&mut self.lse, DType::F32, &[1, HEADS, 1])?;
        launch(&mut || {
            let args = Decode {
                q: q.as_ref(),
                kv_cache: cache.as_ref(),
                out: out.as_mut(),
                lse: lse.as_mut(),
                softmax_scale: 0.1,
                softcap: None,
            };
            decode(planner, plan, stream.as_ref(), args)
        })
    }
}

/// A planner on the context's GPU, and the plan of a step of one request.
fn planner(stream: &CudaStream) -> Result<(Planner, DecodePlan)> {
    let config = PlannerConfig {
        dims: MlaDims::new(HEADS as u32, 1)?,
        dtype: DType::Bf16,
        max_batch: 1,
        max_blocks_per_sequence: BLOCKS,
        max_s_q: 1,
        block_size: oxmla::BLOCK_SIZE,
        blocks_in_cache: BLOCKS,
    };
    let mut planner = Planner::new(&device(stream.context())?, config)?;
    // SAFETY: it hands out no tensors.
    let stream = unsafe { CudarcStream::new(stream)? };
    let table = Request::new()?.grow()?;
    let plan = planner.plan(stream.as_ref(), Step::new(&table, 1, Mask::Causal))?;
    Ok((planner, plan))
}

/// Waits come before the launch, and only when it is in the stream does the memory count as used.
#[test]
fn memory_is_in_use_until_the_launch_is_enqueued() -> Result<()> {
    let fake = Fake::driver();
    let context = CudaContext::new(0)?;
    // What is made once and kept: the GPU, page-locked memory for uploads.
    drop(planner(&context.default_stream())?);
    let live = fake.live();
    {
        let (theirs, ours) = (context.new_stream()?, context.new_stream()?);
        let mut runtime = Runtime { stream: ours, ..Runtime::new(theirs)? };
        let (planner, plan) = planner(&runtime.stream)?;
        let count = || {
            ["cuStreamWaitEvent", "cuLaunchKernelEx", "cuEventRecord"].map(|name| fake.calls(name))
        };
        let before = count();
        let since = |before: [u64; 3]| {
            let now = count();
            [0, 1, 2].map(|call: usize| now[call] - before[call])
        };
        runtime.decode(&planner, &plan, |launch| {
            // Two are read: they wait for who wrote. Two are written: they wait for who read, too.
            ensure!(since(before) == [6, 0, 0], "{:?} before the launch", since(before));
            launch()?;
            ensure!(since(before) == [6, 1, 0], "{:?} after the launch", since(before));
            Ok(())
        })?;
        ensure!(since(before) == [6, 1, 4], "{:?} after the views", since(before));
    }
    ensure!(fake.live() == live, "something was not given back");
    Ok(())
}

/// Views that were made before are no part of the capture; one made inside says what cudarc was told.
#[test]
fn a_decode_in_cudarcs_graph() -> Result<()> {
    const ISOLATION: i32 = 905;
    let fake = Fake::driver();
    let context = CudaContext::new(0)?;
    let stream = context.new_stream()?;
    let mut runtime = Runtime::new(stream.clone())?;
    let (planner, plan) = planner(&stream)?;
    let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
    let mut graph = None;
    runtime.decode(&planner, &plan, |launch| {
        stream.begin_capture(mode)?;
        launch()?;
        graph = stream.end_capture(CUgraphInstantiate_flags(0))?;
        Ok(())
    })?;
    let graph = graph.context("no graph")?;
    let launches = fake.calls("cuGraphLaunch");
    graph.launch()?;
    ensure!(fake.calls("cuGraphLaunch") == launches + 1);

    stream.begin_capture(mode)?;
    let outcome = runtime.decode(&planner, &plan, |launch| Ok(launch()?));
    drop(stream.end_capture(CUgraphInstantiate_flags(0))?);
    let error = outcome.expect_err("the memory was written outside of the capture");
    let refused = matches!(
        error.downcast_ref(),
        Some(Error::Driver { call: "cuStreamWaitEvent", code: ISOLATION, .. })
    );
    ensure!(refused, "{error:#}");
    runtime.decode(&planner, &plan, |launch| Ok(launch()?))
}

/// The primary context is adopted, with its default streams; no other is.
#[test]
fn contexts() -> Result<()> {
    let fake = Fake::driver();
    let context = CudaContext::new(0)?;
    ensure!(device(&context)?.location() == Location::Cuda { ordinal: 0 });
    for stream in [context.default_stream(), context.per_thread_stream()] {
        // SAFETY: it hands out no tensors.
        let ours = unsafe { CudarcStream::new(&stream)? };
        assert_eq!(ours.as_ref().raw(), stream.cu_stream().cast());
        assert_eq!(ours.as_ref().location(), Location::Cuda { ordinal: 0 });
        assert_eq!(ours.device().location(), Location::Cuda { ordinal: 0 });
    }
    let own = fake.current();
    // SAFETY: the fake driver takes any pointer for a context, and lets it be destroyed.
    let another = unsafe { CudaContext::from_raw_context(0, 0, dangling_mut::<u64>().cast())? };
    fake.set_current(own);
    let refusal = |arg| Error::ForeignContext { arg, ordinal: 0 };
    assert_eq!(device(&another).map(drop), Err(refusal("context")));
    let foreign = another.default_stream();
    // SAFETY: it is refused.
    assert_eq!(unsafe { CudarcStream::new(&foreign) }.map(drop), Err(refusal("stream")));

    let stream = context.default_stream();
    let slice = foreign.alloc_zeros::<f32>(4)?;
    // SAFETY: its views are not used.
    let ours = unsafe { CudarcStream::new(&stream)? };
    assert_eq!(ours.view(&slice, DType::F32, &[4]).map(drop), Err(refusal("slice")));
    drop(slice);
    drop(foreign);
    drop(another);
    fake.set_current(own);
    Ok(())
}

/// Memory of another GPU, and views that do not fit.
#[test]
fn refusals() -> Result<()> {
    let _fake = Fake::driver();
    let context = CudaContext::new(0)?;
    let stream = context.default_stream();
    // SAFETY: its views are not used.
    let ours = unsafe { CudarcStream::new(&stream)? };
    let elsewhere = CudaContext::new(1)?.default_stream().alloc_zeros::<u16>(8)?;
    let [expected, got] = [0, 1].map(|ordinal| Location::Cuda { ordinal });
    let error = ours.view(&elsewhere, DType::F16, &[8]).map(drop);
    assert_eq!(error, Err(Error::LocationMismatch { arg: "slice", expected, got }));

    let mut slice = stream.alloc_zeros::<u16>(9)?;
    let too_large = |needed, available| Err(Error::ViewTooLarge { needed, available });
    assert_eq!(ours.view(&slice, DType::F16, &[2, 5]).map(drop), too_large(10, 9));
    assert_eq!(ours.view(&slice, DType::F32, &[5]).map(drop), too_large(5, 4));
    let overlapping = ours.view_mut_with_strides(&mut slice, DType::F16, &[2, 2], &[1, 1]).err();
    assert!(matches!(overlapping, Some(Error::Overlap { .. })));
    let view = ours.view_with_strides(&slice, DType::F16, &[2, 3], &[6, 1])?;
    assert_eq!(
        (&view.as_ref().shape()[..], &view.as_ref().strides()[..]),
        (&[2, 3][..], &[6, 1][..])
    );
    Ok(())
}

/// What cudarc keeps for itself comes out: of the wait for a view, and of the end of one before.
#[test]
fn failures_inside_cudarc() -> Result<()> {
    const NOT_PERMITTED: i32 = 800;
    let fake = Fake::driver();
    let context = CudaContext::new(0)?;
    let stream = context.new_stream()?;
    let slice = stream.alloc_zeros::<f32>(4)?;
    // SAFETY: its views are not used.
    let ours = unsafe { CudarcStream::new(&stream)? };
    let says = |call: &str| {
        let outcome = ours.view(&slice, DType::F32, &[4]).map(drop);
        let said = matches!(&outcome, Err(Error::Driver { call: named, code: NOT_PERMITTED, .. })
            if *named == call);
        ensure!(said, "{call} failed, and it was said: {outcome:?}");
        Ok(())
    };
    fake.fail("cuStreamWaitEvent", 0, NOT_PERMITTED);
    says("cuStreamWaitEvent")?;
    let view = ours.view(&slice, DType::F32, &[4])?;
    fake.fail("cuEventRecord", 0, NOT_PERMITTED);
    drop(view);
    says("an earlier call of cudarc")?;
    drop(ours.view(&slice, DType::F32, &[4])?);
    Ok(())
}

/// A thread on which nothing is current, and one on which another context is.
#[test]
fn whatever_is_current() -> Result<()> {
    let fake = Fake::driver();
    let context = CudaContext::new(0)?;
    let mut runtime = Runtime::new(context.new_stream()?)?;
    let (planner, plan) = planner(&runtime.stream)?;
    let own = fake.current();
    for current in [null_mut(), dangling_mut::<u64>().cast()] {
        runtime.decode(&planner, &plan, |launch| {
            fake.set_current(current);
            launch()?;
            let kept = if current.is_null() { own } else { current };
            ensure!(fake.current() == kept, "{current:?}");
            Ok(())
        })?;
    }
    fake.set_current(own);
    Ok(())
}
