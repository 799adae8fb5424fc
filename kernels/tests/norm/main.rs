//! The normalisation kernels, run thread by thread in the SIMT machine and compared with f64.

mod problem;

use oxmla_kernels::simulate::ElementType;
use oxmla_simt::Timing;
use problem::Problem;

/// Widths with fewer vectors than lanes, with exactly what a warp has at a time, and with more.
const WIDTHS: [u32; 7] = [8, 248, 264, 1536, 1544, 2048, 4104];

#[test]
fn every_width() {
    for element in [ElementType::Bf16, ElementType::F16] {
        for (seed, width) in WIDTHS.into_iter().enumerate() {
            Problem::new(element, [3, width], seed as u64).check();
        }
    }
}

#[test]
fn any_number_of_rows() {
    for rows in [1, 4, 5, 130] {
        Problem::new(ElementType::Bf16, [rows, 264], rows.into()).check();
    }
}

/// Rows of zeros stay zeros, for `eps` is added to their mean square; without it they are 0 · ∞.
#[test]
fn zeros_and_large_numbers() {
    let zeros = Problem::new(ElementType::Bf16, [2, 512], 1).scaled(0.0);
    zeros.check();
    let (y, _) = Problem { eps: 0.0, ..zeros }.run(|launch| launch).expect("no access is wrong");
    assert!(y[..512].iter().all(|&bits| bits & 0x7fff > 0x7f80), "no NaN");
    Problem::new(ElementType::Bf16, [2, 512], 2).scaled(1e15).check();
    Problem::new(ElementType::F16, [2, 512], 3).scaled(1e3).check();
    Problem::new(ElementType::F16, [2, 512], 4).scaled(1e-3).check();
}

#[test]
fn the_order_in_which_warps_run_changes_nothing() {
    let problem = Problem::new(ElementType::F16, [9, 1800], 5);
    let (first, trace) = problem.run(|launch| launch.survey(true)).expect("the kernel is right");
    assert_eq!(trace.places, [].into(), "what warps do for each other can be broken: inject it");
    for seed in 1..4 {
        let again = problem.run(|launch| launch.seed(seed).timing(Timing::Random));
        assert_eq!(first, again.expect("the kernel is right").0);
    }
}

/// What the comparison must not let pass: another `eps`, another weight, columns left out of the mean, two units more.
#[test]
fn mistakes_are_found() {
    let problem = Problem::new(ElementType::Bf16, [5, 1536], 6);
    let (y, _) = problem.run(|launch| launch).expect("the kernel is right");
    assert_eq!(problem.verify(&y), Ok(()));
    let eps = Problem { eps: 0.1, ..problem.clone() };
    assert!(eps.verify(&y).is_err());
    let mut weight = problem.clone();
    weight.weight.swap(100, 1101);
    assert!(weight.verify(&y).is_err());
    let mut fewer = problem.clone();
    fewer.width -= 64;
    assert!(fewer.verify(&y).is_err());
    let mut off = y.clone();
    off[1000] += 2;
    assert!(problem.verify(&off).is_err());
    let mut gap = y;
    gap[1536] = 0;
    assert!(problem.verify(&gap).is_err());
}

/// Reading or writing where there is nothing is an error of the machine, not a result.
#[test]
fn rows_that_are_not_there_are_found() {
    let mut problem = Problem::new(ElementType::Bf16, [4, 512], 7);
    problem.rows = 5;
    assert!(problem.run(|launch| launch).is_err());
}
