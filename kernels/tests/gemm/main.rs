//! The matrix-product kernels, run thread by thread in the SIMT machine and compared with f64.

mod injected;
mod problem;

use oxmla_kernels::gemm::tiling::WIDTHS;
use oxmla_kernels::simulate::ElementType;
use oxmla_simt::Timing;
use problem::Problem;

const NARROW: [u32; 2] = WIDTHS[0];
const MIDDLE: [u32; 2] = WIDTHS[1];
const WIDE: [u32; 2] = WIDTHS[2];
const PAIR_192: [u32; 2] = WIDTHS[3];
const PAIR: [u32; 2] = WIDTHS[4];

/// Runs a problem with copies as late as can be and at random times: right, the same bits, and nothing between rows
/// written.
fn check(name: &str, problem: &Problem) {
    let mut first = None;
    for (seed, timing) in [(0, Timing::Late), (1, Timing::Random)] {
        let run = problem.run(|launch| launch.seed(seed).timing(timing));
        let (y, _) = run.unwrap_or_else(|error| panic!("{name}, seed {seed}: {error}"));
        problem.verify(&y).unwrap_or_else(|error| panic!("{name}, seed {seed}: {error}"));
        assert!(*first.get_or_insert_with(|| y.clone()) == y, "{name}: other bits");
    }
}

/// Each width on one CTA and on several: tails in rows, columns and inputs, fewer blocks than stages and more.
#[test]
fn every_width_with_tails_everywhere() {
    for (seed, (width, sizes, ctas)) in [
        (NARROW, [1, 1, 128, 64], 1),
        (NARROW, [1, 5, 200, 72], 2),
        (NARROW, [1, 64, 64, 640], 1),
        (NARROW, [1, 70, 264, 136], 3),
        (MIDDLE, [1, 128, 128, 64], 1),
        (MIDDLE, [1, 100, 136, 456], 2),
        (WIDE, [1, 256, 128, 64], 1),
        (WIDE, [1, 200, 72, 328], 1),
        (WIDE, [1, 259, 136, 200], 2),
        (PAIR_192, [1, 200, 264, 392], 2),
        (PAIR_192, [1, 150, 136, 72], 4),
        (PAIR, [1, 256, 256, 64], 2),
        (PAIR, [1, 30, 72, 328], 2),
        (PAIR, [1, 259, 264, 392], 2),
        (PAIR, [1, 300, 136, 136], 4),
    ]
    .into_iter()
    .enumerate()
    {
        let problem = Problem::new(sizes, width, [1, ctas], seed as u64);
        check(&format!("{width:?}, {sizes:?}"), &problem);
    }
}

#[test]
fn half_precision() {
    for width in WIDTHS {
        let problem = Problem::new([1, 66, 136, 72], width, [1, 2], 1);
        check("f16", &problem.with_element(ElementType::F16, 2));
    }
}

/// A CTA that goes on with another tile, also of another product.
#[test]
fn batches_of_products() {
    check("heads", &Problem::new([5, 3, 136, 72], NARROW, [1, 3], 1));
    check("heads of many tokens", &Problem::new([2, 130, 128, 64], MIDDLE, [1, 1], 2));
    check("heads for two", &Problem::new([3, 40, 136, 72], PAIR, [1, 4], 3));
}

/// CTAs that share the inputs of a tile, fewer and more than are added up at a time.
#[test]
fn shared_inputs() {
    for (seed, (width, sizes, splits)) in [
        (NARROW, [1, 1, 136, 256], 2),
        (NARROW, [1, 20, 64, 640], 9),
        (NARROW, [2, 65, 72, 200], 3),
        (MIDDLE, [1, 77, 264, 136], 2),
        (WIDE, [1, 140, 40, 192], 3),
    ]
    .into_iter()
    .enumerate()
    {
        let problem = Problem::new(sizes, width, [splits, 132], seed as u64);
        check(&format!("{width:?}, {sizes:?} / {splits}"), &problem);
    }
}

/// The rope part is turned beside the product, by its token's position; a token without one has zeros there.
#[test]
fn turned_rope_parts() {
    let two = Problem::new([3, 6, 136, 64], NARROW, [1, 2], 1).turned(vec![7, 2, 1], 7, 1);
    check("two tokens each", &two);
    let lengths = vec![3, 100, 0, -5, i32::MAX, 4];
    let one = Problem::new([9, 6, 64, 64], NARROW, [1, 1], 2).turned(lengths, 50, 2);
    check("one token each", &one);
    let heads = Problem::new([37, 2, 64, 64], NARROW, [1, 2], 4).turned(vec![9], 9, 4);
    check("more heads than a warp takes at once", &heads);
    let many = Problem::new([2, 70, 64, 64], PAIR, [1, 2], 3).turned(vec![70], 70, 3);
    check("one request, f16", &many.with_element(ElementType::F16, 3));
}
