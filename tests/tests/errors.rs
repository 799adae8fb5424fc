//! Calls that the CPU backend must refuse, and what a machine without a GPU says.

use oxmla::{Device, Error};
use oxmla_tests::checks::refusals;
use oxmla_tests::session::Session;

fn session() -> anyhow::Result<Session> {
    Session::new(Device::cpu(), usize::MAX)
}

#[test]
fn tensors_that_are_not_those_of_the_plan() -> anyhow::Result<()> {
    refusals::tensors(&mut session()?)
}

#[test]
fn steps_that_do_not_fit() -> anyhow::Result<()> {
    refusals::steps(&mut session()?)
}

#[test]
fn plans_that_are_not_the_latest() -> anyhow::Result<()> {
    refusals::plans(&mut session()?)
}

/// A machine without a driver says so as a value. With one, there is still no GPU of this number.
#[test]
fn a_gpu_that_is_not_there() {
    match Device::cuda(1000) {
        Err(Error::NoDriver { reason }) => assert!(!reason.is_empty()),
        Err(Error::OutOfRange { arg, got, .. }) => assert_eq!((arg, got), ("ordinal", 1000)),
        other => panic!("{other:?}"),
    }
}

/// Whatever the machine has, there is a device, and the list says why another is not usable.
#[test]
fn there_is_always_a_device() -> anyhow::Result<()> {
    Device::best().alloc(1)?;
    let all = Device::all();
    assert!(all.len() >= 2 && all.last().is_some_and(|cpu| cpu.device.is_ok()));
    for candidate in all {
        if let Err(error) = candidate.device {
            assert!(!error.to_string().is_empty(), "{}", candidate.label);
        }
    }
    Ok(())
}
