//! What a call costs the host.

use std::time::Instant;

use anyhow::Context;
use oxmla::{Result, Stream};

use super::timing::HostTime;
use super::workload::Workload;
use crate::statistics::Summary;

/// Calls that are timed together: few enough that the stream takes them all without making the host wait.
const CALLS: usize = 16;
/// Medians are of so many.
const REPEAT: usize = 15;

/// Measures a workload that has run before, on a stream with nothing in it.
pub fn measure(stream: &Stream, workload: &mut Workload) -> anyhow::Result<HostTime> {
    let calls =
        |workload: &mut Workload| (0..CALLS).try_for_each(|call| workload.decode(stream, call));
    let mut outcome = Ok(());
    let counted = allocation_counter::measure(|| outcome = calls(workload));
    outcome?;
    stream.synchronize()?;
    let call_us = median(stream, || calls(workload))? / CALLS as f64;
    let plan_us = median(stream, || workload.plan_again(stream))?;
    Ok(HostTime {
        host_us: Some(call_us),
        host_allocations: Some(counted.count_total.div_ceil(CALLS as u64)),
        plan_us: Some(plan_us),
    })
}

/// Microseconds of the host for `work`; the stream is empty before each time.
fn median(stream: &Stream, mut work: impl FnMut() -> Result<()>) -> anyhow::Result<f64> {
    let mut times = Vec::with_capacity(REPEAT);
    for _ in 0..REPEAT {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
        stream.synchronize()?;
    }
    Ok(Summary::of(&times).context("nothing was measured")?.median)
}
