//! What sparse attention asks of the host and of the driver.

use anyhow::Result;
use oxmla::{
    DType, Device, Error, Selection, SparseAttention, SparsePlanner, SparsePlannerConfig,
    SparseStep, sparse_decode, sparse_prefill,
};
use oxmla_tests::checks::sparse;

use crate::fake::Fake;
use crate::session;

#[test]
fn nothing_is_allocated() -> Result<()> {
    let _fake = Fake::driver();
    sparse::gpu::allocations(&mut session()?)
}

#[test]
fn what_makes_no_sense_is_refused() -> Result<()> {
    let _fake = Fake::driver();
    sparse::refused(&mut session()?)
}

/// A call is one tensor map and one launch, of the kernel for its way and its width.
#[test]
fn the_width_chooses_the_kernel() -> Result<()> {
    let fake = Fake::driver();
    for (d_qk, tokens) in [(576, 2), (512, 2), (576, 0)] {
        for is_prefill in [true, false] {
            let count = || {
                ["cuTensorMapEncodeTiled", "cuLaunchKernelEx"].map(|function| fake.calls(function))
            };
            let before = count();
            let cache = (DType::Bf16, [3, 50, 1, d_qk]);
            assert_eq!(attend(session()?.device(), d_qk, tokens, cache, is_prefill)?, None);
            let calls: Vec<u64> =
                count().iter().zip(before).map(|(now, then)| now - then).collect();
            if tokens == 0 {
                assert_eq!(calls, [0, 0]);
                continue;
            }
            assert_eq!(calls, [1, 1]);
            let way = if is_prefill { "prefill" } else { "decode" };
            assert_eq!(fake.launched(), format!("sparse_{way}_{d_qk}_bf16"));
        }
    }
    Ok(())
}

/// An FP8 cache has kernels of its own for decode, and none for prefill. Its blocks must be aligned, not its tokens.
#[test]
fn fp8_chooses_the_kernel() -> Result<()> {
    let fake = Fake::driver();
    let session = session()?;
    let over =
        |d_qk, shape, is_prefill| attend(session.device(), d_qk, 2, (DType::U8, shape), is_prefill);
    for (d_qk, bytes) in [(576, 656), (512, 584)] {
        assert_eq!(over(d_qk, [3, 50, 1, bytes], false)?, None);
        assert_eq!(fake.launched(), format!("sparse_fp8_{bytes}_decode_bf16"));
        let error = over(d_qk, [3, 50, 1, bytes], true)?;
        let (operation, device) = ("sparse prefill over an FP8 cache", session.device().name());
        assert_eq!(error, Some(Error::NoKernel { operation, device: device.to_owned() }));
    }
    let (arg, axis, required, got) = ("kv_cache", "blocks", 16, 51 * 584);
    let error = over(512, [3, 51, 1, 584], false)?;
    assert_eq!(error, Some(Error::MisalignedStride { arg, axis, required, got }));
    Ok(())
}

/// What is wrong with a call, over a cache of that type and shape.
fn attend(
    device: &Device,
    d_qk: usize,
    tokens: usize,
    (dtype, shape): (DType, [usize; 4]),
    is_prefill: bool,
) -> Result<Option<Error>> {
    let (memory, bf16) = (device.alloc(1 << 20)?, DType::Bf16);
    let (mut out, mut lse) = (device.alloc(1 << 16)?, device.alloc(1 << 16)?);
    let args = SparseAttention {
        q: memory.view(bf16, &[tokens, 16, d_qk])?,
        selection: Selection {
            kv_cache: memory.view(dtype, &shape)?,
            indices: memory.view(DType::I32, &[tokens, 100])?,
            lengths: None,
        },
        extra: None,
        sink: None,
        out: out.view_mut(bf16, &[tokens, 16, 512])?,
        lse: lse.view_mut(DType::F32, &[tokens, 16])?,
        softmax_scale: 1.0,
    };
    let stream = device.stream()?;
    let outcome = if is_prefill {
        sparse_prefill(device, stream.as_ref(), args, None)
    } else {
        let planner = SparsePlanner::new(device, SparsePlannerConfig { h_q: 16, max_tokens: 2 })?;
        let plan = planner.plan(SparseStep { tokens, topk: 100, extra_topk: 0 })?;
        sparse_decode(&planner, &plan, stream.as_ref(), args)
    };
    Ok(outcome.err())
}
