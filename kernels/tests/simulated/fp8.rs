//! The dense decode kernel over an FP8 cache.

use oxmla_kernels::abi::Cut;
use oxmla_kernels::simulate::ElementType;
use oxmla_simt::Timing;

use crate::problem::{Problem, Shape};
use crate::{check_problem, one_head};

fn check(shape: Shape, seed: u64, timing: Timing) {
    check_as(ElementType::Bf16, shape, seed, timing);
}

fn check_as(element: ElementType, shape: Shape, seed: u64, timing: Timing) {
    check_problem(&Problem::fp8(shape, element, 7 + seed), seed, timing);
}

#[test]
fn one_request_of_one_part() {
    for (seed, timing) in [Timing::Late, Timing::Random].into_iter().enumerate() {
        check(one_head(&[400], 1, 64, 1), seed as u64, timing);
    }
}

#[test]
fn half_precision() {
    check_as(ElementType::F16, one_head(&[300, 90], 1, 64, 3), 0, Timing::Random);
    check_as(ElementType::F16, one_head(&[65], 2, 16, 1), 1, Timing::Late);
}

#[test]
fn lengths_around_the_ends_of_blocks() {
    for (seed, length) in [1, 63, 64, 65, 129].into_iter().enumerate() {
        check(one_head(&[length], 1, 16, 1), seed as u64, Timing::Late);
    }
}

#[test]
fn few_and_many_heads() {
    for (seed, h_q) in [1, 16, 128].into_iter().enumerate() {
        check(one_head(&[70, 130], 1, h_q, 2), seed as u64, Timing::Random);
    }
}

#[test]
fn requests_split_among_parts_and_without_tokens() {
    check(one_head(&[500, 3, 0, 260], 1, 16, 5), 0, Timing::Late);
    let mut problem = Problem::fp8(one_head(&[64, 129, 0, 300], 1, 16, 3), ElementType::Bf16, 1);
    problem.cut = Cut::fixed(0);
    check_problem(&problem, 1, Timing::Random);
}

#[test]
fn several_query_tokens_behind_a_causal_mask() {
    check(one_head(&[65, 2, 1], 3, 40, 2), 0, Timing::Late);
    check(one_head(&[130], 2, 64, 1), 1, Timing::Random);
}

/// Codes and scales before the window are NaN.
#[test]
fn windows_and_soft_caps() {
    for (seed, window) in [1, 64, 100].into_iter().enumerate() {
        let problem = Problem::fp8(one_head(&[200, 64, 0, 129], 2, 16, 2), ElementType::F16, 9)
            .within(window);
        check_problem(&problem, seed as u64, Timing::Random);
    }
    let mut problem =
        Problem::fp8(one_head(&[400, 33], 2, 64, 2), ElementType::Bf16, 10).within(130);
    problem.softcap = Some(2.0);
    check_problem(&problem, 3, Timing::Late);
}

/// What the converter makes is what the dense kernel reads from a cache of dequantised tokens.
#[test]
fn the_same_bits_as_over_dequantised_tokens() {
    for element in [ElementType::Bf16, ElementType::F16] {
        let problem = Problem::fp8(one_head(&[500, 77], 2, 40, 2), element, 5);
        let [fp8, dense] = [&problem, &problem.dequantised()]
            .map(|problem| problem.run(0, Timing::Random).expect("the kernel is right"));
        assert_eq!((fp8.out, fp8.lse), (dense.out, dense.lse));
    }
}
