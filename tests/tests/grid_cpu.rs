//! The cases on the CPU backend, as far as two cores get in a minute.

use oxmla::{DType, Device};
use oxmla_tests::case::{Case, Lengths};
use oxmla_tests::grid;
use oxmla_tests::session::Session;

/// Every row of a case is compared.
const BUDGET: usize = usize::MAX;

/// Runs the cases that cost at most `work` pairs of a query row and a cached token, every `step`-th of them.
fn run(cases: Vec<Case>, work: usize, step: usize) -> anyhow::Result<()> {
    let mut session = Session::new(Device::cpu(), BUDGET)?;
    let affordable = cases.iter().filter(|case| pairs(case) <= work).step_by(step);
    let mut ran = 0;
    for case in affordable {
        session.run(case).map_err(|error| error.context(case.to_string()))?;
        ran += 1;
    }
    assert!(ran > 0, "no case is affordable");
    Ok(())
}

fn pairs(case: &Case) -> usize {
    let tokens: i32 = case.lengths.draw(case.batch, case.seed).iter().sum();
    tokens as usize * case.s_q * case.h_q
}

fn in_f16(cases: Vec<Case>) -> Vec<Case> {
    cases.into_iter().map(|case| Case { dtype: DType::F16, ..case }).collect()
}

#[test]
fn small_cases_of_the_grid() -> anyhow::Result<()> {
    run(grid::grid(), 10_000, 1)
}

#[test]
fn some_larger_cases_of_the_grid() -> anyhow::Result<()> {
    let large = grid::grid().into_iter().filter(|case| pairs(case) > 10_000).collect();
    run(large, 300_000, 17)
}

#[test]
fn grid_in_f16() -> anyhow::Result<()> {
    run(in_f16(grid::grid()), 60_000, 13)
}

#[test]
fn every_tail() -> anyhow::Result<()> {
    let (together, alone) = grid::tails().into_iter().partition(|case| case.batch > 1);
    run(together, 300_000, 1)?;
    run(in_f16(alone), 2_000, 1)
}

#[test]
fn every_number_of_query_rows() -> anyhow::Result<()> {
    run(grid::rows(), usize::MAX, 3)
}

#[test]
fn requests_without_tokens() -> anyhow::Result<()> {
    run(grid::zeros(), 100_000, 1)
}

#[test]
fn many_query_tokens() -> anyhow::Result<()> {
    run(grid::many_query_tokens(), usize::MAX, 1)
}

#[test]
fn scales() -> anyhow::Result<()> {
    run(grid::scales(), usize::MAX, 1)
}

#[test]
fn block_sizes() -> anyhow::Result<()> {
    run(grid::block_sizes(), 300_000, 1)
}

#[test]
fn windows() -> anyhow::Result<()> {
    run(grid::windows(), 300_000, 1)
}

#[test]
fn softcaps() -> anyhow::Result<()> {
    run(grid::softcaps(), 600_000, 1)
}

#[test]
fn strided_views() -> anyhow::Result<()> {
    run(grid::strided(), 50_000, 1)?;
    run(in_f16(grid::strided()), 50_000, 7)
}

/// The oracle of the backend against the oracle of the suite: two that share nothing.
#[test]
fn both_oracles_agree() -> anyhow::Result<()> {
    let mut session = Session::new(Device::oracle(), BUDGET)?;
    for (index, case) in grid::grid().iter().filter(|case| pairs(case) <= 3_000).enumerate() {
        let views = grid::strided()[0].views;
        let case = if index % 2 == 0 { case.clone() } else { Case { views, ..case.clone() } };
        let errors = session.run(&case).map_err(|error| error.context(case.to_string()))?;
        // Half a unit of a bf16's last place is a quarter of what is allowed; f64 sums leave nothing else.
        assert!(errors.out < 0.26 && errors.lse < 0.01, "{case}: {errors:?}");
    }
    let capped = grid::softcaps().into_iter().map(|case| Case { h_q: 2, s_q: 2, ..case });
    for case in grid::windows().into_iter().filter(|case| pairs(case) <= 30_000).chain(capped) {
        let errors = session.run(&case).map_err(|error| error.context(case.to_string()))?;
        assert!(errors.out < 0.26 && errors.lse < 0.01, "{case}: {errors:?}");
    }
    let lengths = Lengths::Listed(vec![0, 1]);
    session.run(&Case { lengths, ..Case::default() }).map(drop)
}
