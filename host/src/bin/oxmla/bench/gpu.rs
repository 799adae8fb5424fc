//! Measurements on a GPU.

use std::thread;
use std::time::Duration;

use oxmla::backend::cuda::CudaDevice;
use oxmla::backend::cuda::graph::Graph;
use oxmla::{Result, Stream};

use super::clock::{Clock, Cold};
use super::timing::{HostTime, Load, Timing, Timings};
use super::workload::Workload;
use super::{host_time, nvml};

/// How long replays go on, in microseconds: long enough for the power limit to act.
const SUSTAINED_US: f64 = 200_000.0;
/// Calls in a graph, at least, so that the gap between two graphs does not matter.
const CALLS_PER_GRAPH: usize = 8;

/// Measures a workload: cold calls, sustained calls, the host's share. A call is one kernel: what the peers' main
/// kernels are compared with is the whole of it.
pub fn measure(
    device: &CudaDevice,
    stream: &Stream,
    workload: &mut Workload,
    repeat: u32,
) -> anyhow::Result<Timings> {
    let caches = workload.caches();
    let timings = calls(device, stream, repeat, caches, &mut |call| workload.decode(stream, call))?;
    Ok(Timings { host: host_time::measure(stream, workload)?, ..timings })
}

/// Measures calls of `work`, which gets the number of the call and takes turns with so many caches: cold calls, sustained
/// calls.
pub fn calls(
    device: &CudaDevice,
    stream: &Stream,
    repeat: u32,
    caches: usize,
    work: &mut dyn FnMut(usize) -> Result<()>,
) -> anyhow::Result<Timings> {
    let mut cold = Cold::new(device, stream)?;
    let whole = cold.times(repeat, &mut *work)?;
    drop(cold);
    let (us, load) = Replays::capture(device, stream, caches, work)?.measure(stream)?;
    let times = vec![
        Timing { spread: None, ..Timing::of("kernel", &whole)? },
        Timing::of("ev", &whole)?,
        Timing { method: "sustained", us, spread: None },
    ];
    Ok(Timings { times, load, host: HostTime::default() })
}

/// Microseconds between two events with nothing between them.
pub fn empty_us(device: &CudaDevice, stream: &Stream) -> anyhow::Result<f64> {
    let times = Cold::new(device, stream)?.times(15, |_| Ok(()))?;
    Ok(Timing::of("empty", &times)?.us)
}

/// Replays of a graph that goes through all caches.
struct Replays<'a> {
    device: &'a CudaDevice,
    graph: Graph,
    calls: usize,
    /// Owns the memory that the graph names.
    _work: &'a mut dyn FnMut(usize) -> Result<()>,
}

impl<'a> Replays<'a> {
    fn capture(
        device: &'a CudaDevice,
        stream: &Stream,
        caches: usize,
        work: &'a mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Self> {
        let calls = CALLS_PER_GRAPH.next_multiple_of(caches);
        let graph =
            Graph::capture(device, stream.as_ref(), || (0..calls).try_for_each(&mut *work))?;
        Ok(Self { device, graph, calls, _work: work })
    }

    /// Microseconds per call, and what the GPU draws meanwhile.
    fn measure(&self, stream: &Stream) -> Result<(f64, Load)> {
        let clock = Clock::new(self.device)?;
        clock.time(stream, || self.replay(stream, 1))?;
        let once = clock.time(stream, || self.replay(stream, 1))?;
        let replays = (SUSTAINED_US / once).ceil().max(1.0);
        let sensor = nvml::Sensor::open(&self.device.info().pci_address);

        clock.start.record(stream.as_ref())?;
        self.replay(stream, replays as usize)?;
        clock.end.record(stream.as_ref())?;
        // The replays are under way; near their end, clocks have settled.
        thread::sleep(Duration::from_micros((0.8 * SUSTAINED_US) as u64));
        let load = sensor.map(|sensor| sensor.load()).unwrap_or_default();
        clock.end.synchronize()?;
        let total = f64::from(clock.end.elapsed_us(&clock.start)?);
        Ok((total / (replays * self.calls as f64), load))
    }

    fn replay(&self, stream: &Stream, times: usize) -> Result<()> {
        for _ in 0..times {
            // SAFETY: `_work` keeps the memory that the captured calls name, and nobody else uses it.
            unsafe { self.graph.launch(stream.as_ref())? };
        }
        Ok(())
    }
}
