//! Decode in f64: the definition of attention, written down.

use std::ptr;

use rayon::prelude::*;

use super::fp8;
use super::half_float::HalfFloat;
use super::problem::Problem;
use crate::cache::CacheFormat;
use crate::plan::Mask;
use crate::tensor::TensorRef;

/// One query row.
struct Row {
    request: usize,
    token: usize,
    head: usize,
}

/// Attends with every query row on its own.
pub fn decode<T: HalfFloat>(problem: &Problem<'_>) {
    let h_q = problem.dims.h_q() as usize;
    (0..problem.batch * problem.s_q * h_q).into_par_iter().for_each(|index| {
        let (request, token) = (index / h_q / problem.s_q, index / h_q % problem.s_q);
        let row = Row { request, token, head: index % h_q };
        let (out, lse) = attend::<T>(problem, &row);
        store::<T>(problem, &row, &out, lse);
    });
}

/// `softmax(scale · q · kᵀ) · v` over the tokens that the row sees, and the logarithm of the sum of
/// exponentials.
fn attend<T: HalfFloat>(problem: &Problem<'_>, row: &Row) -> (Vec<f64>, f64) {
    let (d_qk, d_v) = (problem.dims.d_qk() as usize, problem.dims.d_v() as usize);
    let ids = problem.tables.ids(row.request);
    let kv_head = row.head / problem.dims.group_heads() as usize;
    let cached = |position: usize, d| {
        let block = ids[position / problem.block_size] as usize;
        // SAFETY: `d` is at most 576, the width of the cache's rows.
        unsafe { cached_values::<T>(problem, [block, position % problem.block_size, kv_head], d) }
    };
    // SAFETY: the width of the queries.
    let q = unsafe { values::<T>(&problem.args.q, [row.request, row.token, row.head], d_qk) };
    let q: Vec<f64> = q.collect();

    let scale = f64::from(problem.args.softmax_scale);
    let score = |position| q.iter().zip(cached(position, d_qk)).map(|(q, k)| q * k).sum::<f64>();
    let capped = |score: f64| match problem.args.softcap.map(f64::from) {
        Some(cap) => cap * (score / cap).tanh(),
        None => score,
    };
    let seen: Vec<usize> = seen(problem, row).collect();
    let scores: Vec<f64> = seen.iter().map(|&token| capped(scale * score(token))).collect();
    if scores.is_empty() {
        return (vec![0.0; d_v], f64::NEG_INFINITY);
    }
    let maximum = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|score| (score - maximum).exp()).sum();
    let mut out = vec![0.0; d_v];
    for (&position, score) in seen.iter().zip(&scores) {
        let probability = (score - maximum).exp() / sum;
        for (out, v) in out.iter_mut().zip(cached(position, d_v)) {
            *out += probability * v;
        }
    }
    (out, maximum + sum.ln())
}

/// Cached tokens that a row sees: all but those that belong to later query tokens, and those that are too old.
fn seen(problem: &Problem<'_>, row: &Row) -> impl Iterator<Item = usize> {
    let length = i64::from(problem.lengths[row.request]);
    let own = length - problem.s_q as i64 + row.token as i64;
    let mask = problem.mask;
    let sees = move |p: i64| match mask {
        Mask::None => true,
        Mask::Causal => p <= own,
        Mask::Window { tokens } => p > own - i64::from(tokens),
        Mask::CausalWindow { tokens } => p <= own && p > own - i64::from(tokens),
    };
    (0..length).filter(move |&p| sees(p)).map(|p| p as usize)
}

fn store<T: HalfFloat>(problem: &Problem<'_>, row: &Row, out: &[f64], lse: f64) {
    let Row { request, token, head } = *row;
    for (d, &value) in out.iter().enumerate() {
        let at = problem.args.out.address_at([request, token, head, d]);
        // SAFETY: an element of the output, which no other row has.
        unsafe { ptr::with_exposed_provenance_mut::<T>(at).write(T::from_f64(value)) };
    }
    let at = problem.args.lse.address_at([request, head, token]);
    // SAFETY: an element of the LSE, which no other row has.
    unsafe { ptr::with_exposed_provenance_mut::<f32>(at).write(lse as f32) };
}

/// The first `len` values of a row of the cache.
///
/// # Safety
/// `len` is 576 at most; `index` is block, token and KV head of the cache.
unsafe fn cached_values<T: HalfFloat>(
    problem: &Problem<'_>,
    index: [usize; 3],
    len: usize,
) -> Vec<f64> {
    let kv_cache = &problem.args.kv_cache;
    match problem.format {
        // SAFETY: the caller's promise.
        CacheFormat::Elements(_) => unsafe { values::<T>(kv_cache, index, len) }.collect(),
        CacheFormat::Fp8(format) => {
            // SAFETY: the caller's promise.
            let row = unsafe { fp8::row::<T>(format, kv_cache, index[0], index[1]) };
            row.take(len).map(HalfFloat::to_f64).collect()
        }
    }
}

/// The first `len` values of a row of a tensor.
///
/// # Safety
/// `tensor` holds aligned `T`s on the host; its rows have at least `len` elements; `index` is inside its other
/// axes.
unsafe fn values<T: HalfFloat>(
    tensor: &TensorRef<'_>,
    index: [usize; 3],
    len: usize,
) -> impl Iterator<Item = f64> {
    let start = ptr::with_exposed_provenance::<T>(tensor.address_at(index));
    let stride = tensor.strides()[3];
    // SAFETY: an element of the row.
    (0..len).map(move |d| unsafe { start.add(d * stride).read() }.to_f64())
}
