//! Sliding windows and soft caps, in both kernels.

use oxmla_kernels::abi::{Cut, Reach};
use oxmla_kernels::decode::Variant;
use oxmla_kernels::simulate::ElementType;
use oxmla_simt::Timing;

use super::problem::{Problem, Shape};
use super::{check_problem, one_head};

fn problem(shape: Shape, seed: u64) -> Problem {
    Problem::new(shape, ElementType::Bf16, 40 + seed)
}

/// Runs both kernels where the rows make pairs; they agree with the oracle, and with each other bit by bit.
fn check_both(mut problem: Problem, seed: u64) {
    let results = [Variant::Dense, Variant::Pair].map(|variant| {
        problem.variant = variant;
        check_problem(&problem, seed, Timing::Random);
        let results = problem.run(seed, Timing::Late).expect("it has just run");
        (results.out, results.lse)
    });
    assert!(results[0] == results[1], "the kernels differ");
}

#[test]
fn windows_around_the_ends_of_blocks() {
    for (seed, window) in [1, 2, 63, 64, 65, 66, 129, 500].into_iter().enumerate() {
        let problem = problem(one_head(&[200, 64, 129], 2, 16, 2), seed as u64).within(window);
        check_problem(&problem, seed as u64, Timing::Random);
    }
}

#[test]
fn both_kernels_behind_a_window() {
    check_both(problem(one_head(&[300, 5, 0, 140], 2, 64, 2), 0).within(100), 0);
    check_both(problem(one_head(&[257], 3, 128, 1), 1).within(1), 1);
}

/// The split begins with the first block that is seen.
#[test]
fn windows_of_many_parts_and_pieces_of_a_fixed_length() {
    check_both(problem(one_head(&[900, 700], 2, 64, 3), 0).within(400), 0);
    let mut fixed = problem(one_head(&[700, 64], 2, 64, 2), 1).within(300);
    fixed.cut = Cut::fixed(1);
    check_both(fixed, 1);
    let many = problem(one_head(&[1500], 1, 16, 12), 2).within(700);
    check_problem(&many, 2, Timing::Late);
}

/// Without a mask a query token sees what comes after it, however far.
#[test]
fn windows_without_a_mask() {
    let shape = Shape { causal: false, ..one_head(&[150, 3], 4, 16, 2) };
    check_problem(&problem(shape, 0).within(20), 0, Timing::Random);
}

/// More query tokens than the window has tokens, and than some requests have; several KV heads.
#[test]
fn windows_that_move_through_a_tile() {
    check_problem(&problem(one_head(&[300, 40, 1], 70, 2, 2), 0).within(7), 0, Timing::Random);
    let shape = Shape { lengths: vec![100, 64], s_q: 3, h_q: 8, h_k: 2, parts: 2, causal: true };
    check_problem(&problem(shape, 1).within(30), 1, Timing::Late);
}

#[test]
fn soft_caps() {
    for (seed, cap) in [0.5, 3.0, 50.0].into_iter().enumerate() {
        let mut problem = problem(one_head(&[150, 70], 2, 64, 2), seed as u64);
        problem.softcap = Some(cap);
        problem.scale *= 10.0;
        check_both(problem, seed as u64);
    }
}

#[test]
fn a_soft_cap_behind_a_window() {
    let mut problem = problem(one_head(&[400, 33], 2, 64, 2), 0).within(130);
    problem.softcap = Some(2.0);
    check_both(problem, 0);
}

/// The checks can fail: one token that is hidden too much is noticed.
#[test]
#[should_panic(expected = "lse[0]")]
fn every_token_of_a_window_matters() {
    let mut problem = problem(one_head(&[200], 1, 16, 1), 0);
    problem.reach = Reach::behind(199, 1);
    check_problem(&problem, 0, Timing::Late);
}
