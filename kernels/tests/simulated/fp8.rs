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

/// The results are closer to what codes and scales stand for than those over tokens in 16 bits.
#[test]
fn closer_than_over_dequantised_tokens() {
    for element in [ElementType::Bf16, ElementType::F16] {
        let problem = Problem::fp8(one_head(&[500, 77], 2, 40, 2), element, 5);
        let right = problem.oracle();
        let [fp8, dense] = [&problem, &problem.dequantised()].map(|problem| {
            let found = problem.run(0, Timing::Random).expect("the kernel is right");
            let off = |found: &[f64], right: &[f64]| -> f64 {
                found.iter().zip(right).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
            };
            [off(&found.out, &right.out), off(&found.lse, &right.lse)]
        });
        println!("{element:?}: out, lse {fp8:?} over codes, {dense:?} over elements");
        let most = if element == ElementType::Bf16 { 1.0 } else { 1.5 };
        let near = fp8[0] < most * dense[0] && fp8[1] < most * dense[1];
        assert!(near, "{element:?}: {fp8:?}, not {dense:?}");
    }
}
