//! The dense decode kernel, run thread by thread in the SIMT machine and compared with f64.

mod fp8;
mod fp8_math;
mod injected;
mod paged;
mod pair;
mod problem;
mod window;

use oxmla_kernels::abi::{Cut, Reach};
use oxmla_kernels::decode::Variant;
use oxmla_kernels::simulate::{CachedTokens, DenseDecode, ElementType, Error};
use oxmla_simt::{Event, Timing};
use problem::{Problem, Shape};

/// What an output may be off, relative to the sum of the magnitudes that it is made of: probabilities and
/// outputs are rounded, by half a unit in the last place each.
fn tolerance(element: ElementType) -> f64 {
    match element {
        ElementType::Bf16 => 2.0 / 256.0,
        ElementType::F16 => 2.0 / 2048.0,
    }
}

/// What an output may be off where there is next to nothing: half of the least f16. What is less than half a step of a
/// unit of 2^−64, a bf16 over an FP8 cache loses.
fn least(problem: &Problem) -> f64 {
    if problem.is_fp8() && problem.element == ElementType::Bf16 { 2f64.powi(-88) } else { 1e-6 }
}

/// What an LSE may be off: keys of an FP8 cache are rounded to 11 bits.
fn lse_tolerance(problem: &Problem) -> f64 {
    if problem.is_fp8() { 2e-4 } else { 1e-5 }
}

fn check(shape: Shape, seed: u64, timing: Timing) {
    check_as(ElementType::Bf16, shape, seed, timing);
}

/// As [`check`], with pieces of 2^`piece_log2` blocks.
fn check_fixed(shape: Shape, piece_log2: u32, seed: u64) {
    let mut problem = Problem::new(shape, ElementType::Bf16, 7 + seed);
    problem.cut = Cut::fixed(piece_log2);
    check_problem(&problem, seed, Timing::Random);
}

fn check_as(element: ElementType, shape: Shape, seed: u64, timing: Timing) {
    check_problem(&Problem::new(shape, element, 7 + seed), seed, timing);
}

fn check_problem(problem: &Problem, seed: u64, timing: Timing) {
    let element = problem.element;
    let name = format!("{element:?}, {:?}, seed {seed}", problem.shape);
    let got = problem.run(seed, timing).unwrap_or_else(|report| panic!("{name}: {report}"));
    let expected = problem.oracle();
    let off = expected.largest_capped / 2048.0;
    for (i, (a, b)) in got.lse.iter().zip(&expected.lse).enumerate() {
        let near = a == b || (a - b).abs() <= lse_tolerance(problem) * b.abs().max(1.0) + off;
        assert!(near, "{name}: lse[{i}] is {a}, not {b}");
    }
    for (i, (a, b)) in got.out.iter().zip(&expected.out).enumerate() {
        // A score that is off by `off` makes a probability off by a factor of e^off, and so does the sum of them.
        let tolerance = tolerance(element) + 2.0 * off;
        let near = (a - b).abs() <= tolerance * expected.magnitude[i] + least(problem);
        assert!(near, "{name}: out[{i}] is {a}, not {b}");
    }
}

fn one_head(lengths: &[i32], s_q: usize, h_q: usize, parts: u32) -> Shape {
    Shape { lengths: lengths.to_vec(), s_q, h_q, h_k: 1, parts, causal: s_q > 1 }
}

#[test]
fn one_request_of_one_part() {
    for seed in 0..3 {
        check(one_head(&[200], 1, 64, 1), seed, Timing::Late);
        check(one_head(&[200], 1, 64, 1), seed, Timing::Random);
    }
}

#[test]
fn half_precision() {
    check_as(ElementType::F16, one_head(&[300, 90], 1, 64, 3), 0, Timing::Random);
    check_as(ElementType::F16, one_head(&[65], 2, 16, 1), 1, Timing::Late);
}

#[test]
fn lengths_around_the_ends_of_blocks() {
    for (seed, length) in [1, 63, 64, 65, 127, 128, 129].into_iter().enumerate() {
        check(one_head(&[length], 1, 16, 1), seed as u64, Timing::Late);
    }
}

#[test]
fn few_and_many_heads() {
    for (seed, h_q) in [1, 16, 64, 128].into_iter().enumerate() {
        check(one_head(&[70, 130], 1, h_q, 2), seed as u64, Timing::Random);
    }
}

