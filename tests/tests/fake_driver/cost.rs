//! What a decode asks of the host and of the driver.

use std::time::Duration;

use anyhow::Result;
use oxmla::{DType, Decode, Error, Mask, Planner, TensorRef, Variant, decode};
use oxmla_tests::case::Case;
use oxmla_tests::checks::{Check, host_path};
use oxmla_tests::suite::Suite;
use oxmla_tests::watchdog::Watchdog;

use crate::fake::Fake;
use crate::session;

/// What views, checks and launches may take beside the driver: half of what a call may take in all.
const OWN_SHARE_US: f64 = 1.5;

#[test]
fn nothing_is_allocated() -> Result<()> {
    let _fake = Fake::driver();
    host_path::allocations(&mut session()?)
}

/// The driver's part aside, which the fake one does in no time.
#[test]
fn the_host_is_quick() -> Result<()> {
    let _fake = Fake::driver();
    let mut session = session()?;
    let watchdog = Watchdog::new(Duration::from_secs(600));
    let mut suite = Suite::new(&mut session, &watchdog);
    suite.check(&Check { name: "decode-host-time", run: host_path::time });
    let summary = suite.summary();
    assert!(summary.passed(), "{:?}", summary.failures);
    let us = summary.outcomes[0].figures["host_us"];
    assert!(us < OWN_SHARE_US, "{us} µs");
    Ok(())
}

/// Of the driver, a decode wants to know which context is current, once, tensor maps, and launches.
#[test]
fn no_call_is_wasted() -> Result<()> {
    let fake = Fake::driver();
    let mut session = session()?;
    let mut scene = session.scene(&Case::default())?;
    let mut planner = Planner::new(session.device(), scene.planner_config()?)?;
    let plan = planner.plan(session.stream().as_ref(), scene.step()?)?;
    let count = || {
        ["cuCtxGetCurrent", "cuTensorMapEncodeTiled", "cuLaunchKernelEx"]
            .map(|function| fake.calls(function))
    };
    let (all, before) = (fake.all_calls(), count());
    decode(&planner, &plan, session.stream().as_ref(), scene.args()?)?;
    let (all, after) = (fake.all_calls() - all, count());
    let [contexts, maps, launches] = std::array::from_fn(|index| after[index] - before[index]);
    assert_eq!((contexts, maps), (1, 2));
    assert!(launches >= 1);
    assert_eq!(all, contexts + maps + launches);
    Ok(())
}

/// Only a step with a window or a soft cap takes a kernel for that.
#[test]
fn limits_choose_the_kernel() -> Result<()> {
    let fake = Fake::driver();
    let mut session = session()?;
    let causal = Case { mask: Mask::Causal, softcap: None, ..Case::default() };
    let window = Case { mask: Mask::Causal.within(100), ..causal.clone() };
    let capped = Case { softcap: Some(30.0), ..causal.clone() };
    for (case, suffix) in [(causal, ""), (window, "_limited"), (capped, "_limited")] {
        for (dtype, element) in [(DType::Bf16, "bf16"), (DType::F16, "f16")] {
            for (variant, name) in [(Variant::Dense, "dense"), (Variant::Pair, "pair")] {
                let case = Case { dtype, s_q: 2, h_q: 128, h_k: 1, ..case.clone() };
                let mut scene = session.scene(&case)?;
                let mut planner = Planner::new(session.device(), scene.planner_config()?)?;
                planner.prefer(Some(variant));
                scene.attend_with(&mut planner, session.stream())?;
                assert_eq!(fake.launched(), format!("{name}_decode{suffix}_{element}"), "{case}");
            }
        }
    }
    Ok(())
}

/// Over an FP8 cache it is three maps of the cache in the place of one. Blocks must be aligned.
#[test]
fn fp8_takes_two_maps_more() -> Result<()> {
    let fake = Fake::driver();
    let mut session = session()?;
    let mut scene = session.scene(&Case::default())?;
    let config = scene.planner_config()?;
    let mut planner = Planner::new(session.device(), config)?;
    let plan = planner.plan(session.stream().as_ref(), scene.step()?)?;
    let blocks = config.blocks_in_cache;
    let cache = session.device().alloc((blocks + 1) * 64 * 656)?;
    let mut attend = |gap: usize| -> Result<oxmla::Result<()>> {
        let (shape, strides) = ([blocks, 64, 1, 656], [64 * 656 + gap, 656, 656, 1]);
        let (address, location) = (cache.address(), cache.location());
        // SAFETY: inside the buffer, for as long as it is borrowed.
        let kv_cache =
            unsafe { TensorRef::from_raw(address, DType::U8, &shape, &strides, location)? };
        let args = Decode { kv_cache, ..scene.args()? };
        Ok(decode(&planner, &plan, session.stream().as_ref(), args))
    };
    for gap in [0, 16] {
        let before = ["cuTensorMapEncodeTiled", "cuLaunchKernelEx"].map(|name| fake.calls(name));
        attend(gap)??;
        let after = ["cuTensorMapEncodeTiled", "cuLaunchKernelEx"].map(|name| fake.calls(name));
        assert_eq!([after[0] - before[0], after[1] - before[1]], [4, 1]);
    }
    let error = attend(8)?.expect_err("the stride is not a multiple of 16");
    let (axis, got) = ("blocks", 64 * 656 + 8);
    assert_eq!(error, Error::MisalignedStride { arg: "kv_cache", axis, required: 16, got });
    Ok(())
}
