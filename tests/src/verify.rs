//! Results of a case against the oracle.

use anyhow::{Result, ensure};
use rayon::prelude::*;

use crate::case::Case;
use crate::compare::{self, Comparison, Tolerance};
use crate::element::widen;
use crate::layout::{D_K, D_V};
use crate::oracle::{self, Attended, QueryRow};
use crate::random::SplitMix64;
use crate::scene::{Results, Scene};

/// Rows that are compared of each request, however much work they are.
const ROWS_PER_REQUEST: usize = 8;

/// How far the results of a case were from the oracle's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Errors {
    /// Largest error of an output element, as a share of what is allowed.
    pub out: f64,
    /// Cosine distance of the outputs.
    pub cosine: f64,
    /// Largest cosine distance of a row of the outputs.
    pub row_cosine: f64,
    /// Largest error of an LSE, as a share of what is allowed.
    pub lse: f64,
}

/// What the cached tokens of a scene are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cached {
    /// Their elements.
    Elements,
    /// FP8 codes, that the elements are rounded from.
    Fp8,
}

/// Compares. `budget` is the number of (query row, cached token) pairs that the oracle may work on; if there
/// are more, it takes a sample of the rows, at least eight of each request, first and last among them. Of
/// every row it is seen whether it is finite, and empty when it should be.
///
/// # Errors
/// What is wrong, for people.
pub fn verify(scene: &Scene, results: &Results, budget: usize, cached: Cached) -> Result<Errors> {
    check_all_rows(scene, results)?;
    let rows = rows_to_compare(scene, budget);
    let expected = oracle::attend(&scene.case, &scene.cache.host, &scene.queries, &rows);
    let mut tally = Tally::new(&scene.case, cached);
    let mut values = [0.0; D_V];
    for (row, expected) in rows.iter().zip(&expected) {
        let QueryRow { request, token, head } = *row;
        widen(scene.case.dtype, results.out.row([request, token, head, 0]), &mut values);
        tally.add(row, &values, results.lse.at([request, head, token]), expected);
    }
    tally.finish()
}

/// What the rows compared so far were like.
struct Tally {
    out: Comparison,
    out_row: Tolerance,
    lse: Comparison,
    row_cosine: f64,
    bad_row: Option<String>,
}

impl Tally {
    fn new(case: &Case, cached: Cached) -> Self {
        let lse = match cached {
            Cached::Elements => compare::LSE,
            Cached::Fp8 => compare::LSE.over_fp8(case.dtype, D_K, case.scale.into()),
        };
        let [out, out_row, lse] =
            [compare::OUT, compare::OUT_ROW, lse].map(|tolerance| match case.softcap {
                Some(cap) => tolerance.capped(cap.into()),
                None => tolerance,
            });
        let (out, lse) = (Comparison::new(out), Comparison::new(lse));
        Self { out, out_row, lse, row_cosine: 0.0, bad_row: None }
    }

    fn add(&mut self, row: &QueryRow, out: &[f32], lse: f32, expected: &Attended) {
        let QueryRow { request, token, head } = row;
        let mut whole = Comparison::new(self.out_row);
        for (column, (&actual, &reference)) in out.iter().zip(&expected.out).enumerate() {
            let place = || format!("out[{request}, {token}, {head}, {column}]");
            self.out.add(actual.into(), reference, place);
            whole.add(actual.into(), reference, place);
        }
        if let (Err(wrong), None) = (whole.verdict(), &self.bad_row) {
            self.bad_row = Some(format!("out[{request}, {token}, {head}]: {wrong}"));
        }
        self.row_cosine = self.row_cosine.max(whole.cosine());
        self.lse.add(lse.into(), expected.lse, || format!("lse[{request}, {head}, {token}]"));
    }

    fn finish(self) -> Result<Errors> {
        let verdicts = [self.out.verdict(), self.lse.verdict()];
        let wrong: Vec<String> =
            verdicts.into_iter().filter_map(std::result::Result::err).chain(self.bad_row).collect();
        ensure!(wrong.is_empty(), "{}", wrong.join("; "));
        let (out, lse) = (self.out.worst(), self.lse.worst());
        Ok(Errors { out, cosine: self.out.cosine(), row_cosine: self.row_cosine, lse })
    }
}

/// Refuses outputs that are not finite, and LSE that is not finite where there is something to see, or is
/// where there is nothing.
fn check_all_rows(scene: &Scene, results: &Results) -> Result<()> {
    let case = &scene.case;
    (0..case.batch).into_par_iter().try_for_each(|request| {
        let mut values = [0.0; D_V];
        for row in 0..case.s_q * case.h_q {
            let (token, head) = (row / case.h_q, row % case.h_q);
            widen(case.dtype, results.out.row([request, token, head, 0]), &mut values);
            let wrong = values.iter().position(|value| !value.is_finite());
            ensure!(
                wrong.is_none(),
                "out[{request}, {token}, {head}, {}] is not finite",
                wrong.unwrap_or_default()
            );
            let lse = results.lse.at([request, head, token]);
            let sees = !case.visible(scene.cache.host.lengths[request], token).is_empty();
            let fits = if sees { lse.is_finite() } else { lse == f32::NEG_INFINITY };
            ensure!(fits, "lse[{request}, {head}, {token}] is {lse}, with tokens to see: {sees}");
        }
        Ok(())
    })
}

fn rows_to_compare(scene: &Scene, budget: usize) -> Vec<QueryRow> {
    let case = &scene.case;
    let rows = case.s_q * case.h_q;
    let tokens: usize = scene.cache.host.lengths.iter().map(|&length| length as usize).sum();
    let per_request = (budget / tokens.max(1)).clamp(ROWS_PER_REQUEST, rows.max(ROWS_PER_REQUEST));
    let mut random = SplitMix64::new(!case.seed);
    let row = |request, row| QueryRow { request, token: row / case.h_q, head: row % case.h_q };
    (0..case.batch)
        .flat_map(|request| {
            sample(rows, per_request, &mut random).into_iter().map(move |index| row(request, index))
        })
        .collect()
}

/// `wanted` numbers below `count`, or all: one from each of as many equal intervals, the first number and the
/// last among them.
fn sample(count: usize, wanted: usize, random: &mut SplitMix64) -> Vec<usize> {
    if count <= wanted {
        return (0..count).collect();
    }
    let bound = |interval: usize| interval * count / wanted;
    let pick = |interval: usize| match interval {
        0 => 0,
        _ if interval + 1 == wanted => count - 1,
        _ => bound(interval) + random.below(bound(interval + 1) - bound(interval)),
    };
    (0..wanted).map(pick).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_spread_and_keep_both_ends() {
        let mut random = SplitMix64::new(0);
        assert_eq!(sample(5, 8, &mut random), [0, 1, 2, 3, 4]);
        for count in [9, 63, 512] {
            let picked = sample(count, 8, &mut random);
            assert_eq!((picked.len(), picked[0], picked[7]), (8, 0, count - 1));
            assert!(picked.is_sorted_by(|a, b| a < b), "{picked:?}");
        }
    }
}
