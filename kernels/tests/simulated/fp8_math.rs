//! The dense decode kernel with FP8 math: beside f64 over the same codes, which leaves what rounding the weights to e4m3
//! does.

use oxmla_kernels::abi::Cut;
use oxmla_kernels::simulate::ElementType;
use oxmla_simt::Timing;

use crate::one_head;
use crate::problem::{Problem, Shape};

/// What an LSE may be off: scores are sums of products that f32 holds exactly.
const LSE_TOLERANCE: f64 = 1e-5;

fn check(shape: Shape, seed: u64, timing: Timing) {
    check_problem(&Problem::planar(64, shape, ElementType::Bf16, 7 + seed), seed, timing);
}

fn check_problem(problem: &Problem, seed: u64, timing: Timing) {
    let name = format!("{:?}, {:?}, seed {seed}", problem.element, problem.shape);
    let got = problem.run(seed, timing).unwrap_or_else(|report| panic!("{name}: {report}"));
    let expected = problem.oracle();
    let off = expected.largest_capped / 2048.0;
    for (i, (a, b)) in got.lse.iter().zip(&expected.lse).enumerate() {
        let near = a == b || (a - b).abs() <= LSE_TOLERANCE * b.abs().max(1.0) + off;
        assert!(near, "{name}: lse[{i}] is {a}, not {b}");
    }
    let tolerances = problem.planar_tolerance(&expected.out);
    for (i, (a, b)) in got.out.iter().zip(&expected.out).enumerate() {
        let tolerance = tolerances[i] + 2.0 * off * expected.magnitude[i];
        assert!((a - b).abs() <= tolerance, "{name}: out[{i}] is {a}, not {b}, ± {tolerance}");
    }
}

#[test]
fn one_request_of_one_part() {
    for (seed, timing) in [Timing::Late, Timing::Random].into_iter().enumerate() {
        check(one_head(&[400], 1, 64, 1), seed as u64, timing);
    }
}

#[test]
fn half_precision() {
    for (seed, shape) in
        [one_head(&[300, 90], 1, 64, 3), one_head(&[65], 2, 16, 1)].into_iter().enumerate()
    {
        let problem = Problem::planar(64, shape, ElementType::F16, seed as u64);
        check_problem(&problem, seed as u64, Timing::Random);
    }
}

#[test]
fn lengths_around_the_ends_of_blocks() {
    for (seed, length) in [1, 63, 64, 65, 128, 129].into_iter().enumerate() {
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
    let shape = one_head(&[64, 129, 0, 300], 1, 16, 3);
    let mut problem = Problem::planar(64, shape, ElementType::Bf16, 1);
    problem.cut = Cut::fixed(0);
    check_problem(&problem, 1, Timing::Random);
}

#[test]
fn several_query_tokens_behind_a_causal_mask() {
    check(one_head(&[65, 2, 1], 3, 40, 2), 0, Timing::Late);
    check(one_head(&[130], 2, 64, 1), 1, Timing::Random);
}

#[test]
fn blocks_of_all_sizes() {
    for (seed, block_size) in [16, 32, 128].into_iter().enumerate() {
        let shape = one_head(&[200, 64, 0, 129], 1, 16, 2);
        let problem = Problem::planar(block_size, shape, ElementType::Bf16, 4);
        check_problem(&problem, seed as u64, Timing::Random);
    }
}

/// Scores that lie far apart move the references, and leave most weights zero.
#[test]
fn steep_scores() {
    for seed in 0..2 {
        let shape = one_head(&[400, 150], 1, 64, 2);
        let mut problem = Problem::planar(64, shape, ElementType::Bf16, 20 + seed);
        problem.scale *= 8.0;
        check_problem(&problem, seed, Timing::Random);
    }
}

/// Codes, rope parts and scales before the window are NaN.
#[test]
fn windows_and_soft_caps() {
    for (seed, window) in [1, 64, 100].into_iter().enumerate() {
        let shape = one_head(&[200, 64, 0, 129], 2, 16, 2);
        let problem = Problem::planar(64, shape, ElementType::F16, 9).within(window);
        check_problem(&problem, seed as u64, Timing::Random);
    }
    let shape = one_head(&[400, 33], 2, 64, 2);
    let mut problem = Problem::planar(64, shape, ElementType::Bf16, 10).within(130);
    problem.softcap = Some(2.0);
    check_problem(&problem, 3, Timing::Late);
}
