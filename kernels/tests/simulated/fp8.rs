//! The dense decode kernel over an FP8 cache.

use oxmla_kernels::abi::Cut;
use oxmla_kernels::simulate::ElementType;
use oxmla_simt::Timing;

use crate::problem::{Magnitudes, Problem, Shape};
use crate::{check_problem, lse_tolerance, one_head};

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

fn check_of(magnitudes: &Magnitudes) {
    for (seed, shape) in
        [one_head(&[300, 70], 1, 16, 1), one_head(&[130], 2, 40, 1)].into_iter().enumerate()
    {
        let problem = Problem::fp8_of(shape, ElementType::Bf16, 11, magnitudes);
        check_problem(&problem, seed as u64, Timing::Random);
    }
}

#[test]
fn small_and_large_scales() {
    let power = |k: i32| 2f64.powi(k);
    let of = Magnitudes::default;
    check_of(&Magnitudes { scale: |_, _| 2f32.powi(-60), rope: power(-60), q: |_| 2f64.powi(60) });
    check_of(&Magnitudes { scale: |_, _| 2f32.powi(-100), ..of() });
    check_of(&Magnitudes { scale: |_, _| 2f32.powi(100), q: |_| 2f64.powi(-100), ..of() });
    check_of(&Magnitudes { scale: |_, _| 0.0, ..of() });
}

#[test]
fn groups_of_different_scales() {
    let scale = |_, group| [1.0, 2f32.powi(-20), 2f32.powi(-8), 0.0][group];
    check_of(&Magnitudes { scale, ..Magnitudes::default() });
}

/// The unit has to move, with what has been added up.
#[test]
fn tokens_of_rising_and_falling_scales() {
    let rising = |position, _| 2f32.powi(position as i32 / 16);
    check_of(&Magnitudes { scale: rising, q: |_| 2f64.powi(-16), ..Magnitudes::default() });
    let falling = |position, _| 2f32.powi(-(position as i32) / 16);
    check_of(&Magnitudes { scale: falling, ..Magnitudes::default() });
}

#[test]
fn rope_parts_much_larger_or_smaller_than_latents() {
    let scale = |_, _| 2f32.powi(-12);
    check_of(&Magnitudes { scale, rope: 2f64.powi(12), q: |_| 2f64.powi(-12) });
    check_of(&Magnitudes { rope: 2f64.powi(-30), ..Magnitudes::default() });
    let problem = Problem::fp8_of(
        one_head(&[200], 1, 16, 1),
        ElementType::F16,
        11,
        &Magnitudes { scale, rope: 2f64.powi(6), q: |_| 2f64.powi(-6) },
    );
    check_problem(&problem, 0, Timing::Random);
}

#[test]
fn query_rows_of_any_magnitude() {
    let q = |row| [4.0, 1.0, 1e-30, 0.0][row % 4];
    check_of(&Magnitudes { q, ..Magnitudes::default() });
    // f32 holds no scores of 1e18, but such queries may stand before tokens that are as small.
    let q = |row| [2f64.powi(60), 1.0, 1e-30, 0.0][row % 4];
    check_of(&Magnitudes { scale: |_, _| 2f32.powi(-60), rope: 2f64.powi(-60), q });
    // And before tokens that are nothing.
    check_of(&Magnitudes { scale: |_, _| 0.0, rope: 0.0, q: |_| 1e30 });
}

/// A scale that is no number leaves the LSE of rows alone that do not see its token.
#[test]
fn scales_that_are_no_numbers() {
    for scale in [
        |p, _| if p == 129 { f32::NAN } else { 1.0 },
        |p, _| if p == 129 { f32::INFINITY } else { 1.0 },
    ] {
        let magnitudes = Magnitudes { scale, ..Magnitudes::default() };
        let shape = one_head(&[130], 2, 8, 1);
        let problem = Problem::fp8_of(shape, ElementType::Bf16, 11, &magnitudes);
        let found = problem.run(0, Timing::Random).expect("the kernel is right");
        let right = problem.oracle();
        for (found, right) in found.lse.chunks(2).zip(right.lse.chunks(2)) {
            assert!((found[0] - right[0]).abs() < lse_tolerance(&problem) * right[0].abs());
            assert!(found[1].is_nan());
        }
    }
}

/// The results are closer to what codes and scales stand for than those over tokens in bf16, and not much further off than
/// those over tokens in f16. A tile element is rounded twice to 11 bits, scale and product, so it is off by at most twice as
/// much as a token in f16, and by √2 of it in the mean square; a token in bf16 is rounded once to 8 bits, and off by 4 to
/// 5.7 times as much. An LSE is off by nothing else. An output is itself rounded, in both alike.
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
        let [out, lse] = if element == ElementType::Bf16 { [1.0, 2.0 / 8.0] } else { [2.0; 2] };
        let near = fp8[0] < out * dense[0] && fp8[1] < lse * dense[1];
        assert!(near, "{element:?}: {fp8:?}, not {dense:?}");
    }
}
