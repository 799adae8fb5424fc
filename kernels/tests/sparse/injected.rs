//! The sparse kernels with one instruction left out or changed, everywhere it can be: the machine has to report each, or
//! the result has to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use oxmla_simt::{Change, Injection};

use crate::decode;
use crate::problem::{Problem, Work};

#[test]
fn every_bug_of_sparse_decode_is_found() {
    let lengths = vec![30, 150, 250, 64, 0, 20];
    let problems = [
        // Lists of one part and of two, in whole blocks and not, of one piece and of several.
        Problem::new([6, 16, 576], 250, decode(2), 3).with(|list| list.lengths = Some(lengths)),
        // A list of six parts: several warps merge a unit of it together.
        Problem::new([1, 16, 576], 380, decode(6), 3),
    ];
    check(&problems, 10);
}

#[test]
fn every_bug_of_sparse_decode_over_fp8_is_found() {
    let lengths = vec![30, 150, 250, 64, 0, 20];
    let problems = [
        Problem::new([6, 16, 576], 250, decode(2), 3).with(|list| list.lengths = Some(lengths)),
        Problem::new([1, 16, 512], 380, decode(6), 3),
    ];
    check(&problems.map(Problem::in_fp8), 10);
}

/// Nothing is merged: no word of global memory is waited for.
#[test]
fn every_bug_of_sparse_prefill_is_found() {
    let lengths = vec![200, 64, 0, 130, 20];
    let problem = Problem::new([5, 16, 576], 200, Work::Prefill(2), 4);
    check(&[problem.with(|list| list.lengths = Some(lengths))], 9);
}

fn check(problems: &[Problem], kinds: usize) {
    let mut places = BTreeSet::new();
    let mut clean = Vec::new();
    for problem in problems {
        let (outcome, trace) =
            problem.run(|launch| launch.survey(true)).expect("the kernel is right");
        clean.push(outcome.out);
        places.extend(trace.places);
    }
    let mut found: BTreeMap<Change, usize> = BTreeMap::new();
    let mut survivors: Vec<Injection> = Vec::new();
    for injection in places {
        *found.entry(injection.change).or_insert(0) += 1;
        let is_noticed = problems.iter().zip(&clean).any(|(problem, clean)| {
            (0..2).any(|seed| {
                let broken = problem.run(|launch| launch.seed(seed).inject(injection.clone()));
                broken.map_or(true, |(outcome, _)| outcome.out != *clean)
            })
        });
        if !is_noticed {
            survivors.push(injection);
        }
    }
    assert_eq!(found.len(), kinds, "the kernel has places for every kind of bug: {found:?}");
    // The second part of the scores goes on with accumulators that nothing has touched.
    let redundant = |injection: &Injection| {
        injection.change == Change::DropRegisterFence
            && injection.place.file.ends_with("dense/left.rs")
    };
    assert_eq!(survivors.iter().filter(|i| redundant(i)).count(), 1, "{survivors:#?}");
    survivors.retain(|injection| !redundant(injection));
    assert!(survivors.is_empty(), "bugs that nobody notices: {survivors:#?}");
}
