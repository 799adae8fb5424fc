//! Opening a GPU that is not ready yet.

use anyhow::{Result, ensure};
use oxmla::backend::cuda::CudaDevice;
use oxmla::{Device, Error};

use crate::fake::Fake;

/// The calls that opening makes, each failing for once. No other test opens this GPU.
#[test]
fn a_gpu_that_cannot_be_opened_can_be_later() -> Result<()> {
    const NOT_PERMITTED: i32 = 800;
    let fake = Fake::driver();
    // Initialises the driver, which happens once.
    CudaDevice::count()?;
    let (live, loads) = (fake.live(), fake.calls("cuModuleLoadDataEx"));
    for (call, spared) in [
        ("cuDeviceGetCount", 0),
        ("cuDeviceGet", 0),
        ("cuDriverGetVersion", 0),
        ("cuDeviceGetName", 0),
        ("cuDeviceTotalMem_v2", 0),
        ("cuDeviceGetAttribute", 0),
        ("cuDeviceGetAttribute", 5),
        ("cuDevicePrimaryCtxRetain", 0),
        ("cuDevicePrimaryCtxRetain", 1),
        ("cuCtxGetCurrent", 0),
        ("cuStreamCreate", 0),
    ] {
        fake.fail(call, spared, NOT_PERMITTED);
        let outcome = Device::cuda(1);
        let refused = matches!(outcome, Err(Error::Driver { code: NOT_PERMITTED, .. }));
        ensure!(refused, "call {spared} of {call} failed, and it was said: {outcome:?}");
        ensure!(live == fake.live(), "call {spared} of {call} failed, and something leaks");
    }
    Device::cuda(1)?;
    ensure!(fake.calls("cuModuleLoadDataEx") == loads, "opening has loaded kernels");
    Ok(())
}
