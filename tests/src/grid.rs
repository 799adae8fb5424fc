//! The cases.

use oxmla::{DType, Mask};

use crate::case::{Case, DEFAULT_SCALE, Lengths, Views};
use crate::random::hash;

/// Cases that look for the same kind of mistake.
#[derive(Clone, Debug)]
pub struct Group {
    /// What it is called on the command line.
    pub name: String,
    /// What it runs.
    pub cases: Vec<Case>,
}

const DTYPES: [DType; 2] = [DType::Bf16, DType::F16];
const MASKS: [Mask; 2] = [Mask::None, Mask::Causal];

/// Everything that a GPU runs; the grid, which takes longest, comes last.
#[must_use]
pub fn all() -> Vec<Group> {
    let mut groups = Vec::new();
    for dtype in DTYPES {
        let mut add = |name: &str, cases: Vec<Case>| {
            let cases = cases.into_iter().map(|case| Case { dtype, ..case }).collect();
            groups.push(Group { name: format!("{name}-{dtype}"), cases });
        };
        add("tails", tails());
        add("rows", rows());
        add("zeros", zeros());
        add("many-query-tokens", many_query_tokens());
        add("splits", splits());
        add("scales", scales());
        add("strided", strided());
        add("windows", windows());
        add("block-sizes", block_sizes());
        add("softcaps", softcaps());
    }
    groups.push(Group { name: "grid-f16".into(), cases: thin_grid() });
    groups.push(Group { name: "grid-bf16".into(), cases: grid() });
    groups
}

/// A tenth of it, evenly spread over each group.
#[must_use]
pub fn quick() -> Vec<Group> {
    let thin = |group: Group| Group {
        cases: group
            .cases
            .into_iter()
            .enumerate()
            .filter(|(i, _)| i % 10 == 0)
            .map(|(_, case)| case)
            .collect(),
        ..group
    };
    all().into_iter().map(thin).collect()
}

/// Cases of a group that a tool runs which slows kernels down a hundredfold and more.
const SMALL: usize = 5;
/// Pairs of a query row and a cached token that such a case may have at most; two requests of 1,000 tokens, with two
/// query tokens and 128 heads, have half as many.
const SMALL_PAIRS: usize = 1_000_000;

/// A few small cases of each group, from its first to its last: for compute-sanitizer.
#[must_use]
pub fn small() -> Vec<Group> {
    let few = |group: Group| {
        let cases: Vec<_> = group.cases.into_iter().filter(|c| c.pairs() <= SMALL_PAIRS).collect();
        let step = cases.len().div_ceil(SMALL).max(1);
        Group { cases: cases.into_iter().step_by(step).collect(), ..group }
    };
    all().into_iter().map(few).collect()
}

/// The grid on which FlashMLA tests its dense decode, and 16 heads. Cases with the same cache are neighbours.
#[must_use]
pub fn grid() -> Vec<Case> {
    product(
        &[1, 2, 6, 64],
        &[20, 140, 4096],
        &[1, 2, 3, 8],
        &[1, 2, 4],
        &[1, 3, 9, 16, 63, 64, 126, 128],
    )
}

fn thin_grid() -> Vec<Case> {
    let cases = product(&[1, 6], &[20, 140, 4096], &[1, 2, 3, 8], &[1, 2], &[1, 9, 16, 63, 128]);
    cases.into_iter().map(|case| Case { dtype: DType::F16, ..case }).collect()
}

/// Every length from 0 to 130: by itself, which is when a GPU splits it most, and all in one batch.
#[must_use]
pub fn tails() -> Vec<Case> {
    let steps = [(1, Mask::None), (2, Mask::Causal), (4, Mask::Causal), (4, Mask::None)];
    let batch = (0..=130).collect::<Vec<i32>>();
    let together = steps.into_iter().flat_map(|(s_q, mask)| {
        let lengths = Lengths::Listed(batch.clone());
        let case = Case { batch: 131, s_q, mask, lengths, seed: 1, ..Case::default() };
        [(16, 1), (128, 1), (6, 3)].map(|(h_q, h_k)| Case { h_q, h_k, ..case.clone() })
    });
    let alone = (0..=130).flat_map(|length| {
        let lengths = Lengths::Fixed(length);
        let case = Case { batch: 1, lengths, seed: 2, ..Case::default() };
        [(1, 16, 1), (1, 128, 1), (2, 16, 1), (2, 6, 3)].map(|(s_q, h_q, h_k)| {
            let mask = if s_q > 1 { Mask::Causal } else { Mask::None };
            Case { s_q, h_q, h_k, mask, ..case.clone() }
        })
    });
    together.chain(alone).collect()
}

/// Every number of query rows from 1 to 130: the last tile filled to each degree.
#[must_use]
pub fn rows() -> Vec<Case> {
    let case = |h_q| Case { h_q, lengths: Lengths::Varied(140), seed: 3, ..Case::default() };
    (1..=130).map(case).collect()
}