#[test]
fn requests_split_among_parts() {
    check(one_head(&[500, 3, 260], 1, 16, 5), 0, Timing::Late);
    check(one_head(&[500, 3, 260], 1, 16, 5), 1, Timing::Random);
}

/// Many parts share a request: teams of warps; and few.
#[test]
fn merges_of_many_and_few_parts() {
    check(one_head(&[1300], 1, 16, 21), 0, Timing::Random);
    check(one_head(&[700], 1, 64, 11), 1, Timing::Late);
    check(one_head(&[700], 1, 40, 4), 2, Timing::Random);
    check(one_head(&[400, 300], 1, 64, 3), 3, Timing::Random);
}

#[test]
fn pieces_of_a_fixed_length() {
    check_fixed(one_head(&[64, 129, 700], 2, 128, 5), 2, 0);
    check_fixed(one_head(&[500, 3, 0, 260], 1, 16, 2), 0, 1);
    check_fixed(one_head(&[300], 1, 16, 1), 1, 2);
}

#[test]
fn empty_requests() {
    check(one_head(&[0, 64, 0, 100, 0], 1, 16, 2), 0, Timing::Late);
    check(one_head(&[0, 0], 2, 16, 3), 1, Timing::Late);
}

#[test]
fn several_query_tokens_behind_a_causal_mask() {
    check(one_head(&[65, 2, 1], 3, 40, 2), 0, Timing::Late);
    check(one_head(&[130], 2, 64, 1), 1, Timing::Random);
}

#[test]
fn several_kv_heads() {
    let shape = Shape { lengths: vec![100, 64], s_q: 2, h_q: 8, h_k: 2, parts: 2, causal: true };
    check(shape, 0, Timing::Late);
}

/// The trace of a CTA has the two multiplying warpgroups at work at the same time, and the producer's copies.
#[test]
fn traces_show_the_pipeline() {
    let problem = Problem::new(one_head(&[256], 1, 64, 1), ElementType::Bf16, 1);
    let (_, trace) = problem.run_as(|launch| launch.trace(true)).expect("the kernel is right");
    let of = |warp, event| trace.spans.iter().filter(move |s| (s.warp, s.event) == (warp, event));
    // Per block: 36 steps of the scores, 4 of each half of the output; 9 boxes, and as many of Q once.
    assert_eq!(of(0, Event::Multiply).count(), 4 * 40);
    assert_eq!(of(4, Event::Multiply).count(), 4 * 4);
    assert_eq!(of(8, Event::Copy).count(), 5 * 9);
    assert!(of(8, Event::Mbarrier).count() > 0 && of(4, Event::Barrier).count() > 0);
    assert!(trace.svg([0; 3]).is_some());
}

/// Arguments that do not fit together are refused by name.
#[test]
fn arguments_are_checked() {
    let (q, cache, mut out, mut lse) = ([0; 576], [0; 64 * 576], [0; 512], [0.0]);
    let mut refused = |change: fn(&mut DenseDecode)| {
        let mut step = DenseDecode {
            element: ElementType::F16,
            s_q: 1,
            h_q: 1,
            h_k: 1,
            lengths: &[0],
            block_size: 64,
            block_table: &[0],
            q: &q,
            kv_cache: CachedTokens::Elements(&cache),
            out: &mut out,
            lse: &mut lse,
            softmax_scale: 1.0,
            softcap: None,
            causal: false,
            parts: 1,
            cut: Cut::balanced(5),
            reach: Reach::ALL,
            variant: Variant::Dense,
        };
        change(&mut step);
        match step.run(|launch| launch) {
            Err(Error::Argument { name, .. }) => name,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(|step| step.s_q = 2), "q");
    assert_eq!(refused(|step| step.h_k = 2), "h_q");
    assert_eq!(refused(|step| step.h_k = 0), "h_k");
    assert_eq!(refused(|step| step.parts = 0), "parts");
    assert_eq!(refused(|step| step.block_size = 48), "block_size");
    assert_eq!(refused(|step| step.lengths = &[]), "lengths");
    assert_eq!(refused(|step| step.kv_cache = CachedTokens::Token656(&[])), "kv_cache");
    assert_eq!(refused(|step| step.kv_cache = CachedTokens::Elements(&[])), "kv_cache");
}
