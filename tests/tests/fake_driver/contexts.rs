//! Which context is current on the thread that calls.

use std::ptr::{dangling_mut, null_mut};

use anyhow::Result;
use oxmla::Device;

use crate::fake::Fake;
use crate::scenario::{Request, Scenario};

/// A thread without a context gets that of the GPU, and keeps it. One with another, of another GPU or another
/// library, gets it back after each call, whether that did its work or not.
#[test]
fn the_context_of_the_thread_stays() -> Result<()> {
    let fake = Fake::driver();
    let mut request = Request::new()?;
    let device = Device::cuda(0)?;
    fake.set_current(null_mut());
    let mut scenario = Scenario::new(&device)?;
    let own = fake.current();
    assert!(!own.is_null());

    let another = dangling_mut::<u64>().cast();
    fake.set_current(another);
    let plan = scenario.plan(&request.grow()?)?;
    assert_eq!(fake.current(), another);
    scenario.decode(&plan)?;
    assert_eq!(fake.current(), another);
    fake.fail("cuLaunchKernelEx", 0, 701);
    assert!(scenario.decode(&plan).is_err());
    assert_eq!(fake.current(), another);
    drop(scenario);
    assert_eq!(fake.current(), another);
    fake.set_current(own);
    Ok(())
}
