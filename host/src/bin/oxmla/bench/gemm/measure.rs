//! Times of a product.

use anyhow::Context;
use half::bf16;
use oxmla::backend::cuda::CudaDevice;
use oxmla::backend::cuda::graph::Graph;
use oxmla::gemm::Workspace;
use oxmla::{Buffer, Device, Result, Stream};
use oxmla_kernels::gemm::abi::Shape;
use oxmla_kernels::gemm::tiling::Tiling;

use crate::bench::clock::{Clock, Cold};
use crate::bench::micro::row::Row;

/// Calls that a median is taken of.
const REPEAT: u32 = 31;
/// Calls in a graph, at least: so many that the gap between two graphs does not matter.
const CALLS_PER_GRAPH: usize = 50;
/// Microseconds of replays back to back before those that count: the first few are slower, whatever they are.
const SETTLE_US: f64 = 20_000.0;
/// Microseconds of replays back to back that count.
const MEASURED_US: f64 = 50_000.0;
/// Bytes of weights that calls back to back go through, so that none finds its own in the L2.
const ROTATED_BYTES: usize = 300_000_000;

/// What the benchmarks have in common.
pub struct Bench<'a> {
    pub device: &'a Device,
    pub gpu: &'a CudaDevice,
    pub stream: &'a Stream,
    pub workspace: &'a Workspace,
}

impl Bench<'_> {
    /// A row: a product of `shape` as `tiling` cuts it. `call` gets the number of the call, for which of its weights to
    /// take.
    pub fn row(
        &self,
        benchmark: &'static str,
        case: String,
        shape: &Shape,
        tiling: Tiling,
        mut call: impl FnMut(usize) -> Result<()>,
    ) -> anyhow::Result<Row> {
        let calls = CALLS_PER_GRAPH.next_multiple_of(copies(shape));
        let among_others = self.among_others(calls, &mut call)?;
        let cold = Cold::new(self.gpu, self.stream)?.times(REPEAT, &mut call)?;

        let [batch, m, n, k] = [shape.batch, shape.m, shape.n, shape.k].map(f64::from);
        let flop = 2.0 * batch * m * n * k;
        let bytes = 2.0 * batch * (m * k + n * k + m * n);
        let row = Row::new(benchmark, case, &cold)?;
        let tflops = flop / row.us() * 1e-6;
        Ok(row
            .with("tflops", "TFLOP/s", tflops)
            .with_rate("gbps", "GB/s", bytes)
            .with("graph_us", "in a graph, µs", among_others)
            .with("graph_tflops", "TFLOP/s", flop / among_others * 1e-6)
            .with("graph_gbps", "GB/s", bytes / among_others * 1e-3)
            .with("rows", "rows", tiling.width[0].into())
            .with("cluster", "cluster", tiling.width[1].into())
            .with("splits", "splits", tiling.splits.into())
            .with("ctas", "CTAs", tiling.ctas.into()))
    }

    /// Microseconds of one of `calls` calls in a graph that is replayed back to back.
    fn among_others(
        &self,
        calls: usize,
        call: &mut impl FnMut(usize) -> Result<()>,
    ) -> Result<f64> {
        let graph =
            Graph::capture(self.gpu, self.stream.as_ref(), || (0..calls).try_for_each(call))?;
        // SAFETY: the memory that the calls name is borrowed by `call`.
        let replay =
            |times: u32| (0..times).try_for_each(|_| unsafe { graph.launch(self.stream.as_ref()) });
        let clock = Clock::new(self.gpu)?;
        let once = clock.time(self.stream, || replay(1))?;
        let replays = |us: f64| (us / once).ceil() as u32;
        replay(replays(SETTLE_US))?;
        let measured = replays(MEASURED_US);
        let total = clock.time(self.stream, || replay(measured))?;
        Ok(total / f64::from(measured) / calls as f64)
    }

    /// How the library cuts a product.
    pub fn tiling(&self, shape: &Shape) -> anyhow::Result<Tiling> {
        Tiling::choose(shape, self.gpu.multiprocessors()).context("a product without tiles")
    }

    /// Memory for random bf16, around 0 and of deviation 0.06.
    pub fn random(&self, elements: usize) -> Result<Buffer> {
        const PATTERN: usize = 1 << 20;
        let mut state = elements as u64;
        let pattern: Vec<bf16> = (0..PATTERN.min(elements))
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                bf16::from_f32(((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 0.2)
            })
            .collect();
        let mut buffer = self.device.alloc(2 * elements)?;
        for start in (0..elements).step_by(PATTERN) {
            let count = PATTERN.min(elements - start);
            buffer.write(2 * start, bytemuck::cast_slice(&pattern[..count]))?;
        }
        Ok(buffer)
    }
}

/// Weights of a shape that calls back to back take turns with.
pub fn copies(shape: &Shape) -> usize {
    let bytes = 2 * shape.batch as usize * shape.n as usize * shape.k as usize;
    ROTATED_BYTES.div_ceil(bytes)
}
