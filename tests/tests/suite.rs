//! The suite says what fails, and how to run it again.

use std::time::Duration;

use anyhow::Result;
use oxmla::{Device, Error};
use oxmla_tests::case::Case;
use oxmla_tests::checks::Check;
use oxmla_tests::grid::Group;
use oxmla_tests::session::Session;
use oxmla_tests::suite::{Suite, Summary};
use oxmla_tests::watchdog::Watchdog;

fn run(work: impl FnOnce(&mut Suite<'_>)) -> Result<Summary> {
    let mut session = Session::new(Device::cpu(), 1000)?;
    let watchdog = Watchdog::new(Duration::from_secs(600));
    let mut suite = Suite::new(&mut session, &watchdog);
    work(&mut suite);
    Ok(suite.summary())
}

fn broken_device(_: &mut Session) -> Result<()> {
    let (call, code) = ("cuLaunchKernel", 700);
    let (name, detail) = ("CUDA_ERROR_ILLEGAL_ADDRESS".into(), String::new());
    Err(anyhow::Error::from(Error::Driver { call, code, name, detail }).context("while testing"))
}

#[test]
fn a_failure_names_its_case() -> Result<()> {
    // Two KV heads do not divide three query heads.
    let impossible = Case { h_q: 3, h_k: 2, ..Case::default() };
    let group = Group { name: "group".into(), cases: vec![impossible.clone(), Case::default()] };
    let summary = run(|suite| suite.group(&group))?;
    assert!(!summary.passed());
    assert_eq!((summary.cases(), summary.outcomes[0].failed), (2, 1));
    assert!(summary.outcomes[0].worst_out > 0.0);
    let [failure] = &summary.failures[..] else { panic!("{:?}", summary.failures) };
    assert_eq!((failure.group.as_str(), &failure.case), ("group", &impossible.to_string()));
    Ok(())
}

#[test]
fn a_broken_device_is_asked_nothing_more() -> Result<()> {
    let group = Group { name: "group".into(), cases: vec![Case::default()] };
    let summary = run(|suite| {
        suite.group(&group);
        suite.check(&Check { name: "broken", run: broken_device });
        suite.group(&group);
    })?;
    assert!(!summary.passed() && summary.stopped.is_some());
    assert_eq!((summary.outcomes.len(), summary.failures.len()), (2, 1));
    Ok(())
}

#[test]
fn nothing_run_is_nothing_passed() -> Result<()> {
    assert!(!run(|_| ())?.passed());
    let group = Group { name: "group".into(), cases: vec![Case::default()] };
    assert!(run(|suite| suite.group(&group))?.passed());
    Ok(())
}
