//! Attention in f64, row by row: what every backend is compared with.
//!
//! Big cases have more rows than a CPU can do in the time a GPU needs, so that it takes a list of rows.

use std::ops::Range;

use rayon::prelude::*;

use crate::case::Case;
use crate::element::widen;
use crate::inputs::{Cache, Queries};
use crate::layout::{D_K, D_V};

/// One query head of one query token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryRow {
    /// Index of the request.
    pub request: usize,
    /// Query token.
    pub token: usize,
    /// Query head.
    pub head: usize,
}

/// What attention gives for a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Attended {
    /// The output, 512 values; zeros if the row sees no token.
    pub out: Vec<f64>,
    /// Natural logarithm of the sum of exponentials; −∞ if the row sees no token.
    pub lse: f64,
}

/// Rows that are done together: they share the conversion of the cached rows to f64.
const ROWS_AT_ONCE: usize = 8;

/// Attends with `rows`; results in the same order.
#[must_use]
pub fn attend(case: &Case, cache: &Cache, queries: &Queries, rows: &[QueryRow]) -> Vec<Attended> {
    let kv_head = |row: &QueryRow| row.head / (case.h_q / case.h_k);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| (rows[i].request, kv_head(&rows[i])));
    let sharing = order.chunk_by(|&a, &b| {
        rows[a].request == rows[b].request && kv_head(&rows[a]) == kv_head(&rows[b])
    });
    let groups: Vec<&[usize]> = sharing.flat_map(|rows| rows.chunks(ROWS_AT_ONCE)).collect();
    let results = groups.par_iter().flat_map_iter(|group| {
        let together: Vec<QueryRow> = group.iter().map(|&i| rows[i]).collect();
        attend_together(case, cache, queries, &together, kv_head(&together[0]))
    });
    let mut ordered: Vec<(usize, Attended)> =
        order.iter().copied().zip(results.collect::<Vec<_>>()).collect();
    ordered.sort_by_key(|&(i, _)| i);
    ordered.into_iter().map(|(_, attended)| attended).collect()
}

/// Attends with rows of one request that share a KV head.
fn attend_together(
    case: &Case,
    cache: &Cache,
    queries: &Queries,
    rows: &[QueryRow],
    kv_head: usize,
) -> Vec<Attended> {
    let request = rows[0].request;
    let length = cache.lengths[request];
    let visible: Vec<Range<usize>> =
        rows.iter().map(|row| case.visible(length, row.token)).collect();
    let first = visible.iter().map(|seen| seen.start).min().unwrap_or(0);
    let end = visible.iter().map(|seen| seen.end).max().unwrap_or(0);
    let wide = |bits: &[u16]| -> [f64; D_K] {
        let mut values = [0.0; D_K];
        widen(case.dtype, bits, &mut values);
        values.map(f64::from)
    };

    let q: Vec<[f64; D_K]> =
        rows.iter().map(|row| wide(queries.row(request, row.token, row.head))).collect();
    let mut weights: Vec<Vec<f64>> =
        visible.iter().map(|seen| Vec::with_capacity(seen.len())).collect();
    for token in first..end {
        let key = wide(cache.row(request, token, kv_head));
        let seeing =
            weights.iter_mut().enumerate().filter(|(row, _)| visible[*row].contains(&token));
        for (row, scores) in seeing {
            scores.push(capped(case, f64::from(case.scale) * dot(&q[row], &key)));
        }
    }
    let lse: Vec<f64> = weights.iter_mut().map(|scores| softmax(scores)).collect();

    let mut outs = vec![vec![0.0; D_V]; rows.len()];
    for token in first..end {
        let value = wide(cache.row(request, token, kv_head));
        for ((out, weights), seen) in outs.iter_mut().zip(&weights).zip(&visible) {
            let index = token.checked_sub(seen.start);
            let Some(weight) = index.and_then(|index| weights.get(index)) else { continue };
            for (out, value) in out.iter_mut().zip(&value[..D_V]) {
                *out += weight * value;
            }
        }
    }
    outs.into_iter().zip(lse).map(|(out, lse)| Attended { out, lse }).collect()
}

/// A scaled score, capped if the case says so.
fn capped(case: &Case, score: f64) -> f64 {
    case.softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
}

/// Turns scores into probabilities and returns the logarithm of the sum of their exponentials.
fn softmax(scores: &mut [f64]) -> f64 {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
    let lse = if scores.is_empty() { f64::NEG_INFINITY } else { largest + sum.ln() };
    for score in scores {
        *score = (*score - lse).exp();
    }
    lse
}

/// Eight sums side by side, for the compiler to put into vector registers.
fn dot(a: &[f64; D_K], b: &[f64; D_K]) -> f64 {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Lengths;
    use crate::element::ElementPool;

    /// With one token to see, the output is its value and the LSE its score; with none, 0 and −∞.
    #[test]
    fn rows_that_can_be_checked_by_hand() {
        let lengths = Lengths::Listed(vec![1, 0]);
        let case = Case { h_q: 2, lengths, scale: 2.0, ..Case::default() };
        let pool = ElementPool::new(case.dtype);
        let (cache, queries) = (Cache::new(&case, &pool, 0), Queries::new(&case, &pool));
        let rows = [1, 0].map(|request| QueryRow { request, token: 0, head: 1 });
        let attended = attend(&case, &cache, &queries, &rows);

        assert_eq!(attended[0], Attended { out: vec![0.0; D_V], lse: f64::NEG_INFINITY });
        let (mut key, mut query) = ([0.0; D_K], [0.0; D_K]);
        widen(case.dtype, cache.row(0, 0, 0), &mut key);
        widen(case.dtype, queries.row(0, 0, 1), &mut query);
        let score: f64 =
            key.iter().zip(query).map(|(&k, q)| 2.0 * f64::from(k) * f64::from(q)).sum();
        assert!((attended[1].lse - score).abs() < 1e-12);
        for (out, value) in attended[1].out.iter().zip(key) {
            assert!((out - f64::from(value)).abs() < 1e-12);
        }
    }
}