/// Requests without a token, alone and among others.
#[must_use]
pub fn zeros() -> Vec<Case> {
    let mut cases = vec![Case {
        batch: 128,
        s_q: 2,
        h_q: 128,
        lengths: Lengths::WithZeros(4096),
        ..Case::default()
    }];
    for (batch, lengths) in [
        (1, Lengths::Fixed(0)),
        (5, Lengths::Fixed(0)),
        (2, Lengths::Listed(vec![0, 100])),
        (2, Lengths::Listed(vec![100, 0])),
        (6, Lengths::WithZeros(140)),
        (64, Lengths::WithZeros(20)),
        (64, Lengths::WithZeros(2000)),
    ] {
        for (s_q, h_q, h_k) in [(1, 16, 1), (2, 128, 1), (4, 9, 3)] {
            let case =
                Case { batch, s_q, h_q, h_k, lengths: lengths.clone(), seed: 4, ..Case::default() };
            cases.extend(MASKS.map(|mask| Case { mask, ..case.clone() }));
        }
    }
    cases
}

/// More query tokens than heads: tiles whose rows see different numbers of tokens, some of them none.
#[must_use]
pub fn many_query_tokens() -> Vec<Case> {
    let mut cases = Vec::new();
    for (s_q, h_q, h_k) in [(17, 8, 1), (64, 3, 1), (100, 1, 1), (33, 16, 1), (9, 16, 8)] {
        let lengths = Lengths::Listed(vec![0, 1, s_q as i32 - 1, s_q as i32, 64, 65, 300, 1000]);
        let case = Case { batch: 8, s_q, h_q, h_k, lengths, seed: 5, ..Case::default() };
        cases.extend(MASKS.map(|mask| Case { mask, ..case.clone() }));
    }
    cases
}

/// Work that is hard to share out: one long request, alone and among many short ones.
#[must_use]
pub fn splits() -> Vec<Case> {
    let one_long = |long, batch, place: usize| {
        let mut lengths = vec![7; batch];
        lengths[place] = long;
        Lengths::Listed(lengths)
    };
    let mut cases = Vec::new();
    for (batch, lengths) in [
        (1, Lengths::Fixed(16_384)),
        (1, Lengths::Fixed(65_536)),
        (3, Lengths::Listed(vec![64, 64 * 131, 64 * 133])),
        (64, one_long(20_000, 64, 0)),
        (64, one_long(20_000, 64, 63)),
        (300, one_long(9_000, 300, 150)),
        (1000, Lengths::Varied(100)),
    ] {
        for (s_q, h_q, h_k) in [(1, 16, 1), (2, 128, 1), (2, 4, 2)] {
            let mask = if s_q > 1 { Mask::Causal } else { Mask::None };
            let lengths = lengths.clone();
            cases.push(Case { batch, s_q, h_q, h_k, lengths, mask, seed: 6, ..Case::default() });
        }
    }
    cases
}

/// Scales that make the softmax flat, and so sharp that one token wins.
#[must_use]
pub fn scales() -> Vec<Case> {
    let case = |scale| {
        let lengths = Lengths::Varied(1000);
        Case { h_q: 128, s_q: 2, scale, lengths, mask: Mask::Causal, seed: 7, ..Case::default() }
    };
    [1e-3, 0.3, 1.0, 30.0, 300.0].into_iter().map(case).collect()
}

/// Sliding windows: smaller and larger than requests, around the ends of blocks, over splits, and so many query tokens
/// that the window moves through a tile.
#[must_use]
pub fn windows() -> Vec<Case> {
    let mut cases = Vec::new();
    let listed = vec![0, 1, 63, 64, 65, 129, 300, 1000];
    for window in [1, 2, 63, 64, 65, 100, 128, 500, 5000, u32::MAX] {
        for (s_q, h_q, h_k) in [(1, 16, 1), (2, 128, 1), (3, 6, 3), (70, 2, 1)] {
            let lengths = Lengths::Listed(listed.clone());
            let case = Case { batch: 8, s_q, h_q, h_k, lengths, seed: 8, ..Case::default() };
            cases.extend(MASKS.map(|mask| Case { mask: mask.within(window), ..case.clone() }));
        }
    }
    let mut long = vec![70; 40];
    long[17] = 60_000;
    for (batch, lengths) in [
        (1, Lengths::Fixed(20_000)),
        (40, Lengths::Listed(long)),
        (64, Lengths::WithZeros(2000)),
        (150, Lengths::Varied(4096)),
    ] {
        for (window, s_q, h_q) in [(1000, 1, 16), (4096, 2, 128)] {
            let (lengths, mask) = (lengths.clone(), Mask::Causal.within(window));
            cases.push(Case { batch, s_q, h_q, lengths, mask, seed: 9, ..Case::default() });
        }
    }
    cases
}

