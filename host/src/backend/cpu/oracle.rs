//! Decode in f64: the definition of attention, written down.

use std::ptr;

use rayon::prelude::*;

use super::half_float::HalfFloat;
use super::problem::Problem;
use crate::plan::Mask;

/// Attends with every query row on its own.
pub fn decode<T: HalfFloat>(problem: &Problem<'_>) {
    let h_q = problem.dims.h_q() as usize;
    (0..problem.batch * problem.s_q * h_q).into_par_iter().for_each(|row| {
        row_decode::<T>(problem, row / h_q / problem.s_q, row / h_q % problem.s_q, row % h_q);
    });
}

/// `out = Σ softmax(scale · q · kᵀ) v`, over the tokens that the query token sees.
fn row_decode<T: HalfFloat>(problem: &Problem<'_>, request: usize, token: usize, head: usize) {
    let (d_qk, d_v) = (problem.dims.d_qk() as usize, problem.dims.d_v() as usize);
    let kv_head = head / problem.dims.group_heads() as usize;
    let length = i64::from(problem.lengths[request]);
    let hidden = match problem.mask {
        Mask::None => 0,
        Mask::Causal => problem.s_q as i64 - 1 - token as i64,
    };
    let tokens = 0..(length - hidden).max(0) as usize;

    let q = |d| problem.args.q.address_at([request, token, head, d]);
    let cached = |position: usize, d| {
        let block = problem.tables.ids(request)[position / 64] as usize;
        problem.args.kv_cache.address_at([block, position % 64, kv_head, d])
    };
    let read = |at| {
        // SAFETY: the address of an element of a tensor of `T`s on the host.
        unsafe { ptr::with_exposed_provenance::<T>(at).read() }.to_f64()
    };

    let q: Vec<f64> = (0..d_qk).map(|d| read(q(d))).collect();
    let dot = |position| (0..d_qk).map(|d| q[d] * read(cached(position, d))).sum::<f64>();
    let scale = f64::from(problem.args.softmax_scale);
    let scores: Vec<f64> = tokens.clone().map(|position| scale * dot(position)).collect();
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let maximum = if largest.is_finite() { largest } else { 0.0 };
    let sum: f64 = scores.iter().map(|score| (score - maximum).exp()).sum();

    let mut out = vec![0.0; d_v];
    for position in tokens {
        let probability = (scores[position] - maximum).exp() / sum;
        for (d, out) in out.iter_mut().enumerate() {
            *out += probability * read(cached(position, d));
        }
    }
    let lse = if sum == 0.0 { f64::NEG_INFINITY } else { maximum + sum.ln() };

    for (d, &value) in out.iter().enumerate() {
        let at = problem.args.out.address_at([request, token, head, d]);
        // SAFETY: an element of the output, which only this row writes.
        unsafe { ptr::with_exposed_provenance_mut::<T>(at).write(T::from_f64(value)) };
    }
    let at = problem.args.lse.address_at([request, head, token]);
    // SAFETY: an element of the LSE, which only this row writes.
    unsafe { ptr::with_exposed_provenance_mut::<f32>(at).write(lse as f32) };
}
