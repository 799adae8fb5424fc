//! The dense decode kernels with one instruction left out or changed, everywhere it can be: the machine has to report
//! each, or the result has to be wrong.

use std::collections::BTreeMap;

use oxmla_kernels::decode::Variant;
use oxmla_kernels::simulate::ElementType;
use oxmla_simt::{Change, Injection};

use crate::problem::{Problem, Shape};

/// What a kernel can do without: how many places of a file.
type Redundant<'a> = &'a [(Change, &'a str, usize)];

#[test]
fn every_bug_of_the_dense_kernel_is_found() {
    let problems = [
        // Requests of one part and of two, with and without a tail, in the first block and in a later one.
        problem(Variant::Dense, vec![30, 150, 500, 64, 20], 16, 2),
        // A request of six parts: several warps merge a unit of it together.
        problem(Variant::Dense, vec![380], 16, 6),
        // A window that begins inside a block.
        problem(Variant::Dense, vec![150, 300], 16, 1).within(100),
        // K blocks in four boxes.
        paged(Variant::Dense, 16, vec![30, 81], 16, 1),
    ];
    // The second part of the scores goes on with accumulators that nothing has touched.
    check(&problems, &[(Change::DropRegisterFence, "dense/left.rs", 1)]);
}

#[test]
fn every_bug_of_the_paired_kernel_is_found() {
    let problems = [
        problem(Variant::Pair, vec![30, 150, 500, 64, 20], 80, 2),
        problem(Variant::Pair, vec![380], 65, 6),
        problem(Variant::Pair, vec![150, 300], 65, 1).within(100),
        paged(Variant::Pair, 16, vec![30, 81], 65, 1),
    ];
    check(&problems, &[]);
}

#[test]
fn every_bug_of_the_kernel_over_fp8_is_found() {
    let shape = |lengths, parts| Shape { lengths, s_q: 1, h_q: 16, h_k: 1, parts, causal: false };
    let problems = [
        Problem::fp8(shape(vec![30, 150, 500, 64, 20], 2), ElementType::Bf16, 3),
        Problem::fp8(shape(vec![380], 6), ElementType::F16, 3),
        Problem::paged_fp8(32, shape(vec![30, 150, 81], 2), ElementType::Bf16, 3),
        Problem::fp8(shape(vec![150, 300], 1), ElementType::Bf16, 3).within(100),
    ];
    check(&problems, &[(Change::DropRegisterFence, "dense/left.rs", 1)]);
}

#[test]
fn every_bug_of_the_kernel_with_fp8_math_is_found() {
    let shape = |lengths, parts| Shape { lengths, s_q: 1, h_q: 16, h_k: 1, parts, causal: false };
    let problems = [
        Problem::planar(64, shape(vec![30, 150, 500, 64, 20], 2), ElementType::Bf16, 3),
        Problem::planar(64, shape(vec![380], 6), ElementType::F16, 3),
        Problem::planar(32, shape(vec![30, 150, 81], 2), ElementType::Bf16, 3),
        Problem::planar(64, shape(vec![150, 300], 1), ElementType::Bf16, 3).within(100),
    ];
    // Scores go on in bf16 with accumulators that nothing has touched.
    check(&problems, &[(Change::DropRegisterFence, "fp8_math/left.rs", 1)]);
}

fn problem(variant: Variant, lengths: Vec<i32>, h_q: usize, parts: u32) -> Problem {
    paged(variant, 64, lengths, h_q, parts)
}

fn paged(
    variant: Variant,
    block_size: usize,
    lengths: Vec<i32>,
    h_q: usize,
    parts: u32,
) -> Problem {
    let shape = Shape { lengths, s_q: 1, h_q, h_k: 1, parts, causal: false };
    let mut problem = Problem::paged(block_size, shape, ElementType::Bf16, 3);
    problem.variant = variant;
    problem
}

fn check(problems: &[Problem], redundant: Redundant) {
    let mut places: Vec<Injection> = Vec::new();
    let mut clean = Vec::new();
    for problem in problems {
        let (outcome, trace) =
            problem.run_as(|launch| launch.survey(true)).expect("the kernel is right");
        clean.push(outcome.out);
        places.extend(
            trace.places.into_iter().filter(|new| !places.contains(new)).collect::<Vec<_>>(),
        );
    }
    let mut kinds = BTreeMap::new();
    let mut survivors: Vec<Injection> = Vec::new();
    for injection in places {
        *kinds.entry(injection.change).or_insert(0) += 1;
        let found = problems.iter().zip(&clean).any(|(problem, clean)| {
            (0..2).any(|seed| {
                let broken = problem.run_as(|launch| launch.seed(seed).inject(injection.clone()));
                broken.map_or(true, |(outcome, _)| outcome.out != *clean)
            })
        });
        if !found {
            survivors.push(injection);
        }
    }
    assert_eq!(kinds.len(), 10, "the kernel has places for every kind of bug: {kinds:?}");
    for &(change, file, places) in redundant {
        let here = |i: &Injection| i.change == change && i.place.file.ends_with(file);
        let count = survivors.iter().filter(|i| here(i)).count();
        assert_eq!(count, places, "{change:?} in {file}: {survivors:#?}");
        survivors.retain(|i| !here(i));
    }
    assert!(survivors.is_empty(), "bugs that nobody notices: {survivors:#?}");
}
