//! What only a GPU has: graphs, launches that cost the host nothing, and sizes that only it is fast enough for.

use allocation_counter::measure;
use anyhow::{Context, Result, ensure};
use oxmla::backend::cuda::graph::Graph;
use oxmla::{DType, Device, sparse_decode, sparse_prefill};

use super::inputs::{Inputs, ListShape, Outputs, Shape, Way};
use super::{check, compare};
use crate::session::Session;

const DECODE: Shape = Shape {
    tokens: 6,
    h_q: 128,
    d_qk: 576,
    list: ListShape { topk: 2048, blocks: 200, block_size: 64, nothing: 5, has_lengths: true },
    extra: None,
    has_sink: false,
    has_gaps: false,
    has_fp8: true,
};

/// A graph of a decode gives the bits of the call.
pub fn replayed(session: &mut Session) -> Result<()> {
    let (device, stream) = (session.device().clone(), session.stream());
    let Device::Cuda(gpu) = &device else { anyhow::bail!("{} captures no graphs", device.name()) };
    let inputs = Inputs::new(&device, session.pool(DType::Bf16), DECODE, 70)?;
    let planner = inputs.planner(&device)?;
    let plan = planner.plan(inputs.step())?;
    for way in [Way::Decode, Way::DecodeFp8] {
        let expected = inputs.attend(&device, stream, way)?;
        let mut outputs = Outputs::new(&device, &DECODE)?;
        let args = inputs.args(way, &mut outputs.out, &mut outputs.lse)?;
        let graph = Graph::capture(gpu, stream.as_ref(), || {
            sparse_decode(&planner, &plan, stream.as_ref(), args)
        })?;
        ensure!(outputs.out.is_untouched()?, "capturing did the work");
        for _ in 0..3 {
            outputs.out.refill()?;
            outputs.lse.refill()?;
            // SAFETY: everything that the capture named is still there, and nobody uses it.
            unsafe { graph.launch(stream.as_ref())? };
            stream.synchronize()?;
            ensure!(outputs.results()?.same_bits(&expected), "{way:?}: the graph gave other bits");
        }
    }
    Ok(())
}

/// Nothing is allocated on the host.
pub fn allocations(session: &mut Session) -> Result<()> {
    let (device, stream) = (session.device().clone(), session.stream());
    let shape = Shape { tokens: 2, ..DECODE };
    let inputs = Inputs::new(&device, session.pool(DType::Bf16), shape, 71)?;
    let planner = inputs.planner(&device)?;
    let plan = planner.plan(inputs.step())?;
    let Outputs { mut out, mut lse, .. } = Outputs::new(&device, &shape)?;
    let mut calls = || -> oxmla::Result<()> {
        for way in [Way::Decode, Way::DecodeFp8] {
            let args = inputs.args(way, &mut out, &mut lse)?;
            sparse_decode(&planner, &plan, stream.as_ref(), args)?;
        }
        let args = inputs.args(Way::Prefill, &mut out, &mut lse)?;
        sparse_prefill(&device, stream.as_ref(), args, None)
    };
    calls()?;
    let mut outcome = Ok(());
    let counted = measure(|| outcome = (0..20).try_for_each(|_| calls()));
    outcome?;
    stream.synchronize()?;
    let count = counted.count_total;
    ensure!(count == 0, "60 calls made {count} allocations");
    Ok(())
}

/// Lists of DeepSeek-V3.2's length over many tokens, whose rows are beyond 4 GB too: against the CPU in f32.
pub fn model_sizes(session: &mut Session) -> Result<()> {
    let list = ListShape { topk: 2048, blocks: 60_000, block_size: 64, ..DECODE.list };
    let shapes = [
        Shape { tokens: 64, list, ..DECODE },
        Shape { tokens: 300, h_q: 64, d_qk: 512, list: DECODE.list, ..DECODE },
        Shape { tokens: 2, h_q: 16, list: ListShape { topk: 16_384, ..DECODE.list }, ..DECODE },
    ];
    let (device, pool) = (session.device(), session.pool(DType::Bf16));
    for (seed, shape) in shapes.into_iter().enumerate() {
        let cpu = Device::cpu();
        let reference = Inputs::new(&cpu, pool, shape, seed as u64)?;
        let expected = reference.attend(&cpu, &cpu.stream()?, Way::Prefill)?;
        let inputs = Inputs::new(device, pool, shape, seed as u64)?;
        for way in [Way::Decode, Way::DecodeFp8, Way::Prefill] {
            let results = inputs.attend(device, session.stream(), way)?;
            compare(&shape, way, &results, &expected)
                .with_context(|| format!("{way:?} of {shape:?}"))?;
        }
    }
    check(session, Shape { tokens: 40, h_q: 9, ..DECODE }, 3)
}
