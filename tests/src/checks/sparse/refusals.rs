//! Calls that make no sense, each with one thing wrong.

use anyhow::{Result, ensure};
use oxmla::{
    DType, Device, Error, Selection, SparseAttention, SparsePlanner, SparsePlannerConfig,
    SparseStep, sparse_decode, sparse_prefill,
};

use crate::session::Session;

/// Shapes and types of a call.
#[derive(Clone, Copy)]
struct Call {
    q: (DType, [usize; 3]),
    cache: (DType, [usize; 4]),
    indices: (DType, [usize; 2]),
    lengths: (DType, [usize; 1]),
    extra: bool,
    sink: (DType, [usize; 1]),
    out: (DType, [usize; 3]),
    lse: (DType, [usize; 2]),
    max_logits: [usize; 2],
    softmax_scale: f32,
}

const GOOD: Call = Call {
    q: (DType::Bf16, [2, 3, 576]),
    cache: (DType::Bf16, [4, 5, 1, 576]),
    indices: (DType::I32, [2, 7]),
    lengths: (DType::I32, [2]),
    extra: false,
    sink: (DType::F32, [3]),
    out: (DType::Bf16, [2, 3, 512]),
    lse: (DType::F32, [2, 3]),
    max_logits: [2, 3],
    softmax_scale: 1.0,
};

/// A device with memory for a call, and a planner.
struct Bench<'a> {
    session: &'a Session,
    memory: oxmla::Buffer,
    results: [oxmla::Buffer; 3],
    planner: SparsePlanner,
}

impl Bench<'_> {
    fn prefill(&mut self, call: &Call) -> oxmla::Result<Option<Error>> {
        self.call(call, |bench, args, max_logits| {
            let stream = bench.session.stream().as_ref();
            sparse_prefill(bench.session.device(), stream, args, Some(max_logits))
        })
    }

    fn decode(&mut self, call: &Call, step: SparseStep) -> oxmla::Result<Option<Error>> {
        self.call(call, |bench, args, _| {
            let plan = bench.planner.plan(step)?;
            sparse_decode(&bench.planner, &plan, bench.session.stream().as_ref(), args)
        })
    }

    fn call(
        &mut self,
        call: &Call,
        run: impl FnOnce(&Self, SparseAttention<'_>, oxmla::TensorMut<'_>) -> oxmla::Result<()>,
    ) -> oxmla::Result<Option<Error>> {
        let device = self.session.device().clone();
        let replacement =
            || -> oxmla::Result<_> { Ok([device.alloc(0)?, device.alloc(0)?, device.alloc(0)?]) };
        let mut results = std::mem::replace(&mut self.results, replacement()?);
        let [out, lse, maxima] = &mut results;
        let memory = &self.memory;
        let selection = Selection {
            kv_cache: memory.view(call.cache.0, &call.cache.1)?,
            indices: memory.view(call.indices.0, &call.indices.1)?,
            lengths: Some(memory.view(call.lengths.0, &call.lengths.1)?),
        };
        let args = SparseAttention {
            q: memory.view(call.q.0, &call.q.1)?,
            selection,
            extra: call.extra.then_some(selection),
            sink: Some(memory.view(call.sink.0, &call.sink.1)?),
            out: out.view_mut(call.out.0, &call.out.1)?,
            lse: lse.view_mut(call.lse.0, &call.lse.1)?,
            softmax_scale: call.softmax_scale,
        };
        let outcome = run(self, args, maxima.view_mut(DType::F32, &call.max_logits)?);
        self.results = results;
        Ok(outcome.err())
    }
}

/// Each is refused by name, and a good call is not.
pub fn refused(session: &mut Session) -> Result<()> {
    let device = session.device().clone();
    let config = SparsePlannerConfig { h_q: 3, max_tokens: 2 };
    let result = || device.alloc_zeroed(1 << 16);
    let mut bench = Bench {
        session,
        memory: device.alloc_zeroed(1 << 20)?,
        results: [result()?, result()?, result()?],
        planner: SparsePlanner::new(&device, config)?,
    };
    tensors(&mut bench)?;
    plans(&mut bench)?;
    planners(&device)
}

