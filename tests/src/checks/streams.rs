//! Streams of someone else.

use std::ptr::null_mut;

use anyhow::{Context, Result, bail};
use oxmla::backend::cuda::event::Event;
use oxmla::{Device, Mask, Planner, StreamRef, decode};

use crate::case::{Case, Lengths};
use crate::session::Session;

/// A stream that came in as a raw pointer, and the default stream, which is null.
pub fn foreign_and_default(session: &mut Session) -> Result<()> {
    let Device::Cuda(gpu) = session.device().clone() else {
        bail!("{} has no foreign streams", session.device().name());
    };
    let lengths = Lengths::Varied(900);
    let case = Case { batch: 3, h_q: 128, lengths, mask: Mask::None, seed: 61, ..Case::default() };
    let other = session.device().stream()?;
    for raw in [other.as_ref().raw(), null_mut()] {
        let mut scene = session.scene(&case)?;
        let mut planner = Planner::new(session.device(), scene.planner_config()?)?;
        // SAFETY: null, or the stream that `other` keeps alive; both are of the session's GPU.
        let stream = unsafe { StreamRef::from_raw(raw, gpu.ordinal()) };
        let plan = planner.plan(stream, scene.step()?)?;
        decode(&planner, &plan, stream, scene.args()?)?;
        let done = Event::new(&gpu)?;
        done.record(stream)?;
        done.synchronize()?;
        session.verify(&scene).with_context(|| format!("stream {raw:?}"))?;
    }
    Ok(())
}
