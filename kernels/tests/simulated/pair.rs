//! The paired dense decode kernel.

use oxmla_kernels::abi::Cut;
use oxmla_kernels::decode::Variant;
use oxmla_kernels::simulate::ElementType;
use oxmla_simt::Timing;

use crate::problem::{Problem, Shape};
use crate::{check_problem, one_head};

fn check(shape: Shape, seed: u64, timing: Timing) {
    check_as(ElementType::Bf16, shape, Cut::balanced(5), seed, timing);
}

fn check_as(element: ElementType, shape: Shape, cut: Cut, seed: u64, timing: Timing) {
    let mut problem = Problem::new(shape, element, 7 + seed);
    problem.variant = Variant::Pair;
    problem.cut = cut;
    check_problem(&problem, seed, timing);
}

#[test]
fn one_request_of_one_part() {
    for (seed, timing) in [Timing::Late, Timing::Random].into_iter().enumerate() {
        check(one_head(&[400], 1, 128, 1), seed as u64, timing);
    }
}

#[test]
fn lengths_around_the_ends_of_blocks() {
    for (seed, length) in [1, 63, 64, 65, 129].into_iter().enumerate() {
        check(one_head(&[length], 1, 128, 1), seed as u64, Timing::Random);
    }
}

/// Padding in the second tile; several pieces, whole ones and shared ones; requests without tokens.
#[test]
fn requests_split_among_parts() {
    let shape = one_head(&[300, 0, 3, 130], 1, 100, 3);
    check_as(ElementType::F16, shape, Cut::balanced(0), 0, Timing::Random);
    check_as(ElementType::Bf16, one_head(&[200, 70], 1, 128, 2), Cut::fixed(0), 1, Timing::Late);
}

#[test]
fn several_query_tokens_behind_a_causal_mask() {
    check(one_head(&[66, 129], 3, 40, 2), 0, Timing::Random);
}

#[test]
fn several_kv_heads() {
    let shape = Shape { lengths: vec![100], s_q: 1, h_q: 256, h_k: 2, parts: 1, causal: false };
    check(shape, 0, Timing::Random);
}

/// The choice between the kernels changes no bit.
#[test]
fn the_same_bits_as_of_the_dense_kernel() {
    let mut problem = Problem::new(one_head(&[500, 77], 1, 128, 2), ElementType::Bf16, 5);
    let [dense, pair] = [Variant::Dense, Variant::Pair].map(|variant| {
        problem.variant = variant;
        problem.run(0, Timing::Random).expect("the kernel is right")
    });
    assert_eq!((dense.out, dense.lse), (pair.out, pair.lse));
}
