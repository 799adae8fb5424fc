//! Sparse attention.

mod fp8;
#[cfg(feature = "gpu")]
pub mod gpu;
mod inputs;
mod refusals;

use anyhow::{Context, Result, ensure};
use oxmla::{DType, Device};
pub use refusals::refused;

use self::inputs::{Inputs, ListShape, Results, Shape, Way};
use crate::compare::{Comparison, OUT, Tolerance};
use crate::element::widen;
use crate::layout::D_V;
use crate::session::Session;

/// Of LSE and of largest scores.
const LOGITS: Tolerance = Tolerance { abs: 1e-6, rel: 2.01 / 65_536.0, cosine: f64::INFINITY };

/// Few and many heads, lists of every length, blocks of every size, gaps everywhere; each twice, with the same bits.
pub fn attended(session: &mut Session) -> Result<()> {
    let list = Shape::default().list;
    let of = |topk| ListShape { topk, ..list };
    let shapes = [
        Shape::default(),
        Shape { h_q: 1, list: of(1), has_gaps: true, ..Shape::default() },
        Shape { h_q: 64, d_qk: 512, list: of(63), has_sink: true, ..Shape::default() },
        Shape { h_q: 65, list: ListShape { nothing: 0, ..of(129) }, ..Shape::default() },
        Shape { h_q: 128, d_qk: 512, list: of(320), has_gaps: true, ..Shape::default() },
        Shape { tokens: 7, list: ListShape { has_lengths: true, ..of(200) }, ..Shape::default() },
        Shape { list: ListShape { nothing: 100, ..of(70) }, has_sink: true, ..Shape::default() },
        Shape { list: of(0), has_sink: true, ..Shape::default() },
        Shape { tokens: 0, ..Shape::default() },
        Shape { list: ListShape { blocks: 300, block_size: 2, ..of(64) }, ..Shape::default() },
        Shape { list: ListShape { blocks: 1, block_size: 576, ..of(64) }, ..Shape::default() },
    ];
    shapes.into_iter().enumerate().try_for_each(|(seed, shape)| check(session, shape, seed as u64))
}

/// A second cache, with another block size, and lists of its own.
pub fn second_caches(session: &mut Session) -> Result<()> {
    let list = Shape::default().list;
    let extra = ListShape { topk: 70, blocks: 40, block_size: 3, nothing: 20, has_lengths: true };
    let shapes = [
        Shape { extra: Some(ListShape { has_lengths: false, ..extra }), ..Shape::default() },
        Shape {
            tokens: 8,
            list: ListShape { has_lengths: true, ..list },
            extra: Some(extra),
            has_sink: true,
            has_gaps: true,
            ..Shape::default()
        },
        Shape {
            d_qk: 512,
            list: ListShape { topk: 0, ..list },
            extra: Some(extra),
            ..Shape::default()
        },
    ];
    shapes.into_iter().enumerate().try_for_each(|(seed, shape)| check(session, shape, seed as u64))
}

/// FP8 caches of both formats, with blocks of every size.
pub fn over_fp8(session: &mut Session) -> Result<()> {
    let list = Shape::default().list;
    let extra = ListShape { topk: 70, blocks: 40, block_size: 3, nothing: 20, has_lengths: true };
    let shape = Shape { has_fp8: true, ..Shape::default() };
    let shapes = [
        Shape { h_q: 65, list: ListShape { topk: 129, ..list }, has_sink: true, ..shape },
        Shape { h_q: 1, list: ListShape { topk: 1, ..list }, ..shape },
        Shape {
            tokens: 8,
            list: ListShape { has_lengths: true, block_size: 64, ..list },
            extra: Some(extra),
            has_gaps: true,
            ..shape
        },
        Shape { list: ListShape { topk: 320, blocks: 300, block_size: 2, ..list }, ..shape },
    ];
    let both = shapes.into_iter().flat_map(|shape| [shape, Shape { d_qk: 512, ..shape }]);
    both.enumerate().try_for_each(|(seed, shape)| check(session, shape, seed as u64))
}

/// All ways give what the oracle does over elements, and the same bits again.
fn check(session: &Session, shape: Shape, seed: u64) -> Result<()> {
    let (device, pool) = (session.device(), session.pool(DType::Bf16));
    let oracle = Device::oracle();
    let reference = Inputs::new(&oracle, pool, shape, seed)?;
    let expected = reference.attend(&oracle, &oracle.stream()?, Way::Prefill)?;
    let inputs = Inputs::new(device, pool, shape, seed)?;
    let fp8 = shape.has_fp8.then_some(Way::DecodeFp8);
    for way in [Way::Decode, Way::Prefill].into_iter().chain(fp8) {
        let results = inputs.attend(device, session.stream(), way)?;
        compare(&shape, way, &results, &expected)
            .with_context(|| format!("{way:?} of {shape:?}"))?;
        let again = inputs.attend(device, session.stream(), way)?;
        ensure!(results.same_bits(&again), "{way:?} of {shape:?}: the second run gave other bits");
    }
    Ok(())
}

fn compare(shape: &Shape, way: Way, results: &Results, expected: &Results) -> Result<()> {
    let scale = (shape.d_qk as f64).sqrt().recip();
    let lse = match way {
        Way::Decode | Way::Prefill => LOGITS,
        Way::DecodeFp8 => LOGITS.over_fp8(DType::Bf16, shape.d_qk, scale),
    };
    let [mut out, mut lse, mut largest] = [OUT, lse, LOGITS].map(Comparison::new);
    for (token, head) in
        (0..shape.tokens).flat_map(|token| (0..shape.h_q).map(move |head| (token, head)))
    {
        let place = || format!("token {token}, head {head}");
        let values = |results: &Results| {
            let mut values = [0.0; D_V];
            widen(DType::Bf16, results.out.row([token, head, 0]), &mut values);
            values
        };
        for (a, b) in values(results).into_iter().zip(values(expected)) {
            out.add(a.into(), b.into(), place);
        }
        let at = [token, head];
        lse.add(results.lse.at(at).into(), expected.lse.at(at).into(), place);
        if way == Way::Prefill {
            largest.add(results.max_logits.at(at).into(), expected.max_logits.at(at).into(), place);
        }
    }
    for (name, comparison) in [("out", out), ("lse", lse), ("max_logits", largest)] {
        comparison.verdict().map_err(|verdict| anyhow::anyhow!("{name}: {verdict}"))?;
    }
    Ok(())
}
