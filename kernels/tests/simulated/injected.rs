//! The dense decode and combine kernels with one instruction left out or changed, everywhere it can be: the machine has to
//! report each, or the result has to be wrong.

use std::collections::BTreeMap;

use oxmla_kernels::simulate::ElementType;
use oxmla_simt::{Change, Injection};

use crate::problem::{Problem, Shape};

/// What the kernel can do without, per file: how many places, and why.
const REDUNDANT: [(Change, &str, usize); 2] = [
    // The second part of the scores goes on with accumulators that nothing has touched.
    (Change::DropRegisterFence, "dense/left.rs", 1),
    // The left warpgroup publishes P after it has waited for the same tiles.
    (Change::DropMbarrierWait, "dense/right.rs", 1),
];

#[test]
fn every_bug_is_found() {
    // Requests of one part and of two, with and without a tail, in the first block and in a later one.
    let lengths = vec![30, 150, 500, 64, 20];
    let shape = Shape { lengths, s_q: 1, h_q: 16, h_k: 1, parts: 2, causal: false };
    let problem = Problem::new(shape, ElementType::Bf16, 3);
    let (clean, trace) = problem.run_as(|launch| launch.survey(true)).expect("the kernel is right");
    let mut kinds = BTreeMap::new();
    let mut survivors: Vec<Injection> = Vec::new();
    for injection in trace.places {
        *kinds.entry(injection.change).or_insert(0) += 1;
        let found = (0..2).any(|seed| {
            let broken = problem.run_as(|launch| launch.seed(seed).inject(injection.clone()));
            broken.map_or(true, |(outcome, _)| outcome.out != clean.out)
        });
        if !found {
            survivors.push(injection);
        }
    }
    assert_eq!(kinds.len(), 10, "the kernel has places for every kind of bug: {kinds:?}");
    for (change, file, places) in REDUNDANT {
        let here = |i: &Injection| i.change == change && i.place.file.ends_with(file);
        let count = survivors.iter().filter(|i| here(i)).count();
        assert_eq!(count, places, "{change:?} in {file}: {survivors:#?}");
        survivors.retain(|i| !here(i));
    }
    assert!(survivors.is_empty(), "bugs that nobody notices: {survivors:#?}");
}
