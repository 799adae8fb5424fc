//! The sparse kernels, run thread by thread in the SIMT machine and compared with f64.

mod fp8;
mod injected;
mod problem;

use oxmla_kernels::abi::Cut;
use oxmla_kernels::simulate::{Error, Listed, SparseCache, SparseStep, SparseWork};
use oxmla_simt::Timing;
use problem::{Outcome, Problem, Work};

fn decode(parts: u32) -> Work {
    Work::Decode(parts, Cut::balanced(5))
}

/// What the kernel makes of a problem is right, and the same bits every time.
fn check(problem: &Problem, seed: u64, timing: Timing) -> Outcome {
    let name = format!("{:?}, d_qk {}, seed {seed}", problem.work, problem.d_qk);
    let run = |seed, timing| {
        let outcome = problem.run(|launch| launch.seed(seed).timing(timing));
        outcome.unwrap_or_else(|error| panic!("{name}: {error}")).0
    };
    let outcome = run(seed, timing);
    problem.check(&name, &outcome);
    let again = run(seed + 1, Timing::Random);
    assert_eq!(outcome.out, again.out, "{name}: other bits in a second run");
    outcome
}

#[test]
fn one_list_of_one_part() {
    for (seed, d_qk) in [576, 512].into_iter().enumerate() {
        for work in [decode(1), Work::Prefill(1)] {
            check(&Problem::new([1, 64, d_qk], 200, work, 3), seed as u64, Timing::Late);
        }
    }
}

/// Blocks of which all tokens count, and the rest of a list.
#[test]
fn lists_in_which_everything_counts() {
    for work in [decode(2), Work::Prefill(1)] {
        let problem = Problem::new([1, 64, 576], 150, work, 2);
        let in_order = |list: &mut problem::List| list.indices = (50..200).collect();
        check(&problem.with(in_order), 0, Timing::Random);
    }
}

#[test]
fn any_number_of_indices() {
    for (seed, topk) in [1, 63, 64, 65, 128, 129].into_iter().enumerate() {
        let work = if seed % 2 == 0 { decode(1) } else { Work::Prefill(1) };
        check(&Problem::new([1, 16, 576], topk, work, seed as u64), 0, Timing::Random);
    }
}

#[test]
fn few_and_many_heads() {
    for (seed, h_q) in [1, 16, 65, 128].into_iter().enumerate() {
        check(&Problem::new([2, h_q, 576], 130, decode(2), 9), seed as u64, Timing::Random);
        check(&Problem::new([3, h_q, 512], 70, Work::Prefill(2), 9), seed as u64, Timing::Late);
    }
}

#[test]
fn lists_split_among_parts() {
    check(&Problem::new([3, 16, 576], 300, decode(5), 1), 0, Timing::Late);
    check(&Problem::new([1, 64, 512], 1000, decode(8), 2), 1, Timing::Random);
    let work = Work::Decode(2, Cut::fixed(1));
    check(&Problem::new([2, 16, 576], 500, work, 3), 2, Timing::Random);
}

/// Lengths from far below nothing to far above everything.
#[test]
fn lengths_of_their_own() {
    let lengths = vec![i32::MIN, 0, 3, 64, 130, 200, i32::MAX];
    for work in [decode(1), decode(3), Work::Prefill(2)] {
        let problem = Problem::new([7, 16, 576], 200, work, 5);
        let outcome =
            check(&problem.with(|list| list.lengths = Some(lengths.clone())), 1, Timing::Random);
        assert_eq!(outcome.lse[..32], [f32::NEG_INFINITY; 32]);
    }
}

/// Lists that name nothing, in the middle and to the end, and a cache without rows.
#[test]
fn lists_that_name_nothing() {
    for work in [decode(1), decode(4), Work::Prefill(1)] {
        let problem = Problem::new([3, 16, 576], 150, work, 8);
        let outcome = check(&problem.with(|list| list.indices[..220].fill(-7)), 0, Timing::Late);
        assert_eq!(outcome.lse[..16], [f32::NEG_INFINITY; 16]);
        assert_eq!(outcome.out[..16 * 512], [0; 16 * 512]);
    }
}

#[test]
fn lists_without_indices() {
    for work in [decode(2), Work::Prefill(1)] {
        let outcome = check(&Problem::new([2, 3, 512], 0, work, 0), 0, Timing::Late);
        assert_eq!(outcome.lse, [f32::NEG_INFINITY; 6]);
    }
}

/// The second cache begins with a block of its own, also behind an empty list.
#[test]
fn second_caches() {
    for work in [decode(1), decode(4), Work::Prefill(2)] {
        let problem = Problem::new([4, 16, 512], 100, work, 4).with_extra(70, None);
        check(&problem, 0, Timing::Random);
        let problem = Problem::new([3, 16, 576], 64, work, 4)
            .with(|list| list.lengths = Some(vec![64, 0, 10]))
            .with_extra(130, Some(vec![0, 130, 65]));
        check(&problem, 1, Timing::Late);
    }
}

/// In whole lists, and in the merge of split ones.
#[test]
fn sinks() {
    for work in [decode(1), decode(4), Work::Prefill(1)] {
        let mut problem = Problem::new([2, 5, 576], 300, work, 6);
        let without = check(&problem, 0, Timing::Late);
        problem.sink = Some(vec![f32::NEG_INFINITY, f32::INFINITY, 0.0, 5.0, -3.0]);
        let with = check(&problem, 0, Timing::Late);
        assert_eq!(with.lse, without.lse);
        assert_eq!(with.out[..512], without.out[..512]);
        assert!(with.out[512..1024].iter().all(|&bits| bits & 0x7fff == 0));
    }
}

/// Arguments that do not fit together are refused by name.
#[test]
fn arguments_are_checked() {
    let (q, cache, indices) = ([0; 576], [0; 576], [0]);
    let (mut out, mut lse) = ([0; 512], [0.0]);
    let mut refused = |change: fn(&mut SparseStep)| {
        let cache = SparseCache::Elements(&cache);
        let strides = [576, 576];
        let mut step = SparseStep {
            tokens: 1,
            h_q: 1,
            d_qk: 576,
            q: &q,
            list: Listed {
                cache,
                block_size: 1,
                blocks: 1,
                strides,
                indices: &indices,
                lengths: None,
            },
            extra: None,
            sink: None,
            out: &mut out,
            lse: &mut lse,
            softmax_scale: 1.0,
            work: SparseWork::Decode { parts: 1, cut: Cut::balanced(5) },
        };
        change(&mut step);
        match step.run(|launch| launch) {
            Err(Error::Argument { name, .. }) => name,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(|step| step.tokens = 0), "tokens");
    assert_eq!(refused(|step| step.d_qk = 500), "d_qk");
    assert_eq!(refused(|step| step.h_q = 2), "q");
    assert_eq!(
        refused(|step| step.work = SparseWork::Prefill { parts: 0, max_logits: None }),
        "parts"
    );
    assert_eq!(refused(|step| step.sink = Some(&[])), "sink");
    assert_eq!(refused(|step| step.list.lengths = Some(&[])), "lengths");
}