fn tensors(bench: &mut Bench<'_>) -> Result<()> {
    let good = bench.prefill(&GOOD)?;
    ensure!(good.is_none(), "a good call is refused: {good:?}");
    let width = |got| Error::UnsupportedQueryWidth { got };
    let shape = |arg, axis, expected, got| Error::ShapeMismatch { arg, axis, expected, got };
    let dtype = |arg, expected, got| Error::DTypeMismatch { arg, expected, got };
    let nothing = "sparse prefill over an FP8 cache";
    let name = || bench.session.device().name().to_owned();
    let no_kernel = Error::NoKernel { operation: nothing, device: name() };
    let (bf16, f16, i32, f32) = (DType::Bf16, DType::F16, DType::I32, DType::F32);
    let cases = [
        (Call { q: (bf16, [2, 3, 64]), ..GOOD }, width(64)),
        (Call { q: (f16, [2, 3, 576]), ..GOOD }, dtype("q", bf16, f16)),
        (Call { q: (bf16, [2, 0, 576]), ..GOOD }, range("h_q", 1, 0)),
        (Call { q: (bf16, [2, 3, 512]), ..GOOD }, shape("kv_cache", "d_qk", 512, 576)),
        (Call { cache: (bf16, [4, 5, 2, 576]), ..GOOD }, shape("kv_cache", "h_k", 1, 2)),
        (Call { cache: (f16, [4, 5, 1, 576]), ..GOOD }, dtype("kv_cache", bf16, f16)),
        (
            Call { cache: (DType::U8, [4, 5, 1, 600]), ..GOOD },
            Error::UnknownFormat { arg: "kv_cache", got: 600 },
        ),
        (Call { cache: (DType::U8, [4, 5, 1, 656]), ..GOOD }, no_kernel),
        (Call { indices: (f32, [2, 7]), ..GOOD }, dtype("indices", i32, f32)),
        (Call { indices: (i32, [3, 7]), ..GOOD }, shape("indices", "tokens", 2, 3)),
        (Call { lengths: (i32, [3]), ..GOOD }, shape("lengths", "tokens", 2, 3)),
        (Call { lengths: (f32, [2]), ..GOOD }, dtype("lengths", i32, f32)),
        (Call { sink: (f32, [2]), ..GOOD }, shape("sink", "h_q", 3, 2)),
        (Call { sink: (bf16, [3]), ..GOOD }, dtype("sink", f32, bf16)),
        (Call { out: (bf16, [2, 3, 576]), ..GOOD }, shape("out", "d_v", 512, 576)),
        (Call { out: (f32, [2, 3, 512]), ..GOOD }, dtype("out", bf16, f32)),
        (Call { lse: (f32, [3, 2]), ..GOOD }, shape("lse", "tokens", 2, 3)),
        (Call { max_logits: [2, 4], ..GOOD }, shape("max_logits", "h_q", 3, 4)),
        (Call { softmax_scale: 0.0, ..GOOD }, Error::InvalidScale { got: 0.0 }),
        (Call { softmax_scale: f32::INFINITY, ..GOOD }, Error::InvalidScale { got: f32::INFINITY }),
    ];
    for (call, expected) in cases {
        let got = bench.prefill(&call)?;
        ensure!(got.as_ref() == Some(&expected), "{got:?} instead of {expected:?}");
    }
    Ok(())
}

fn range(arg: &'static str, min: i128, got: i128) -> Error {
    Error::OutOfRange { arg, min, max: 1 << 29, got }
}

/// Plans of another planner, and tensors of another step.
fn plans(bench: &mut Bench<'_>) -> Result<()> {
    let step = SparseStep { tokens: 2, topk: 7, extra_topk: 0 };
    let good = bench.decode(&GOOD, step)?;
    ensure!(good.is_none(), "a good step is refused: {good:?}");
    for (call, step, arg) in [
        (GOOD, SparseStep { tokens: 1, ..step }, "q"),
        (GOOD, SparseStep { topk: 8, ..step }, "indices"),
        (GOOD, SparseStep { extra_topk: 1, ..step }, "extra indices"),
        (Call { extra: true, ..GOOD }, step, "extra indices"),
    ] {
        let got = bench.decode(&call, step)?;
        let refused = matches!(got, Some(Error::ShapeMismatch { arg: a, .. }) if a == arg);
        ensure!(refused, "{got:?} instead of a mismatch of {arg}");
    }
    let device = bench.session.device();
    let other = SparsePlanner::new(device, *bench.planner.config())?;
    let plan = other.plan(step)?;
    let got = bench.call(&GOOD, |bench, args, _| {
        sparse_decode(&bench.planner, &plan, bench.session.stream().as_ref(), args)
    })?;
    ensure!(matches!(got, Some(Error::PlanOfAnotherPlanner { .. })), "{got:?}");
    Ok(())
}

/// Planners for nothing, and steps that are too large.
fn planners(device: &Device) -> Result<()> {
    for (h_q, max_tokens) in [(0, 1), (1, 0)] {
        let got = SparsePlanner::new(device, SparsePlannerConfig { h_q, max_tokens }).err();
        ensure!(matches!(got, Some(Error::OutOfRange { min: 1, got: 0, .. })), "{got:?}");
    }
    let planner = SparsePlanner::new(device, SparsePlannerConfig { h_q: 1, max_tokens: 4 })?;
    let step = SparseStep { tokens: 4, topk: 1, extra_topk: 0 };
    let got = planner.plan(SparseStep { tokens: 5, ..step }).err();
    ensure!(got == Some(Error::Capacity { quantity: "tokens", limit: 4, got: 5 }), "{got:?}");
    let got = planner.plan(SparseStep { topk: 1 << 30, ..step }).err();
    ensure!(got == Some(range("topk", 0, 1 << 30)), "{got:?}");
    Ok(())
}
