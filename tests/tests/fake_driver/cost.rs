//! What a decode asks of the host and of the driver.

use std::time::Duration;

use anyhow::Result;
use oxmla::{Planner, decode};
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
