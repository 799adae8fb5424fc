//! Plans that are not the planner's latest.

use anyhow::{Result, ensure};
use oxmla::{DecodePlan, Error, Planner, decode};

use super::Bench;

pub fn all(bench: &mut Bench<'_>) -> Result<()> {
    of_another_planner(bench)?;
    stale(bench)
}

fn of_another_planner(bench: &mut Bench<'_>) -> Result<()> {
    let stream = bench.stream();
    let mut other = Planner::new(bench.device(), *bench.planner.config())?;
    let plan = other.plan(stream, bench.scene.step()?)?;
    match attend(bench, &plan) {
        Err(error @ Error::PlanOfAnotherPlanner { plan, planner }) if plan != planner => {
            bench.check(&error.clone(), Err(error))
        }
        outcome => anyhow::bail!("gave {outcome:?}"),
    }
}

/// The plan of a step that a later one has replaced, even one with the same lengths.
fn stale(bench: &mut Bench<'_>) -> Result<()> {
    let stream = bench.stream();
    let old = bench.plan.clone();
    bench.plan = bench.planner.plan(stream, bench.scene.step()?)?;
    let (plan, planner) = (old.step(), bench.plan.step());
    ensure!(planner == plan + 1, "steps {plan} and {planner} do not follow each other");
    let outcome = attend(bench, &old);
    bench.check(&Error::StalePlan { plan, planner }, outcome)
}

fn attend(bench: &mut Bench<'_>, plan: &DecodePlan) -> oxmla::Result<()> {
    let stream = bench.stream();
    decode(&bench.planner, plan, stream, bench.scene.args()?)
}
