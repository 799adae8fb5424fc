//! What a decode costs the host.

use std::hint::black_box;
use std::time::Instant;

use allocation_counter::measure;
use anyhow::{Context, Result, ensure};
use oxmla::{DecodePlan, Mask, Planner, Stream, decode};

use crate::case::{Case, Lengths};
use crate::scene::Scene;
use crate::session::Session;

/// Calls in all.
const CALLS: usize = 1024;
/// Calls between two synchronisations. A stream takes about a thousand launches before it makes the host wait,
/// and a call may be more than one.
const CALLS_AT_ONCE: usize = 256;
/// More than any host takes that is not broken: 3 µs are aimed at, but machines differ.
const LIMIT_US: f64 = 20.0;

/// A step that the GPU is done with sooner than the host, with a request that is split.
fn case() -> Case {
    let lengths = Lengths::Listed(vec![700, 5, 0, 64]);
    Case { batch: 4, h_q: 16, lengths, mask: Mask::Causal, seed: 91, ..Case::default() }
}

/// A planned step, decoded once.
struct Step {
    scene: Scene,
    planner: Planner,
    plan: DecodePlan,
}

impl Step {
    fn new(session: &mut Session) -> Result<Self> {
        let scene = session.scene(&case())?;
        let mut planner = Planner::new(session.device(), scene.planner_config()?)?;
        let plan = planner.plan(session.stream().as_ref(), scene.step()?)?;
        let mut step = Self { scene, planner, plan };
        step.decode(session.stream())?;
        session.stream().synchronize()?;
        Ok(step)
    }

    /// One call, with the views that it takes, as a model makes it for each layer.
    fn decode(&mut self, stream: &Stream) -> oxmla::Result<()> {
        decode(&self.planner, &self.plan, stream.as_ref(), self.scene.args()?)
    }
}

/// Nothing is allocated on the host.
///
/// # Errors
/// What was, or what else went wrong.
pub fn allocations(session: &mut Session) -> Result<()> {
    let one = measure(|| drop(black_box(Box::new(1u8)))).count_total;
    ensure!(one == 1, "{one} allocations were counted where one was made");
    let mut step = Step::new(session)?;
    let mut outcome = Ok(());
    let calls = 100;
    let counted = measure(|| outcome = (0..calls).try_for_each(|_| step.decode(session.stream())));
    outcome?;
    session.stream().synchronize()?;
    let count = counted.count_total;
    ensure!(count == 0, "{calls} calls made {count} allocations");
    Ok(())
}

/// The time until a call returns; its median is noted as `host_us`.
///
/// # Errors
/// If it is far too long, or something went wrong.
pub fn time(session: &mut Session) -> Result<()> {
    let mut step = Step::new(session)?;
    let mut times = Vec::with_capacity(CALLS);
    while times.len() < CALLS {
        for _ in 0..CALLS_AT_ONCE {
            let start = Instant::now();
            step.decode(session.stream())?;
            times.push(start.elapsed());
        }
        session.stream().synchronize()?;
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).context("nothing was measured")?;
    let us = median.as_secs_f64() * 1e6;
    session.note("host_us", us);
    ensure!(us < LIMIT_US, "a decode call took the host {us:.1} µs, limit {LIMIT_US}");
    Ok(())
}
