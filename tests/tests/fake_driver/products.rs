//! What matrix products ask of the driver, and what of the caller.

use anyhow::Result;
use oxmla::gemm::{Gemm, Workspace, gemm};
use oxmla::{DType, Device, Error, StreamRef, TensorRef};
use oxmla_tests::checks::products;

use crate::fake::Fake;
use crate::session;

#[test]
fn nothing_is_allocated() -> Result<()> {
    let _fake = Fake::driver();
    products::allocations(&mut session()?)
}

/// Which context is current, three tensor maps and one launch; for no tokens, nothing.
#[test]
fn each_call_is_one_launch() -> Result<()> {
    let fake = Fake::driver();
    let device = Device::cuda(0)?;
    let stream = device.stream()?;
    let workspace = Workspace::new(&device)?;
    let operand = device.alloc(1 << 20)?;
    let mut result = device.alloc(1 << 20)?;
    for tokens in [0, 1, 300] {
        let counts = || ["cuLaunchKernelEx", "cuTensorMapEncodeTiled"].map(|name| fake.calls(name));
        let (all, before) = (fake.all_calls(), counts());
        let args = Gemm {
            x: operand.view(DType::Bf16, &[tokens, 512])?,
            weight: operand.view(DType::Bf16, &[136, 512])?,
            y: result.view_mut(DType::Bf16, &[tokens, 136])?,
        };
        gemm(&device, stream.as_ref(), &workspace, args)?;
        let launched = u64::from(tokens > 0);
        let [launches, maps] = counts();
        assert_eq!([launches - before[0], maps - before[1]], [launched, 3 * launched], "{tokens}");
        assert_eq!(fake.all_calls() - all, 5 * launched, "{tokens} tokens");
    }
    Ok(())
}

/// What TMA cannot follow, and memory that is elsewhere.
#[test]
fn layouts_and_places_are_checked() -> Result<()> {
    let _fake = Fake::driver();
    let device = Device::cuda(0)?;
    let stream = device.stream()?;
    let workspace = Workspace::new(&device)?;
    let operand = device.alloc(1 << 20)?;
    let mut result = device.alloc(1 << 20)?;
    let mut refused = |x: TensorRef<'_>, outputs: usize, stream: StreamRef<'_>| -> Result<Error> {
        let args = Gemm {
            x,
            weight: operand.view(DType::Bf16, &[outputs, 64])?,
            y: result.view_mut(DType::Bf16, &[2, outputs])?,
        };
        Ok(gemm(&device, stream, &workspace, args).expect_err("it cannot be followed"))
    };
    let x = |offset: u64, strides: [usize; 2]| {
        let (address, location) = (operand.address() + offset, operand.location());
        // SAFETY: inside the buffer, for as long as it is borrowed.
        unsafe { TensorRef::from_raw(address, DType::Bf16, &[2, 64], &strides, location) }
    };
    let error = refused(x(2, [64, 1])?, 64, stream.as_ref())?;
    assert!(matches!(error, Error::Misaligned { arg: "x", required: 16, .. }), "{error}");
    let error = refused(x(0, [65, 1])?, 64, stream.as_ref())?;
    let (axis, got) = ("rows", 2 * 65);
    assert_eq!(error, Error::MisalignedStride { arg: "x", axis, required: 16, got });
    let error = refused(x(0, [64, 1])?, 12, stream.as_ref())?;
    assert!(matches!(error, Error::MisalignedStride { arg: "y", .. }), "{error}");
    let error = refused(x(0, [64, 1])?, 64, StreamRef::cpu())?;
    assert!(matches!(error, Error::LocationMismatch { arg: "stream", .. }), "{error}");
    Ok(())
}