/// Blocks of 16, 32 and 128 tokens: requests that end around the ends of blocks, splits, several KV heads, gaps, and
/// windows that begin inside a block.
#[must_use]
pub fn block_sizes() -> Vec<Case> {
    let mut cases = Vec::new();
    let ends = vec![0, 1, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 81, 127, 128, 129, 300, 1000];
    let listed = Lengths::Listed(ends.clone());
    for block_size in [16, 32, 128] {
        let case = Case { block_size, seed: 12, ..Case::default() };
        for (s_q, h_q, h_k, views) in [
            (1, 16, 1, Views::Packed),
            (2, 128, 1, Views::Packed),
            (3, 6, 3, Views::Strided),
            (1, 128, 1, Views::Strided),
        ] {
            let case = Case { s_q, h_q, h_k, views, ..case.clone() };
            let (batch, lengths) = (ends.len(), listed.clone());
            let batch = Case { batch, lengths, ..case.clone() };
            cases.extend(MASKS.map(|mask| Case { mask, ..batch.clone() }));
            cases.extend([1, 30, 70, 500].map(|window| {
                let mask = Mask::Causal.within(window);
                Case { mask, ..batch.clone() }
            }));
        }
        for (batch, lengths) in [
            (1, Lengths::Fixed(20_000)),
            (64, Lengths::WithZeros(2000)),
            (150, Lengths::Varied(4096)),
        ] {
            for (s_q, h_q) in [(1, 16), (2, 128)] {
                cases.push(Case { batch, s_q, h_q, lengths: lengths.clone(), ..case.clone() });
            }
        }
    }
    cases
}

/// Soft caps that hardly change a score, and that flatten nearly all; behind windows, too.
#[must_use]
pub fn softcaps() -> Vec<Case> {
    let mut cases = Vec::new();
    for (cap, scale) in [(0.5, DEFAULT_SCALE), (2.0, DEFAULT_SCALE), (2.0, 1.0), (50.0, 1.0)] {
        for (s_q, h_q) in [(1, 16), (2, 128)] {
            let lengths = Lengths::Varied(1000);
            let softcap = Some(cap);
            let case = Case { s_q, h_q, scale, softcap, lengths, seed: 10, ..Case::default() };
            let masks = [Mask::None, Mask::Causal, Mask::Causal.within(300)];
            cases.extend(masks.map(|mask| Case { mask, ..case.clone() }));
        }
    }
    cases
}

/// Tensors with gaps.
#[must_use]
pub fn strided() -> Vec<Case> {
    let mut cases = product(&[1, 6], &[20, 1000], &[1, 2, 3], &[1, 2, 4], &[1, 6, 16, 126]);
    for case in &mut cases {
        case.views = Views::Strided;
    }
    cases
}

/// All combinations in bf16 for which the KV heads divide the query heads; of each, lengths that are the same
/// and that are not, with and without a mask.
fn product(
    batches: &[usize],
    means: &[i32],
    h_ks: &[usize],
    s_qs: &[usize],
    h_qs: &[usize],
) -> Vec<Case> {
    let mut cases = Vec::new();
    for (&batch, &mean) in pairs(batches, means) {
        for (lengths, &h_k) in pairs(&[Lengths::Fixed(mean), Lengths::Varied(mean)], h_ks) {
            let seed = hash(batch as u64, mean as u64) >> 32;
            let base = Case { batch, h_k, seed, lengths: lengths.clone(), ..Case::default() };
            for (&s_q, &h_q) in pairs(s_qs, h_qs).filter(|(_, h_q)| h_q.is_multiple_of(h_k)) {
                cases.extend(MASKS.map(|mask| Case { s_q, h_q, mask, ..base.clone() }));
            }
        }
    }
    cases
}

fn pairs<'a, A, B>(a: &'a [A], b: &'a [B]) -> impl Iterator<Item = (&'a A, &'a B)> {
    a.iter().flat_map(move |a| b.iter().map(move |b| (a, b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_can_be_named_and_run_again() -> anyhow::Result<()> {
        for group in all() {
            for case in &group.cases {
                assert_eq!(&case.to_string().parse::<Case>()?, case, "{}", group.name);
            }
        }
        Ok(())
    }

    /// Split requests and all element types included.
    #[test]
    fn every_group_has_small_cases() {
        for group in small() {
            assert!((1..=SMALL).contains(&group.cases.len()), "{}", group.name);
        }
    }

    /// 4 batches, 3 numbers of query tokens, 3 means, 19 pairs of heads, 2 kinds of lengths, 2 masks.
    #[test]
    fn the_grid_is_whole() {
        assert_eq!(grid().len(), 4 * 3 * 3 * 19 * 2 * 2);
    }
}
