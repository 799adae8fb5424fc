//! Decode in f32: matrix products a tile of tokens at a time, with an online softmax.
//!
//! The unit of work is the heads of one query token that share a KV head, up to 64 of them. They all see
//! the same tokens, so that no mask is needed and no row that a token does not see is ever read.

use std::ops::Range;
use std::ptr;

use rayon::prelude::*;

use super::fp8;
use super::half_float::HalfFloat;
use super::matrix::{Matrix, multiply};
use super::problem::Problem;
use super::softmax::OnlineSoftmax;
use crate::cache::CacheFormat;
use crate::tensor::{TensorMut, TensorRef};

/// Heads of a unit: enough for matrix products to run at full speed, few enough that a step of one request
/// with 128 heads keeps more than one thread busy.
const HEADS: usize = 64;
/// Tokens that are multiplied at once: what a block has of 64 from a multiple of 64 on.
const TOKENS: usize = 64;
const D_QK: usize = 576;
const D_V: usize = 512;

/// The heads of one query token that are computed together.
struct Unit {
    request: usize,
    token: usize,
    kv_head: usize,
    heads: Range<usize>,
}

impl Unit {
    /// Units that a KV head's query heads are cut into.
    fn chunks(problem: &Problem<'_>) -> usize {
        (problem.dims.group_heads() as usize).div_ceil(HEADS)
    }

    fn count(problem: &Problem<'_>) -> usize {
        problem.batch * problem.s_q * problem.dims.h_k() as usize * Self::chunks(problem)
    }

    fn new(problem: &Problem<'_>, index: usize) -> Self {
        let (index, chunk) = (index / Self::chunks(problem), index % Self::chunks(problem));
        let h_k = problem.dims.h_k() as usize;
        let group = problem.dims.group_heads() as usize;
        let (index, kv_head) = (index / h_k, index % h_k);
        let first = kv_head * group + chunk * HEADS;
        let heads = first..(first + HEADS).min((kv_head + 1) * group);
        Self { request: index / problem.s_q, token: index % problem.s_q, kv_head, heads }
    }

    /// Cached tokens that the unit sees.
    fn visible(&self, problem: &Problem<'_>) -> Range<usize> {
        let length = problem.lengths[self.request] as usize;
        let later = problem.s_q - 1 - self.token;
        let window = problem.mask.window();
        let first = window.map_or(0, |window| length.saturating_sub(later + window as usize));
        let hidden = if problem.mask.is_causal() { later } else { 0 };
        first..length.saturating_sub(hidden)
    }
}

/// Working memory of a thread.
struct Scratch {
    /// `[HEADS, 576]`.
    q: Vec<f32>,
    /// `[TOKENS, 576]`; the first 512 columns are also V.
    k: Vec<f32>,
    /// `[HEADS, TOKENS]`: scores, then probabilities.
    p: Vec<f32>,
    /// `[HEADS, 512]`.
    o: Vec<f32>,
}

impl Scratch {
    fn new() -> Self {
        Self {
            q: vec![0.0; HEADS * D_QK],
            k: vec![0.0; TOKENS * D_QK],
            p: vec![0.0; HEADS * TOKENS],
            o: vec![0.0; HEADS * D_V],
        }
    }
}

/// Attends with all units, on all threads.
pub fn decode<T: HalfFloat>(problem: &Problem<'_>) {
    (0..Unit::count(problem)).into_par_iter().for_each_init(Scratch::new, |scratch, index| {
        let unit = Unit::new(problem, index);
        let softmax = attend::<T>(problem, &unit, scratch);
        store::<T>(problem, &unit, &softmax, &mut scratch.o);
    });
}

