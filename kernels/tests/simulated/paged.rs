//! Blocks of 16, 32 and 128 tokens: K blocks in several boxes, and several K blocks in a block. Whatever a block's size
//! is, the kernels multiply the same numbers in the same order, so that the results agree bit by bit.

use oxmla_kernels::abi::Cut;
use oxmla_kernels::decode::Variant;
use oxmla_kernels::simulate::ElementType;
use oxmla_simt::Timing;

use super::problem::{Problem, Shape};
use super::{check_problem, one_head};

const SIZES: [usize; 4] = [64, 16, 32, 128];

/// Runs what `make` makes of each block size: the results are right, and do not depend on it.
fn check_sizes(seed: u64, make: impl Fn(usize) -> Problem) {
    let mut first = None;
    for (size, timing) in SIZES.into_iter().zip([Timing::Random, Timing::Late].iter().cycle()) {
        let problem = make(size);
        check_problem(&problem, seed, *timing);
        let results = problem.run(seed, Timing::Random).expect("it has just run");
        let results = (results.out, results.lse);
        let first = first.get_or_insert_with(|| results.clone());
        assert!(*first == results, "blocks of {size} tokens give other bits");
    }
}

fn dense(size: usize, shape: Shape, seed: u64) -> Problem {
    Problem::paged(size, shape, ElementType::Bf16, 60 + seed)
}

fn pair(size: usize, shape: Shape, seed: u64) -> Problem {
    let mut problem = dense(size, shape, seed);
    problem.variant = Variant::Pair;
    problem
}

/// Around the ends of blocks of every size. What no request may read is NaN, and so is every id that none may follow.
const ENDS: [i32; 16] = [1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 127, 128, 129];

#[test]
fn lengths_around_the_ends_of_blocks() {
    check_sizes(0, |size| dense(size, one_head(&ENDS, 1, 16, 2), 0));
    for length in [1, 17, 33, 129] {
        check_sizes(length as u64, |size| dense(size, one_head(&[length], 2, 16, 1), 1));
    }
}

#[test]
fn the_paired_kernel_around_the_ends_of_blocks() {
    check_sizes(0, |size| pair(size, one_head(&[1, 16, 33, 0, 81, 129], 2, 64, 2), 2));
}

/// More blocks than a warp has lanes: 16 tokens in each of 44.
#[test]
fn ids_are_read_again() {
    check_sizes(0, |size| dense(size, one_head(&[700], 1, 16, 1), 3));
    check_sizes(1, |size| pair(size, one_head(&[650], 1, 128, 1), 4));
}

#[test]
fn pieces_begin_inside_a_block() {
    check_sizes(0, |size| dense(size, one_head(&[500, 3, 0, 260], 1, 16, 5), 5));
    check_sizes(1, |size| {
        let mut problem = dense(size, one_head(&[300, 65], 1, 64, 2), 6);
        problem.cut = Cut::fixed(0);
        problem
    });
}

#[test]
fn several_kv_heads() {
    let shape = || Shape { lengths: vec![100, 70], s_q: 2, h_q: 8, h_k: 2, parts: 2, causal: true };
    check_sizes(0, |size| dense(size, shape(), 7));
}

/// Blocks before the window have no ids.
#[test]
fn windows_that_begin_inside_a_k_block() {
    for (seed, window) in [1, 20, 60, 100].into_iter().enumerate() {
        let shape = || one_head(&[200, 64, 129], 2, 64, 2);
        check_sizes(seed as u64, |size| dense(size, shape(), 8).within(window));
        check_sizes(seed as u64, |size| pair(size, shape(), 8).within(window));
    }
}

#[test]
fn fp8() {
    check_sizes(0, |size| {
        Problem::paged_fp8(size, one_head(&ENDS, 1, 16, 2), ElementType::Bf16, 70)
    });
    check_sizes(1, |size| {
        Problem::paged_fp8(size, one_head(&[700], 1, 16, 1), ElementType::F16, 71)
    });
    let shape = || one_head(&[200, 0, 81], 2, 40, 2);
    check_sizes(2, |size| Problem::paged_fp8(size, shape(), ElementType::Bf16, 72).within(50));
}
