//! Calls that must be refused, each with the error that says why.
//!
//! After each of them the cache, the results and the current plan are as they were: the plan still works, and
//! gives the right results.

mod layouts;
mod plans;
mod steps;
mod tensors;

use anyhow::{Context, Result, ensure};
use oxmla::{Decode, DecodePlan, Device, Error, Location, Mask, Planner, StreamRef, decode};

use crate::case::{Case, Lengths};
use crate::scene::Scene;
use crate::session::Session;

/// A step that is fine, to be spoilt.
#[derive(Debug)]
pub struct Bench<'a> {
    session: &'a Session,
    scene: Scene,
    planner: Planner,
    plan: DecodePlan,
}

/// Everything, for the suite.
///
/// # Errors
/// What was not refused, or with another error, or changed something.
pub fn all(session: &mut Session) -> Result<()> {
    Bench::run(session, tensors::all)?;
    Bench::run(session, layouts::all)?;
    Bench::run(session, steps::all)?;
    Bench::run(session, plans::all)
}

/// Tensors that are not those of the plan.
///
/// # Errors
/// As for [`all`].
pub fn tensors(session: &mut Session) -> Result<()> {
    Bench::run(session, tensors::all)
}

/// Addresses and strides that the device cannot follow.
///
/// # Errors
/// As for [`all`].
pub fn layouts(session: &mut Session) -> Result<()> {
    Bench::run(session, layouts::all)
}

/// Steps that do not fit the planner or the cache.
///
/// # Errors
/// As for [`all`].
pub fn steps(session: &mut Session) -> Result<()> {
    Bench::run(session, steps::all)
}

/// Plans of another step or planner.
///
/// # Errors
/// As for [`all`].
pub fn plans(session: &mut Session) -> Result<()> {
    Bench::run(session, plans::all)
}

impl<'a> Bench<'a> {
    /// Gives `refusals` a step to spoil, and sees afterwards that it still works.
    fn run(session: &'a mut Session, refusals: fn(&mut Bench<'_>) -> Result<()>) -> Result<()> {
        let lengths = Lengths::Listed(vec![100, 0, 70]);
        let case = Case {
            batch: 3,
            s_q: 2,
            h_q: 16,
            h_k: 2,
            lengths,
            mask: Mask::Causal,
            seed: 71,
            ..Case::default()
        };
        let scene = session.scene(&case)?;
        let session = &*session;
        let mut planner = Planner::new(session.device(), scene.planner_config()?)?;
        let plan = planner.plan(session.stream().as_ref(), scene.step()?)?;
        let mut bench = Bench { session, scene, planner, plan };
        refusals(&mut bench)?;
        ensure!(bench.scene.cache.is_untouched()?, "a refused call changed the cache");
        let stream = session.stream();
        decode(&bench.planner, &bench.plan, stream.as_ref(), bench.scene.args()?)?;
        stream.synchronize()?;
        session.verify(&bench.scene).context("after all refusals")?;
        Ok(())
    }

    fn device(&self) -> &'a Device {
        self.session.device()
    }

    fn stream(&self) -> StreamRef<'a> {
        self.session.stream().as_ref()
    }

    /// A place that this device is not.
    fn elsewhere(&self) -> Location {
        match self.device().location() {
            Location::Host => Location::Cuda { ordinal: 0 },
            Location::Cuda { .. } => Location::Host,
        }
    }

    /// `decode` with tensors that `spoil` has changed must give `expected`, and write nothing.
    fn decode_refuses(
        &mut self,
        expected: &Error,
        spoil: impl FnOnce(&mut Decode<'_>) -> oxmla::Result<()>,
    ) -> Result<()> {
        let stream = self.stream();
        let mut args = self.scene.args()?;
        spoil(&mut args)?;
        let outcome = decode(&self.planner, &self.plan, stream, args);
        self.check(expected, outcome)
    }

    /// What a refused call must leave behind.
    fn check(&self, expected: &Error, outcome: oxmla::Result<()>) -> Result<()> {
        // In words, for a NaN in an error is not equal to itself.
        let (expected, outcome) = (format!("{:?}", Err::<(), _>(expected)), format!("{outcome:?}"));
        ensure!(outcome == expected, "gave {outcome} instead of {expected}");
        self.session.stream().synchronize()?;
        let untouched = self.scene.out.is_untouched()? && self.scene.lse.is_untouched()?;
        ensure!(untouched, "{expected}, but something was written");
        Ok(())
    }
}
