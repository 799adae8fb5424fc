//! Measurements on a GPU.

use std::thread;
use std::time::Duration;

use oxmla::backend::cuda::event::Event;
use oxmla::backend::cuda::graph::Graph;
use oxmla::backend::cuda::{CudaBuffer, CudaDevice};
use oxmla::{Result, Stream};

use super::nvml;
use super::timing::{Load, Timing, Timings};
use super::workload::Workload;

/// Bytes written before each cold call: ten times the L2, and 0.2 ms in which the host gets the call into the
/// stream, so that the events do not measure the host.
const FLUSH_BYTES: usize = 512 << 20;
/// Calls before the first that counts.
const WARM_UP: u32 = 3;
/// How long replays go on, in microseconds: long enough for the power limit to act.
const SUSTAINED_US: f64 = 200_000.0;
/// Calls in a graph, at least, so that the gap between two graphs does not matter.
const CALLS_PER_GRAPH: usize = 8;
/// Bytes copied to find the bandwidth of the memory.
const COPY_BYTES: usize = 2 << 30;
/// Copies of which the best counts.
const COPIES: u32 = 10;

/// Measures a workload: cold main kernels, cold calls, sustained calls.
pub fn measure(
    device: &CudaDevice,
    stream: &Stream,
    workload: &mut Workload,
    repeat: u32,
) -> anyhow::Result<Timings> {
    let mut cold = Cold::new(device, stream)?;
    let kernel = cold.times(repeat, |call| workload.main_kernel(stream, call))?;
    let whole = cold.times(repeat, |call| workload.decode(stream, call))?;
    drop(cold);
    let (us, load) = Replays::capture(device, stream, workload)?.measure(stream)?;
    let times = vec![
        Timing { spread: None, ..Timing::of("kernel", &kernel)? },
        Timing::of("ev", &whole)?,
        Timing { method: "sustained", us, spread: None },
    ];
    Ok(Timings { times, load })
}

/// Bytes per second that a copy inside the memory reads and writes, in 10⁹: the best of several.
pub fn copy_gbps(device: &CudaDevice, stream: &Stream) -> Result<f64> {
    let mut memory = device.alloc(2 * COPY_BYTES)?;
    let clock = Clock::new(device)?;
    let mut best = f64::INFINITY;
    for _ in 0..COPIES {
        let copy = || memory.copy_within_on(stream.as_ref(), 0, COPY_BYTES, COPY_BYTES);
        best = clock.time(stream, copy)?.min(best);
    }
    Ok(2.0 * COPY_BYTES as f64 / best * 1e-3)
}

/// Microseconds between two events with nothing between them.
pub fn empty_us(device: &CudaDevice, stream: &Stream) -> anyhow::Result<f64> {
    let times = Cold::new(device, stream)?.times(15, |_| Ok(()))?;
    Ok(Timing::of("empty", &times)?.us)
}

/// Two events.
struct Clock {
    start: Event,
    end: Event,
}

impl Clock {
    fn new(device: &CudaDevice) -> Result<Self> {
        Ok(Self { start: Event::new(device)?, end: Event::new(device)? })
    }

    /// Microseconds that the GPU takes for `work`. Waits for it.
    fn time(&self, stream: &Stream, work: impl FnOnce() -> Result<()>) -> Result<f64> {
        self.start.record(stream.as_ref())?;
        work()?;
        self.end.record(stream.as_ref())?;
        self.end.synchronize()?;
        Ok(f64::from(self.end.elapsed_us(&self.start)?))
    }
}

/// Calls that find nothing of theirs in the L2.
struct Cold<'a> {
    stream: &'a Stream,
    flushed: CudaBuffer,
    clock: Clock,
}

impl<'a> Cold<'a> {
    fn new(device: &CudaDevice, stream: &'a Stream) -> Result<Self> {
        Ok(Self { stream, flushed: device.alloc(FLUSH_BYTES)?, clock: Clock::new(device)? })
    }

    /// Microseconds of `repeat` calls of `work`, which gets the number of the call.
    fn times(
        &mut self,
        repeat: u32,
        mut work: impl FnMut(usize) -> Result<()>,
    ) -> Result<Vec<f64>> {
        let mut times = Vec::new();
        for call in 0..WARM_UP + repeat {
            self.flushed.fill_on(self.stream.as_ref(), 0)?;
            let time = self.clock.time(self.stream, || work(call as usize))?;
            if call >= WARM_UP {
                times.push(time);
            }
        }
        Ok(times)
    }
}

/// Replays of a graph that goes through all caches.
struct Replays<'a> {
    device: &'a CudaDevice,
    graph: Graph,
    calls: usize,
    /// Owns the memory that the graph names.
    _workload: &'a mut Workload,
}

impl<'a> Replays<'a> {
    fn capture(
        device: &'a CudaDevice,
        stream: &Stream,
        workload: &'a mut Workload,
    ) -> Result<Self> {
        let calls = CALLS_PER_GRAPH.div_ceil(workload.caches()) * workload.caches();
        let graph = Graph::capture(device, stream.as_ref(), || {
            (0..calls).try_for_each(|call| workload.decode(stream, call))
        })?;
        Ok(Self { device, graph, calls, _workload: workload })
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
            // SAFETY: `_workload` keeps the memory that the captured calls name, and nobody else uses it.
            unsafe { self.graph.launch(stream.as_ref())? };
        }
        Ok(())
    }
}
