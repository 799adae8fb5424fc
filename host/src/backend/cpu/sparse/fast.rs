//! Sparse attention in f32: rows are gathered 64 at a time, and multiplied as matrices with an online softmax.
//!
//! The unit of work is up to 64 heads of a query token, which all see the same rows.

use std::ops::Range;
use std::ptr;

use half::bf16;
use rayon::prelude::*;

use super::super::fp8;
use super::super::matrix::{Matrix, multiply};
use super::super::rows;
use super::super::softmax::OnlineSoftmax;
use crate::cache::{CacheFormat, index_at};
use crate::sparse::{CachedRows, Problem, Selection, SparseAttention};
use crate::tensor::TensorMut;

/// Heads of a unit: enough for matrix products to run at full speed.
const HEADS: usize = 64;
/// Rows that are multiplied together.
const ROWS: usize = 64;
const D_V: usize = 512;

/// Working memory of a thread.
struct Scratch {
    /// `[HEADS, d_qk]`.
    q: Vec<f32>,
    /// `[ROWS, d_qk]`; the first 512 columns are also V.
    k: Vec<f32>,
    /// `[HEADS, ROWS]`: scores, then probabilities.
    p: Vec<f32>,
    /// `[HEADS, 512]`.
    o: Vec<f32>,
}

impl Scratch {
    fn new(d_qk: usize) -> Self {
        Self {
            q: vec![0.0; HEADS * d_qk],
            k: vec![0.0; ROWS * d_qk],
            p: vec![0.0; HEADS * ROWS],
            o: vec![0.0; HEADS * D_V],
        }
    }
}

/// Attends with all units, on all threads.
pub fn attend(problem: &Problem, args: &SparseAttention<'_>, max_logits: Option<&TensorMut<'_>>) {
    let chunks = problem.h_q.div_ceil(HEADS);
    let scratch = || Scratch::new(problem.d_qk);
    (0..problem.tokens * chunks).into_par_iter().for_each_init(scratch, |scratch, unit| {
        let (token, first) = (unit / chunks, unit % chunks * HEADS);
        let heads = first..(first + HEADS).min(problem.h_q);
        let softmax = attend_unit(problem, args, token, heads.clone(), scratch);
        store(args, max_logits, token, heads, &softmax, &mut scratch.o);
    });
}

/// Leaves the output of the unit, not yet normalised, in `scratch.o`.
fn attend_unit(
    problem: &Problem,
    args: &SparseAttention<'_>,
    token: usize,
    heads: Range<usize>,
    scratch: &mut Scratch,
) -> OnlineSoftmax {
    let (d_qk, count) = (problem.d_qk, heads.len());
    let Scratch { q, k, p, o } = scratch;
    for (row, head) in q.chunks_exact_mut(d_qk).zip(heads) {
        // SAFETY: a row of the queries, which have been checked.
        unsafe { rows::load(&args.q, [token, head, 0], row) };
    }
    let q = Matrix::row_major(q, count, d_qk, d_qk);
    let mut softmax = OnlineSoftmax::new(count, args.softmax_scale);
    o[..count * D_V].fill(0.0);
    for selection in [Some(&args.selection), args.extra.as_ref()].into_iter().flatten() {
        for places in places(selection, token).chunks(ROWS) {
            for (&[block, offset], row) in places.iter().zip(k.chunks_exact_mut(d_qk)) {
                // SAFETY: a row of the cache.
                unsafe { load_cached(problem, selection, [block, offset], row) };
            }
            let found = places.len();
            multiply(p, q, Matrix::row_major(k, found, d_qk, d_qk).transposed(), false);
            softmax.step(&mut p[..count * found], &mut o[..count * D_V]);
            let probabilities = Matrix::row_major(p, count, found, found);
            multiply(o, probabilities, Matrix::row_major(k, found, D_V, d_qk), true);
        }
    }
    softmax
}

/// Where the rows are that the list of a query token names.
fn places(selection: &Selection<'_>, token: usize) -> Vec<[usize; 2]> {
    let rows = CachedRows::new(&selection.kv_cache);
    let topk = selection.indices.shape()[1];
    let length = selection.lengths.as_ref().map_or(topk, |lengths| {
        usize::try_from(index_at(lengths, [token])).map_or(0, |length| length.min(topk))
    });
    let index = |position| index_at(&selection.indices, [token, position]);
    (0..length).filter_map(|position| rows.place(index(position))).collect()
}

/// Widens a row of a cache.
///
/// # Safety
/// `row` has `d_qk` elements; `place` is block and offset of a row of the selection's cache, which has been checked.
unsafe fn load_cached(
    problem: &Problem,
    selection: &Selection<'_>,
    [block, offset]: [usize; 2],
    row: &mut [f32],
) {
    let kv_cache = &selection.kv_cache;
    match problem.format {
        // SAFETY: the caller's promise.
        CacheFormat::Elements(_) => unsafe { rows::load(kv_cache, [block, offset, 0, 0], row) },
        CacheFormat::Fp8(format) => {
            // SAFETY: the caller's promise.
            let values = unsafe { fp8::row::<bf16>(format, kv_cache, block, offset) };
            row.iter_mut().zip(values).for_each(|(to, value)| *to = value.to_f32());
        }
    }
}

/// Normalises and writes the unit's rows.
fn store(
    args: &SparseAttention<'_>,
    max_logits: Option<&TensorMut<'_>>,
    token: usize,
    heads: Range<usize>,
    softmax: &OnlineSoftmax,
    o: &mut [f32],
) {
    for (row, head) in heads.enumerate() {
        let mut sink = [f32::NEG_INFINITY];
        if let Some(sinks) = &args.sink {
            // SAFETY: an element of the sinks, which have been checked.
            unsafe { rows::load(sinks, [head], &mut sink) };
        }
        let normaliser = softmax.normaliser_beside(row, sink[0]);
        let (_, lse) = softmax.finish(row);
        let o = &mut o[row * D_V..][..D_V];
        o.iter_mut().for_each(|o| *o *= normaliser);
        // SAFETY: a row of the output, and elements of the other results; no other unit has the same token and head.
        unsafe {
            rows::store(&args.out, [token, head, 0], o);
            write(&args.lse, token, head, lse);
            if let Some(max_logits) = max_logits {
                write(max_logits, token, head, softmax.maximum(row));
            }
        }
    }
}

/// # Safety
/// `tensor` is `[tokens, h_q] f32` on the host, and nobody else uses the element.
unsafe fn write(tensor: &TensorMut<'_>, token: usize, head: usize, value: f32) {
    let at = tensor.address_at([token, head]);
    // SAFETY: the caller's promise.
    unsafe { ptr::with_exposed_provenance_mut::<f32>(at).write(value) };
}
