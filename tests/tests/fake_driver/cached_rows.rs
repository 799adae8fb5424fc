//! What moving cached rows asks of the driver, and what of the caller.

use anyhow::Result;
use half::bf16;
use oxmla::cache::{CopyBlocks, GatherRows, copy_blocks, gather};
use oxmla::{DType, Device, Error, Family, StreamRef, TensorRef};
use oxmla_tests::checks::cached_rows;

use crate::fake::Fake;
use crate::session;

#[test]
fn nothing_is_allocated() -> Result<()> {
    let _fake = Fake::driver();
    cached_rows::allocations(&mut session()?)
}

/// Which context is current, and one launch; for no rows, nothing.
#[test]
fn each_call_is_one_launch() -> Result<()> {
    let fake = Fake::driver();
    let device = Device::cuda(0)?;
    let stream = device.stream()?;
    device.load(Family::Rows)?;
    let mut cache = device.alloc(2 * 64 * 576 * 2)?;
    let indices = device.alloc(1024)?;
    for copies in [0, 1, 100] {
        let (all, launches) = (fake.all_calls(), fake.calls("cuLaunchKernelEx"));
        let args = CopyBlocks {
            pairs: indices.view(DType::I32, &[copies, 2])?,
            kv_cache: cache.view_mut(DType::Bf16, &[2, 64, 1, 576])?,
        };
        copy_blocks(&device, stream.as_ref(), args)?;
        let launched = u64::from(copies > 0);
        assert_eq!(fake.calls("cuLaunchKernelEx") - launches, launched, "{copies} copies");
        assert_eq!(fake.all_calls() - all, 2 * launched, "{copies} copies");
    }
    Ok(())
}

/// What the loads of the kernels cannot follow, and memory that is elsewhere.
#[test]
fn layouts_and_places_are_checked() -> Result<()> {
    let _fake = Fake::driver();
    let device = Device::cuda(0)?;
    let stream = device.stream()?;
    let cache = device.alloc(3 * 64 * 576 * 2)?;
    let indices = device.alloc(1024)?;
    let mut rows = device.alloc(2 * 576 * 2)?;
    let mut refused = |kv_cache: TensorRef<'_>, stream: StreamRef<'_>| -> Result<Error> {
        let args = GatherRows {
            kv_cache,
            block_table: indices.view(DType::I32, &[1, 1])?,
            offsets: indices.view(DType::I32, &[2])?,
            out: rows.view_mut(DType::Bf16, &[2, 576])?,
        };
        Ok(gather(&device, stream, args).expect_err("it cannot be followed"))
    };
    let view = |offset: u64, strides: [usize; 4]| {
        let (address, shape) = (cache.address() + offset, [2, 64, 1, 576]);
        // SAFETY: inside the buffer, for as long as it is borrowed.
        unsafe { TensorRef::from_raw(address, DType::Bf16, &shape, &strides, cache.location()) }
    };
    let packed = [64 * 576, 576, 576, 1];
    let error = refused(view(2, packed)?, stream.as_ref())?;
    assert!(matches!(error, Error::Misaligned { arg: "kv_cache", required: 16, .. }), "{error}");
    let error = refused(view(0, [64 * 577, 577, 577, 1])?, stream.as_ref())?;
    let (axis, got) = ("block_size", 2 * 577);
    assert_eq!(error, Error::MisalignedStride { arg: "kv_cache", axis, required: 16, got });
    let error = refused(view(0, packed)?, StreamRef::cpu())?;
    assert!(matches!(error, Error::LocationMismatch { arg: "stream", .. }), "{error}");
    let host = vec![bf16::ONE; 64 * 576];
    let error = refused(TensorRef::from_slice(&host, &[1, 64, 1, 576])?, stream.as_ref())?;
    assert!(matches!(error, Error::LocationMismatch { arg: "kv_cache", .. }), "{error}");
    Ok(())
}

/// Of an FP8 cache, blocks must be aligned; tokens of 584 bytes need not be.
#[test]
fn blocks_of_fp8_are_aligned() -> Result<()> {
    let fake = Fake::driver();
    let device = Device::cuda(0)?;
    let stream = device.stream()?;
    let cache = device.alloc(3 * 64 * 656)?;
    let indices = device.alloc(1024)?;
    let mut rows = device.alloc(2 * 512 * 2)?;
    let mut gathered = |offset: u64, gap: usize| -> Result<oxmla::Result<()>> {
        let (address, shape) = (cache.address() + offset, [2, 64, 1, 584]);
        let strides = [64 * 584 + gap, 584, 584, 1];
        // SAFETY: inside the buffer, for as long as it is borrowed.
        let kv_cache =
            unsafe { TensorRef::from_raw(address, DType::U8, &shape, &strides, cache.location())? };
        let args = GatherRows {
            kv_cache,
            block_table: indices.view(DType::I32, &[1, 1])?,
            offsets: indices.view(DType::I32, &[2])?,
            out: rows.view_mut(DType::F16, &[2, 512])?,
        };
        Ok(gather(&device, stream.as_ref(), args))
    };
    let error = gathered(8, 0)?.expect_err("the address is not a multiple of 16");
    assert!(matches!(error, Error::Misaligned { arg: "kv_cache", required: 16, .. }), "{error}");
    let error = gathered(0, 8)?.expect_err("the stride is not a multiple of 16");
    let (axis, got) = ("blocks", 64 * 584 + 8);
    assert_eq!(error, Error::MisalignedStride { arg: "kv_cache", axis, required: 16, got });
    let launches = fake.calls("cuLaunchKernelEx");
    gathered(0, 64)??;
    assert_eq!(fake.calls("cuLaunchKernelEx") - launches, 1);
    Ok(())
}
