//! The driver fails. The call says so, by a typed error; what the host keeps is as it was; nothing leaks; and
//! unless the GPU is lost, the next call works.

use anyhow::{Result, ensure};
use oxmla::{Device, Error};

use crate::fake::Fake;
use crate::scenario::{Request, Scenario};

const OUT_OF_MEMORY: i32 = 2;
const ILLEGAL_ADDRESS: i32 = 700;
const LAUNCH_OUT_OF_RESOURCES: i32 = 701;
/// A result that the driver has no name for.
const UNHEARD_OF: i32 = 888;

/// Every single call of the driver fails once, with every kind of result. Where something is given back nobody
/// is told: there is nothing to do about it.
#[test]
fn whatever_fails() -> Result<()> {
    let fake = Fake::driver();
    let device = Device::cuda(0)?;
    let mut request = Request::new()?;
    let table = request.grow()?;
    // What is made once and kept: page-locked memory for uploads.
    drop(Scenario::run(&device, &table)?);
    let (live, calls) = (fake.live(), fake.all_calls());
    let everything = Scenario::run(&device, &table)?;
    let before_the_end = fake.all_calls() - calls;
    drop(everything);
    let all = fake.all_calls() - calls;
    ensure!(live == fake.live() && before_the_end > 20 && all > before_the_end);

    for code in [OUT_OF_MEMORY, ILLEGAL_ADDRESS, LAUNCH_OUT_OF_RESOURCES] {
        for call in 0..all {
            fake.fail_any(call, code);
            let outcome = Scenario::run(&device, &table);
            let name = fake.failed();
            let refused = outcome.as_ref().err();
            let is_over = call >= before_the_end || name == "cuGraphDestroy";
            ensure!(
                if is_over { refused.is_none() } else { refused.is_some_and(|e| says(e, code)) },
                "call {call}, {name}, failed with {code}, and it was said: {refused:?}"
            );
            drop(outcome);
            let name = fake.failed();
            ensure!(live == fake.live(), "call {call}, {name}, failed with {code}: a leak");
        }
    }
    fake.heal();
    drop(Scenario::run(&device, &table)?);
    request.finish()
}

/// Whether the error is the one for a result.
fn says(error: &Error, result: i32) -> bool {
    match error {
        Error::OutOfMemory { .. } => result == OUT_OF_MEMORY,
        Error::DeviceLost { code, .. } => result == ILLEGAL_ADDRESS && result == *code,
        Error::Driver { code, .. } => result != ILLEGAL_ADDRESS && result == *code,
        _ => false,
    }
}

/// A launch that fails is named, and the same plan works afterwards.
#[test]
fn launches() -> Result<()> {
    let fake = Fake::driver();
    let mut request = Request::new()?;
    let mut scenario = Scenario::new(&Device::cuda(0)?)?;
    let plan = scenario.plan(&request.grow()?)?;
    let before = fake.calls("cuLaunchKernelEx");
    scenario.decode(&plan)?;
    for launch in 0..fake.calls("cuLaunchKernelEx") - before {
        fake.fail("cuLaunchKernelEx", launch, LAUNCH_OUT_OF_RESOURCES);
        let outcome = scenario.decode(&plan);
        let expected = Error::Driver {
            call: "cuLaunchKernelEx",
            code: LAUNCH_OUT_OF_RESOURCES,
            name: "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES".into(),
            detail: "the fake driver was told so".into(),
        };
        assert_eq!(outcome, Err(expected));
        scenario.decode(&plan)?;
    }
    request.finish()
}

/// A capture that fails ends: the stream works on.
#[test]
fn captures() -> Result<()> {
    let fake = Fake::driver();
    let mut request = Request::new()?;
    let mut scenario = Scenario::new(&Device::cuda(0)?)?;
    let plan = scenario.plan(&request.grow()?)?;
    for call in ["cuLaunchKernelEx", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"] {
        fake.fail(call, 0, UNHEARD_OF);
        let outcome = scenario.capture(&plan);
        let refused = matches!(&outcome, Err(Error::Driver { call: named, code: UNHEARD_OF, .. })
            if *named == call);
        ensure!(refused, "{call} failed, and it was said: {outcome:?}");
        scenario.decode(&plan)?;
        scenario.results()?;
        drop(scenario.capture(&plan)?);
    }
    request.finish()
}

