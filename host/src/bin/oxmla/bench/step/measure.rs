//! Times of a step.

use anyhow::{Context, ensure};
use oxmla::backend::cuda::event::Event;
use oxmla::backend::cuda::graph::Graph;
use oxmla::backend::cuda::{CudaBuffer, CudaDevice};
use oxmla::layer::Operation;
use oxmla::{Device, Result, Stream};
use oxmla_bench::Ceiling;

use super::stack::{Planned, Stack};
use crate::bench::clock::Clock;
use crate::bench::environment::Environment;
use crate::bench::micro::row::Row;

/// Replays that a median is taken of.
const REPLAYS: usize = 15;
/// Runs of a layer that a median is taken of.
const RUNS: usize = 61;
/// Runs of a layer before the first that counts.
const WARM_UP: usize = 3;
/// Bytes written before each of these: ten times the L2, and 0.2 ms in which the host gets all operations of the layer
/// into the stream, so that the events do not measure the host.
const FLUSH_BYTES: usize = 512 << 20;

/// What the measurements have in common.
pub struct Bench<'a> {
    pub device: &'a Device,
    pub gpu: &'a CudaDevice,
    pub stream: &'a Stream,
    pub environment: &'a Environment,
}

/// Microseconds of each run of an operation.
struct Part {
    operation: Operation,
    times: Vec<f64>,
}

impl Bench<'_> {
    /// A step of `batch` requests as one graph, and its operations one by one.
    pub fn measure(&self, stack: &mut Stack, batch: usize) -> anyhow::Result<(Row, Vec<Row>)> {
        let planned = stack.plan(self.device, self.stream.as_ref(), batch)?;
        let parts = self.parts(stack, &planned)?;
        let step = self.step(stack, &planned)?;

        let layers = stack.size.layers as f64;
        let case = format!("b {batch}, {} tokens, {layers} layers", stack.size.seq_len);
        let bytes: usize = parts.iter().map(|part| stack.bytes_read(part.operation, batch)).sum();
        let per_layer: Vec<f64> = step.iter().map(|us| us / layers).collect();
        let row = Row::new("step", case.as_str(), &per_layer)?;
        let gbps = bytes as f64 / row.us() * 1e-3;
        let step_us = row.us() * layers;
        let mut step = row
            .with("step_us", "whole step, µs", step_us)
            .with("launches", "launches", parts.len() as f64)
            .with("mb", "MB read", bytes as f64 * 1e-6)
            .with("gbps", "GB/s", gbps);
        if let Some(read) = self.environment.ceilings.get(Ceiling::Read) {
            step = step.with("of_read", "% of reads", 100.0 * gbps / read);
        }
        Ok((step, rows(&case, stack, batch, &parts)?))
    }

    /// Microseconds of each replay of the whole stack.
    fn step(&self, stack: &mut Stack, planned: &Planned) -> anyhow::Result<Vec<f64>> {
        let stream = self.stream.as_ref();
        let graph = Graph::capture(self.gpu, stream, || {
            let mut layers = 0..stack.size.layers;
            layers.try_for_each(|layer| stack.forward(planned, stream, layer, &mut |_| Ok(())))
        })?;
        let clock = Clock::new(self.gpu)?;
        // SAFETY: stack and planner outlive the replays, which are waited for, and nobody else uses their memory.
        let replay = || unsafe { graph.launch(stream) };
        (0..WARM_UP).try_for_each(|_| clock.time(self.stream, replay).map(drop))?;
        Ok((0..REPLAYS).map(|_| clock.time(self.stream, replay)).collect::<Result<_>>()?)
    }

    /// The operations of a layer, an event before the first and behind each, one layer after the other.
    fn parts(&self, stack: &mut Stack, planned: &Planned) -> anyhow::Result<Vec<Part>> {
        let stream = self.stream.as_ref();
        let mut flushed: CudaBuffer = self.gpu.alloc(FLUSH_BYTES)?;
        let events = Operation::ALL.map(|_| Event::new(self.gpu));
        let events: Vec<Event> = events.into_iter().collect::<Result<_>>()?;
        let start = Event::new(self.gpu)?;
        let mut parts: Vec<Part> = Vec::new();
        for run in 0..WARM_UP + RUNS {
            flushed.fill_on(stream, 0)?;
            start.record(stream)?;
            let mut operations = Vec::new();
            stack.forward(planned, stream, run % stack.size.layers, &mut |operation| {
                events[operations.len()].record(stream)?;
                operations.push(operation);
                Ok(())
            })?;
            self.stream.synchronize()?;
            if run < WARM_UP {
                parts =
                    operations.iter().map(|&of| Part { operation: of, times: vec![] }).collect();
                continue;
            }
            ensure!(operations.len() == parts.len(), "another number of operations");
            let mut before = &start;
            for (part, event) in parts.iter_mut().zip(&events) {
                part.times.push(f64::from(event.elapsed_us(before)?));
                before = event;
            }
        }
        Ok(parts)
    }
}

/// A row for each operation, with its share of them all.
fn rows(case: &str, stack: &Stack, batch: usize, parts: &[Part]) -> anyhow::Result<Vec<Row>> {
    let rows = parts.iter().map(|Part { operation, times }| {
        Row::new("operations", format!("{case}: {}", operation.name()), times)
    });
    let rows: Vec<Row> = rows.collect::<anyhow::Result<_>>().context("operations")?;
    let all: f64 = rows.iter().map(Row::us).sum();
    let rows = rows.into_iter().zip(parts).map(|(row, part)| {
        let (bytes, us) = (stack.bytes_read(part.operation, batch) as f64, row.us());
        row.with("share", "% of all", 100.0 * us / all)
            .with("mb", "MB read", bytes * 1e-6)
            .with_rate("gbps", "GB/s", bytes)
    });
    Ok(rows.collect())
}
