//! Sparse attention in f64: the definition, written down.

use std::ptr;

use half::bf16;
use rayon::prelude::*;

use super::super::fp8;
use crate::cache::CacheFormat;
use crate::sparse::{Problem, Selection, SparseAttention};
use crate::tensor::{TensorMut, TensorRef};

const D_V: usize = 512;

/// What becomes of a query row.
struct Row {
    out: Vec<f64>,
    lse: f64,
    max_logit: f64,
}

/// Attends with every query row on its own.
pub fn attend(problem: &Problem, args: &SparseAttention<'_>, max_logits: Option<&TensorMut<'_>>) {
    (0..problem.tokens * problem.h_q).into_par_iter().for_each(|index| {
        let (token, head) = (index / problem.h_q, index % problem.h_q);
        let row = attend_row(problem, args, token, head);
        // SAFETY: checked tensors on the host; no other row has the same token and head.
        unsafe {
            for (d, &value) in row.out.iter().enumerate() {
                let at = args.out.address_at([token, head, d]);
                ptr::with_exposed_provenance_mut::<bf16>(at).write(bf16::from_f64(value));
            }
            let write = |tensor: &TensorMut<'_>, value: f64| {
                let at = tensor.address_at([token, head]);
                ptr::with_exposed_provenance_mut::<f32>(at).write(value as f32);
            };
            write(&args.lse, row.lse);
            if let Some(max_logits) = max_logits {
                write(max_logits, row.max_logit);
            }
        }
    });
}

/// `softmax(scale · q · kᵀ) · v` over what the lists name, beside the sink, and the logarithm of the sum of exponentials
/// without it.
fn attend_row(problem: &Problem, args: &SparseAttention<'_>, token: usize, head: usize) -> Row {
    let q: Vec<f64> = (0..problem.d_qk).map(|d| element(&args.q, [token, head, d])).collect();
    let scale = f64::from(args.softmax_scale);
    let lists = [Some(&args.selection), args.extra.as_ref()];
    let keys: Vec<Vec<f64>> =
        lists.into_iter().flatten().flat_map(|list| named(problem, list, token)).collect();
    let score = |key: &Vec<f64>| scale * q.iter().zip(key).map(|(q, k)| q * k).sum::<f64>();
    let scores: Vec<f64> = keys.iter().map(score).collect();
    let max_logit = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut out = vec![0.0; D_V];
    if scores.is_empty() {
        return Row { out, lse: f64::NEG_INFINITY, max_logit };
    }
    let sum: f64 = scores.iter().map(|score| (score - max_logit).exp()).sum();
    let sink = args.sink.as_ref().map_or(0.0, |sink| (float(sink, head) - max_logit).exp());
    for (key, score) in keys.iter().zip(&scores) {
        let probability = (score - max_logit).exp() / (sum + sink);
        for (out, v) in out.iter_mut().zip(key) {
            *out += probability * v;
        }
    }
    Row { out, lse: max_logit + sum.ln(), max_logit }
}

/// The rows that a query token's list names.
fn named(problem: &Problem, list: &Selection<'_>, token: usize) -> Vec<Vec<f64>> {
    let cache = &list.kv_cache;
    let [blocks, block_size] = [0, 1].map(|axis| cache.shape()[axis]);
    let topk = list.indices.shape()[1] as i64;
    let length = list.lengths.as_ref().map_or(topk, |lengths| integer(lengths, [token]));
    let indices = (0..length.min(topk)).map(|k| integer(&list.indices, [token, k as usize]));
    let exists = |&index: &i64| index >= 0 && (index as u128) < blocks as u128 * block_size as u128;
    let row = |index: i64| {
        let (block, offset) = (index as usize / block_size, index as usize % block_size);
        match problem.format {
            CacheFormat::Elements(_) => {
                (0..problem.d_qk).map(|d| element(cache, [block, offset, 0, d])).collect()
            }
            // SAFETY: a row of a checked cache on the host.
            CacheFormat::Fp8(format) => unsafe { fp8::row::<bf16>(format, cache, block, offset) }
                .map(bf16::to_f64)
                .collect(),
        }
    };
    indices.filter(exists).map(row).collect()
}

/// An element of a bf16 tensor.
fn element<const RANK: usize>(tensor: &TensorRef<'_>, index: [usize; RANK]) -> f64 {
    let at = ptr::with_exposed_provenance::<bf16>(tensor.address_at(index));
    // SAFETY: an element of a checked tensor on the host.
    unsafe { at.read() }.to_f64()
}

/// An element of an i32 tensor.
fn integer<const RANK: usize>(tensor: &TensorRef<'_>, index: [usize; RANK]) -> i64 {
    let at = ptr::with_exposed_provenance::<i32>(tensor.address_at(index));
    // SAFETY: as above.
    unsafe { at.read() }.into()
}

/// An element of an f32 vector.
fn float(tensor: &TensorRef<'_>, index: usize) -> f64 {
    let at = ptr::with_exposed_provenance::<f32>(tensor.address_at([index]));
    // SAFETY: as above.
    unsafe { at.read() }.into()
}
