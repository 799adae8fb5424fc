//! The GPU's kernels on the simulator: a part of the cases that has every shape of tile, tail and split, each
//! with several seeds of the schedule.

use anyhow::Context;
use oxmla::backend::sim::{Simulator, Timing};
use oxmla::{DType, Device, Mask};
use oxmla_tests::case::{Case, Lengths, Views};
use oxmla_tests::session::Session;
use oxmla_tests::{checks, grid};

/// Every row of a case is compared.
const BUDGET: usize = usize::MAX;
/// Two with copies as late as can be, two with copies whenever the seed says so.
const SEEDS: u64 = 4;

/// Runs each case with every seed; every other case is in f16.
fn run(cases: impl IntoIterator<Item = Case>) -> anyhow::Result<()> {
    let devices = (0..SEEDS).map(|seed| {
        let timing = if seed % 2 == 0 { Timing::Late } else { Timing::Random };
        Device::Sim(Simulator { seed, timing })
    });
    let mut sessions =
        devices.map(|device| Session::new(device, BUDGET)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut ran = 0;
    for (case, dtype) in cases.into_iter().zip([DType::Bf16, DType::F16].into_iter().cycle()) {
        let case = Case { dtype, ..case };
        for session in &mut sessions {
            let name = format!("{case} on {:?}", session.device());
            session.run(&case).with_context(|| name)?;
        }
        ran += 1;
    }
    assert!(ran > 0, "no case");
    Ok(())
}

/// Those of `cases` with at most `tokens` cached tokens for every tile of 64 query rows, all tiles together.
fn affordable(cases: Vec<Case>, tokens: usize) -> impl Iterator<Item = Case> {
    cases.into_iter().filter(move |case| {
        let cached: i32 = case.lengths.draw(case.batch, case.seed).iter().sum();
        let tiles = case.h_k * (case.s_q * case.h_q / case.h_k).div_ceil(64);
        cached as usize * tiles <= tokens
    })
}

/// Query tokens, and what they see.
const STEPS: [(usize, Mask); 3] = [(1, Mask::None), (2, Mask::Causal), (2, Mask::None)];
/// Around the ends of blocks and of the steps that a multiply takes through one.
const TAILS: [i32; 16] = [1, 2, 15, 16, 17, 31, 33, 47, 49, 62, 63, 64, 65, 127, 128, 129];

#[test]
fn few_and_many_heads() -> anyhow::Result<()> {
    run([1, 16, 64, 128].into_iter().flat_map(|h_q| {
        let case = Case { h_q, lengths: Lengths::Varied(140), seed: 1, ..Case::default() };
        STEPS.map(|(s_q, mask)| Case { s_q, mask, ..case.clone() })
    }))
}

/// By itself, which is when a request is split most.
#[test]
fn a_request_of_every_tail() -> anyhow::Result<()> {
    run(TAILS.map(|length| {
        let lengths = Lengths::Fixed(length);
        Case { batch: 1, s_q: 2, mask: Mask::Causal, lengths, seed: 2, ..Case::default() }
    }))
}

#[test]
fn every_tail_together() -> anyhow::Result<()> {
    run(STEPS.map(|(s_q, mask)| {
        let (batch, lengths) = (TAILS.len(), Lengths::Listed(TAILS.to_vec()));
        Case { batch, s_q, mask, lengths, seed: 3, ..Case::default() }
    }))
}

#[test]
fn requests_split_among_parts() -> anyhow::Result<()> {
    let lengths = [&[700][..], &[3, 700, 64], &[260, 250], &[64, 128, 1, 500]];
    run(lengths.into_iter().flat_map(|lengths| {
        let (batch, lengths) = (lengths.len(), Lengths::Listed(lengths.to_vec()));
        let case = Case { batch, lengths, seed: 4, ..Case::default() };
        [(16, 1), (4, 2)].map(|(h_q, h_k)| Case { h_q, h_k, ..case.clone() })
    }))
}

/// More query tokens than heads, so that the rows of a tile see different numbers of tokens, some of them none.
#[test]
fn many_query_tokens() -> anyhow::Result<()> {
    let lengths = Lengths::Listed(vec![0, 1, 16, 17, 80]);
    let case = Case { batch: 5, s_q: 17, h_q: 4, lengths, seed: 5, ..Case::default() };
    run([Mask::Causal, Mask::None].map(|mask| Case { mask, ..case.clone() }))
}

/// The kernels' own tests have more of them.
#[test]
fn windows_and_soft_caps() -> anyhow::Result<()> {
    let lengths = Lengths::Listed(vec![150, 0, 64]);
    let case = Case { batch: 3, s_q: 2, lengths, seed: 6, ..Case::default() };
    run([Mask::Causal.within(70), Mask::None.within(1)]
        .into_iter()
        .flat_map(|mask| [None, Some(2.0)].map(|softcap| Case { mask, softcap, ..case.clone() })))
}

/// The kernels' own tests have more of them.
#[test]
fn block_sizes() -> anyhow::Result<()> {
    let lengths = Lengths::Listed(vec![150, 0, 81, 16]);
    let case = Case { batch: 4, s_q: 2, lengths, seed: 7, ..Case::default() };
    let masks = [Mask::Causal, Mask::Causal.within(70)];
    run([16, 32, 128].into_iter().flat_map(|block_size| {
        masks.map(|mask| Case { block_size, mask, views: Views::Strided, ..case.clone() })
    }))
}

#[test]
fn requests_without_tokens() -> anyhow::Result<()> {
    run(affordable(grid::zeros(), 300))
}

#[test]
fn strided_views() -> anyhow::Result<()> {
    run(affordable(grid::strided(), 300).step_by(19))
}

#[test]
fn some_of_the_grid() -> anyhow::Result<()> {
    run(affordable(grid::grid(), 1000).step_by(131))
}

/// All checks but the one that many threads may decode at once, which takes more than a minute.
#[test]
fn checks() -> anyhow::Result<()> {
    let mut session = Session::new(Device::simulator(), BUDGET)?;
    for check in checks::EVERY_DEVICE.iter().filter(|check| check.name != "threads") {
        (check.run)(&mut session).with_context(|| check.name)?;
    }
    Ok(())
}
