//! Times of one decode call.

use std::time::Instant;

use anyhow::Context;
use oxmla::{Device, Stream};
use serde::Serialize;

use super::workload::Workload;
use crate::statistics::Summary;

/// What was measured of one decode call.
#[derive(Clone, Debug)]
pub struct Timings {
    /// One entry for each way to measure it.
    pub times: Vec<Timing>,
    /// State of the GPU while it was working.
    pub load: Load,
    /// What the host does for it.
    pub host: HostTime,
}

/// A time in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How it was measured, in a word for tables and records.
    pub method: &'static str,
    /// The time, or the median of several.
    pub us: f64,
    /// Their 10th and 90th percentile.
    pub spread: Option<(f64, f64)>,
}

/// What the management library says while the GPU works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Load {
    /// Clock of the multiprocessors, in MHz.
    pub sm_clock_mhz: Option<u32>,
    /// Power that the board draws, in watts.
    pub power_w: Option<f64>,
}

/// What a GPU's decode call costs the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct HostTime {
    /// Microseconds of a decode call, launches included.
    pub host_us: Option<f64>,
    /// Heap allocations of a decode call.
    pub host_allocations: Option<u64>,
    /// Microseconds to plan a step: checks, and uploads of lengths and block table.
    pub plan_us: Option<f64>,
}

impl Timing {
    /// The summary of several times, of which there is at least one.
    pub fn of(method: &'static str, times: &[f64]) -> anyhow::Result<Self> {
        let Summary { median: us, p10, p90 } =
            Summary::of(times).context("nothing was measured")?;
        Ok(Self { method, us, spread: Some((p10, p90)) })
    }
}

/// Measures a workload; medians are of `repeat` calls.
pub fn measure(
    device: &Device,
    stream: &Stream,
    workload: &mut Workload,
    repeat: u32,
) -> anyhow::Result<Timings> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => super::gpu::measure(device, stream, workload, repeat),
        _ => on_cpu(stream, workload, repeat),
    }
}

fn on_cpu(stream: &Stream, workload: &mut Workload, repeat: u32) -> anyhow::Result<Timings> {
    workload.decode(stream, 0)?;
    let mut times = Vec::new();
    for _ in 0..repeat {
        let start = Instant::now();
        workload.decode(stream, 0)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(Timings {
        times: vec![Timing::of("wall", &times)?],
        load: Load::default(),
        host: HostTime::default(),
    })
}
