//! The configurations of `oxmla bench suite`.

use oxmla::{BLOCK_SIZE, DType};

use super::case::{Cache, Case, Distribution};

/// One configuration or two of each regime, for a look in less than a minute.
const QUICK: [&str; 11] = [
    "b128_sq2_h128_sk8192_var",
    "b128_sq2_h128_sk4096_causal",
    "b128_sq1_h128_sk4096",
    "b128_sq1_h16_sk4096",
    "b128_sq1_h64_sk16384",
    "b128_sq1_h16_sk1024",
    "b128_sq1_h128_sk1024_ramp_causal",
    "b1_sq1_h128_sk1024",
    "b1_sq1_h128_sk8192",
    "b4_sq1_h128_sk4096",
    "b128_sq1_h16_sk4096_fp8",
];

/// Everything that a regime asks for of dense decode, every row of it that a peer is recorded with, what the curves over
/// batch and length need between them, and what sparse decode is held against.
pub fn all(seed: u64) -> Vec<Case> {
    use Distribution::{Fixed, Normal, Ramp};
    const LONG: &[u32] = &[4096, 8192, 16384, 32768];
    const WIDE: &[u32] = &[1024, 4096, 16384, 32768];
    let rows = |batch, s_q, heads, seq_lens: &[u32], distribution, causal| -> Vec<Case> {
        let case = |&seq_len| {
            let (kv_heads, dtype) = (1, DType::Bf16);
            let (cache, block_size) = (Cache::Elements, BLOCK_SIZE);
            Case {
                batch,
                heads,
                kv_heads,
                s_q,
                seq_len,
                distribution,
                dtype,
                cache,
                block_size,
                causal,
                window: None,
                softcap: None,
                seed,
            }
        };
        seq_lens.iter().map(case).collect()
    };
    let over_fp8 = |cases: Vec<Case>| -> Vec<Case> {
        cases.into_iter().map(|case| Case { cache: Cache::Fp8, ..case }).collect()
    };
    [
        rows(128, 2, 128, LONG, Normal, false),
        rows(128, 2, 128, LONG, Normal, true),
        rows(128, 2, 128, &[4096, 16384], Fixed, true),
        rows(128, 1, 128, &[4096, 16384], Fixed, false),
        rows(128, 1, 128, LONG, Normal, false),
        rows(128, 1, 128, WIDE, Ramp, true),
        rows(128, 1, 16, &[1024, 4096, 8192, 16384, 32768], Fixed, false),
        rows(128, 1, 64, LONG, Fixed, false),
        rows(256, 1, 16, &[8192], Fixed, false),
        rows(256, 1, 64, &[8192], Fixed, false),
        rows(256, 1, 128, &[4096], Fixed, false),
        rows(128, 2, 16, &[8192], Fixed, false),
        rows(64, 1, 128, &[4096, 16384], Fixed, false),
        rows(16, 1, 128, &[4096, 16384], Fixed, false),
        rows(4, 1, 128, &[4096], Fixed, false),
        rows(4, 1, 16, &[8192], Fixed, false),
        rows(2, 1, 16, &[1024], Fixed, false),
        rows(1, 1, 128, &[1024, 4096, 8192, 16384, 32768], Fixed, false),
        rows(1, 1, 16, &[8192], Fixed, false),
        over_fp8(rows(128, 1, 16, &[4096, 16384, 32768], Fixed, false)),
        over_fp8(rows(128, 2, 128, &[4096, 16384], Fixed, true)),
        rows(256, 1, 128, &[2048], Fixed, false),
        rows(4, 1, 128, &[2048], Fixed, false),
    ]
    .concat()
}

/// [`all`], less what a quick look can do without.
pub fn quick(seed: u64) -> Vec<Case> {
    all(seed).into_iter().filter(|case| QUICK.contains(&case.name().as_str())).collect()
}

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use std::collections::BTreeSet;

    use oxmla_bench::{PeerRun, REGIMES, Target};

    use super::super::sparse;
    use super::*;

    /// With those of sparse attention.
    fn names(cases: &[Case], is_quick: bool) -> BTreeSet<String> {
        cases.iter().map(Case::name).chain(sparse::suite::names(is_quick)).collect()
    }

    #[test]
    fn every_goal_and_every_row_of_a_peer_is_measured() {
        let suite = names(&all(0), false);
        assert_eq!((suite.len(), all(0).len()), (64, 53), "one twice");
        let goals = || REGIMES.iter().flat_map(|regime| regime.goals);
        let others = goals().filter_map(|goal| match goal.target {
            Target::Beside(_, other) => Some(other),
            _ => None,
        });
        let peers = PeerRun::all().iter().flat_map(|run| &run.rows).map(|row| row.name.as_str());
        for name in goals().flat_map(|goal| goal.names).copied().chain(others).chain(peers) {
            assert!(suite.contains(name), "{name}");
        }
    }

    #[test]
    fn a_quick_look_has_every_regime() {
        assert_eq!(quick(0).len(), QUICK.len());
        let quick = names(&quick(0), true);
        for regime in REGIMES {
            let mut asked = regime.goals.iter().flat_map(|goal| goal.names);
            assert!(asked.any(|name| quick.contains(*name)), "{}", regime.title);
        }
    }
}