/// Leaves the output of the unit, not yet normalised, in `scratch.o`.
fn attend<T: HalfFloat>(
    problem: &Problem<'_>,
    unit: &Unit,
    scratch: &mut Scratch,
) -> OnlineSoftmax {
    let Scratch { q, k, p, o } = scratch;
    let rows = unit.heads.len();
    for (row, head) in q.chunks_exact_mut(D_QK).zip(unit.heads.clone()) {
        // SAFETY: a row of the queries.
        unsafe { load::<T>(&problem.args.q, [unit.request, unit.token, head], row) };
    }
    let q = Matrix::row_major(q, rows, D_QK, D_QK);
    let (scale, softcap) = (problem.args.softmax_scale, problem.args.softcap);
    let mut softmax = OnlineSoftmax::new(rows, softcap.unwrap_or(scale));
    o[..rows * D_V].fill(0.0);
    let (visible, tile) = (unit.visible(problem), TOKENS.min(problem.block_size));
    let mut position = visible.start;
    while position < visible.end {
        let (block, first) = (position / problem.block_size, position % problem.block_size);
        let block = problem.tables.ids(unit.request)[block];
        let tokens = (visible.end - position).min(tile - first % tile);
        for (offset, row) in (first..).zip(k.chunks_exact_mut(D_QK).take(tokens)) {
            // SAFETY: a row of the cache.
            unsafe { load_cached::<T>(problem, [block as usize, offset, unit.kv_head], row) };
        }
        multiply(p, q, Matrix::row_major(k, tokens, D_QK, D_QK).transposed(), false);
        if let Some(cap) = softcap {
            p[..rows * tokens].iter_mut().for_each(|score| *score = (*score * scale / cap).tanh());
        }
        softmax.step(&mut p[..rows * tokens], &mut o[..rows * D_V]);
        let probabilities = Matrix::row_major(p, rows, tokens, tokens);
        multiply(o, probabilities, Matrix::row_major(k, tokens, D_V, D_QK), true);
        position += tokens;
    }
    softmax
}

/// Normalises and writes the unit's rows.
fn store<T: HalfFloat>(problem: &Problem<'_>, unit: &Unit, softmax: &OnlineSoftmax, o: &mut [f32]) {
    let Unit { request, token, .. } = *unit;
    for (row, head) in unit.heads.clone().enumerate() {
        let (normaliser, lse) = softmax.finish(row);
        let o = &mut o[row * D_V..][..D_V];
        o.iter_mut().for_each(|o| *o *= normaliser);
        let at = problem.args.lse.address_at([request, head, token]);
        // SAFETY: a row of the output and an element of the LSE; no other unit has the same head and token.
        unsafe {
            save::<T>(&problem.args.out, [request, token, head], o);
            ptr::with_exposed_provenance_mut::<f32>(at).write(lse);
        }
    }
}

/// Widens a row of the cache.
///
/// # Safety
/// `row` has 576 elements; `index` is block, token and KV head of the cache.
unsafe fn load_cached<T: HalfFloat>(problem: &Problem<'_>, index: [usize; 3], row: &mut [f32]) {
    let kv_cache = &problem.args.kv_cache;
    match problem.format {
        // SAFETY: the caller's promise.
        CacheFormat::Elements(_) => unsafe { load::<T>(kv_cache, index, row) },
        CacheFormat::Fp8(format) => {
            // SAFETY: the caller's promise.
            let values = unsafe { fp8::row::<T>(format, kv_cache, index[0], index[1]) };
            row.iter_mut().zip(values).for_each(|(to, value)| *to = value.to_f32());
        }
    }
}

/// Widens a row of a tensor.
///
/// # Safety
/// `tensor` is `[_, _, _, row.len()] T`, aligned, on the host; `index` is inside its other axes.
unsafe fn load<T: HalfFloat>(tensor: &TensorRef<'_>, index: [usize; 3], row: &mut [f32]) {
    let start = ptr::with_exposed_provenance::<T>(tensor.address_at(index));
    let stride = tensor.strides()[3];
    if stride == 1 {
        // SAFETY: the row is contiguous, and inside the tensor.
        T::widen(unsafe { std::slice::from_raw_parts(start, row.len()) }, row);
    } else {
        for (d, value) in row.iter_mut().enumerate() {
            // SAFETY: an element of the row.
            *value = unsafe { start.add(d * stride).read() }.to_f32();
        }
    }
}

/// Rounds a row into a tensor.
///
/// # Safety
/// As for [`load`]; nobody else uses the row.
unsafe fn save<T: HalfFloat>(tensor: &TensorMut<'_>, index: [usize; 3], row: &[f32]) {
    let start = ptr::with_exposed_provenance_mut::<T>(tensor.address_at(index));
    let stride = tensor.strides()[3];
    for (d, &value) in row.iter().enumerate() {
        // SAFETY: an element of the row.
        unsafe { start.add(d * stride).write(T::from_f32(value)) };
    }
}