/// A step that could not be uploaded is no plan, and neither is the one before it. The blocks that the request
/// got for it stay the request's.
#[test]
fn uploads() -> Result<()> {
    let fake = Fake::driver();
    let mut request = Request::new()?;
    let mut scenario = Scenario::new(&Device::cuda(0)?)?;
    for call in ["cuMemcpyHtoDAsync_v2", "cuEventRecord", "cuStreamIsCapturing"] {
        let plan = scenario.plan(&request.grow()?)?;
        let table = request.grow()?;
        fake.fail(call, 0, UNHEARD_OF);
        let outcome = scenario.plan(&table);
        let refused = matches!(&outcome, Err(Error::Driver { code: UNHEARD_OF, .. }));
        ensure!(refused, "{call} failed, and it was said: {outcome:?}");
        request.check()?;
        ensure!(matches!(scenario.decode(&plan), Err(Error::StalePlan { .. })));
        let plan = scenario.plan(&table)?;
        scenario.decode(&plan)?;
    }
    request.finish()
}

/// Memory that there is not is told apart from other failures, and what there is stays good.
#[test]
fn memory() -> Result<()> {
    let fake = Fake::driver();
    let device = Device::cuda(0)?;
    let buffer = device.upload(&[7i32; 100])?;
    fake.fail("cuMemAlloc_v2", 0, OUT_OF_MEMORY);
    let expected = Error::OutOfMemory { device: "fake H100".into(), bytes: 12_345 };
    assert_eq!(device.alloc(12_345).map(drop), Err(expected));
    assert_eq!(buffer.to_vec::<i32>()?, [7; 100]);

    let live = fake.live();
    for allocation in 0..5 {
        fake.fail("cuMemAlloc_v2", allocation, OUT_OF_MEMORY);
        let outcome = Scenario::new(&device).map(drop);
        ensure!(matches!(outcome, Err(Error::OutOfMemory { .. })), "{allocation}: {outcome:?}");
        ensure!(live == fake.live(), "allocation {allocation} failed, and others stay");
    }
    Scenario::new(&device).map(drop)?;
    Ok(())
}

/// A step that is too large for the page-locked memory that is there already, when there is no more.
#[test]
fn page_locked_memory() -> Result<()> {
    let fake = Fake::driver();
    let mut request = Request::new()?;
    let table = request.grow()?;
    let mut scenario = Scenario::for_batch(&Device::cuda(0)?, 1 << 20)?;
    fake.fail("cuMemHostAlloc", 0, OUT_OF_MEMORY);
    let outcome = scenario.plan(&table).map(drop);
    let refused = matches!(&outcome, Err(Error::OutOfMemory { device, bytes })
        if device == "the host" && *bytes >= 4 << 20);
    ensure!(refused, "{outcome:?}");
    let plan = scenario.plan(&table)?;
    scenario.decode(&plan)?;
    request.finish()
}

/// After a kernel that went wrong the driver says no to everything, which is said as what it is. Pool and request
/// work on.
#[test]
fn lost_devices() -> Result<()> {
    let fake = Fake::driver();
    let device = Device::cuda(0)?;
    let mut request = Request::new()?;
    let mut scenario = Scenario::new(&device)?;
    let plan = scenario.plan(&request.grow()?)?;
    let table = request.grow()?;
    fake.fail_all(0, ILLEGAL_ADDRESS);
    for _ in 0..2 {
        for outcome in [
            scenario.decode(&plan),
            scenario.plan(&table).map(drop),
            scenario.results().map(drop),
            device.alloc(1).map(drop),
            device.stream().map(drop),
        ] {
            let stale = matches!(outcome, Err(Error::StalePlan { .. }));
            let lost = matches!(outcome, Err(Error::DeviceLost { code: ILLEGAL_ADDRESS, .. }));
            ensure!(lost || stale, "{outcome:?}");
        }
    }
    drop(scenario);
    request.grow()?;
    request.finish()
}
