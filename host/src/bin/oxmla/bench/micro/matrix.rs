//! Multiplies back to back.

use std::thread;
use std::time::Duration;

use anyhow::ensure;
use oxmla::DType;
use oxmla::backend::cuda::CudaBuffer;
use oxmla_kernels::launch::Kernel;
use oxmla_kernels::micro::abi::TensorParams;
use oxmla_kernels::micro::launch::{
    TENSOR_RS_64, TENSOR_RS_256, TENSOR_SS_64, TENSOR_SS_128, TENSOR_SS_256,
};
use oxmla_kernels::micro::tensor::{OPERAND_BYTES, STEPS, Shape, WARPGROUP};
use rand_chacha::rand_core::SeedableRng;

use super::super::nvml::Sensor;
use super::super::timing::Load;
use super::row::Row;
use super::{Bench, REPEAT, pattern};
use crate::elements::{self, Rng};
use crate::statistics::Summary;

/// Cycles of a short launch, about: 0.2 ms, in which power and temperature change nothing.
const SHORT_CYCLES: u32 = 350_000;
/// Cycles of each of the launches that follow each other, about: 10 ms, so that the gaps do not matter.
const LONG_CYCLES: u32 = 50 * SHORT_CYCLES;
/// How long they follow each other, in microseconds.
const SUSTAINED_US: f64 = 1_000_000.0;
/// How long the card rests before a short launch.
const REST: Duration = Duration::from_millis(50);
/// Bytes written before a short launch: 0.2 ms, in which the clock comes up and the host gets the launch into the
/// stream.
const WAKING_BYTES: usize = 512 << 20;

/// What the tensor cores of a SM do in a cycle.
const FLOP_PER_CYCLE: u32 = 4096;
/// What a sum may be off after one iteration, relative to the magnitudes that it is made of; it is a hundredth of
/// them itself, for they have random signs.
const TOLERANCE: f64 = 1e-5;
/// The same after a short launch: each of ten thousand steps may lose units in the last place of an f32.
const SHORT_TOLERANCE: f64 = 1e-3;

/// A kernel, by what distinguishes it.
struct Variant {
    name: &'static str,
    kernel: &'static Kernel,
    shape: Shape,
}

const fn variant(name: &'static str, kernel: &'static Kernel, n: u32, rs: bool) -> Variant {
    Variant { name, kernel, shape: Shape { n, a_in_registers: rs } }
}

const VARIANTS: [Variant; 5] = [
    variant("SS m64n64k16", &TENSOR_SS_64, 64, false),
    variant("RS m64n64k16", &TENSOR_RS_64, 64, true),
    variant("SS m64n128k16", &TENSOR_SS_128, 128, false),
    variant("SS m64n256k16", &TENSOR_SS_256, 256, false),
    FASTEST,
];
/// Needs the least of shared memory for each FLOP.
const FASTEST: Variant = variant("RS m64n256k16", &TENSOR_RS_256, 256, true);

/// The `wgmma` benchmark: all short launches first, while the card is cool.
pub fn run(bench: &Bench<'_>, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let operands = Operands::new(bench)?;
    let cases = || VARIANTS.iter().flat_map(|variant| [1, 2].map(|groups| (variant, groups)));
    for (variant, warpgroups) in cases() {
        let multiply = Multiply::new(bench, &operands, variant, warpgroups)?;
        rows.push(multiply.short()?.row("short")?);
    }
    for (variant, warpgroups) in cases() {
        let multiply = Multiply::new(bench, &operands, variant, warpgroups)?;
        rows.push(multiply.sustained()?.row("sustained")?);
    }
    Ok(())
}

/// 10¹² FLOP per second, cool and sustained: the best of the fastest variant.
pub fn ceilings(bench: &Bench<'_>) -> anyhow::Result<(f64, f64)> {
    let operands = Operands::new(bench)?;
    let multiply = Multiply::new(bench, &operands, &FASTEST, 2)?;
    Ok((multiply.short()?.tflops()?, multiply.sustained()?.tflops()?))
}

/// Random operands, here and on the device.
struct Operands {
    elements: Vec<u16>,
    memory: CudaBuffer,
}

impl Operands {
    fn new(bench: &Bench<'_>) -> oxmla::Result<Self> {
        let mut rng = Rng::seed_from_u64(0);
        let elements = elements::random(DType::Bf16, OPERAND_BYTES as usize / 2, &mut rng);
        let mut memory = bench.device.alloc(OPERAND_BYTES as usize)?;
        memory.write(0, bytemuck::cast_slice(&elements))?;
        Ok(Self { elements, memory })
    }
}

/// A variant on every SM.
struct Multiply<'a> {
    bench: &'a Bench<'a>,
    operands: &'a Operands,
    variant: &'a Variant,
    warpgroups: u32,
    sums: CudaBuffer,
    cycles: CudaBuffer,
}

/// What was measured of it.
struct Measured<'a> {
    multiply: &'a Multiply<'a>,
    iterations: u32,
    times: Vec<f64>,
    load: Load,
}

impl<'a> Multiply<'a> {
    /// Makes sure that the kernel computes what it should.
    fn new(
        bench: &'a Bench<'a>,
        operands: &'a Operands,
        variant: &'a Variant,
        warpgroups: u32,
    ) -> anyhow::Result<Self> {
        let ctas = bench.device.multiprocessors() as usize;
        let threads = (warpgroups * WARPGROUP) as usize;
        let sums = bench.results(ctas * threads)?;
        let cycles = bench.results(ctas)?;
        let multiply = Self { bench, operands, variant, warpgroups, sums, cycles };
        multiply.launch(1)?;
        multiply.ensure_right(1, TOLERANCE)?;
        Ok(multiply)
    }

    fn threads(&self) -> u32 {
        self.warpgroups * WARPGROUP
    }

    /// Cycles of a multiply if the tensor cores never wait.
    fn least_cycles(&self) -> u32 {
        2 * 64 * self.variant.shape.n * 16 / FLOP_PER_CYCLE
    }

    /// Iterations that take about so many cycles.
    fn iterations(&self, cycles: u32) -> u32 {
        cycles / (self.least_cycles() * STEPS * self.warpgroups)
    }

    fn launch(&self, iterations: u32) -> oxmla::Result<()> {
        let Self { bench, operands, sums, cycles, .. } = self;
        let kernel = bench.program.kernel(self.variant.kernel)?;
        let kernel = kernel.ctas(bench.device.multiprocessors()).threads(self.threads());
        let params = TensorParams {
            operands: operands.memory.address(),
            sums: sums.address(),
            cycles: cycles.address(),
            iterations,
            warpgroups: self.warpgroups,
        };
        // SAFETY: operands, sums and cycles have their sizes, and stay.
        unsafe { kernel.launch(bench.stream.as_ref(), &params) }
    }

    /// Single launches of a card that has rested.
    fn short(&'a self) -> anyhow::Result<Measured<'a>> {
        let bench = self.bench;
        let iterations = self.iterations(SHORT_CYCLES);
        let mut waking = bench.device.alloc(WAKING_BYTES)?;
        let mut times = Vec::new();
        for _ in 0..REPEAT {
            thread::sleep(REST);
            waking.fill_on(bench.stream.as_ref(), 0)?;
            times.push(bench.clock.time(bench.stream, || self.launch(iterations))?);
            self.ensure_right(iterations, SHORT_TOLERANCE)?;
        }
        Ok(Measured { multiply: self, iterations, times, load: Load::default() })
    }

    /// Launches that follow each other, so long that the power limit acts.
    fn sustained(&'a self) -> anyhow::Result<Measured<'a>> {
        let bench = self.bench;
        let iterations = self.iterations(LONG_CYCLES);
        let once = bench.clock.time(bench.stream, || self.launch(iterations))?;
        let launches = (SUSTAINED_US / once).ceil().max(1.0);
        let sensor = Sensor::open(&bench.device.info().pci_address);

        let stream = bench.stream.as_ref();
        bench.clock.start.record(stream)?;
        (0..launches as u32).try_for_each(|_| self.launch(iterations))?;
        bench.clock.end.record(stream)?;
        // The launches are under way; near their end, clocks have settled.
        thread::sleep(Duration::from_micros((0.8 * SUSTAINED_US) as u64));
        let load = sensor.map(|sensor| sensor.load()).unwrap_or_default();
        bench.clock.end.synchronize()?;
        let total = f64::from(bench.clock.end.elapsed_us(&bench.clock.start)?);
        self.ensure_alike()?;
        let times = vec![total / launches];
        Ok(Measured { multiply: self, iterations, times, load })
    }

    /// Makes sure that the sums of the last launch are those of `iterations` iterations.
    fn ensure_right(&self, iterations: u32, tolerance: f64) -> anyhow::Result<()> {
        let sums = self.ensure_alike()?;
        for (thread, &sum) in (0..self.threads()).zip(&sums) {
            let expected = self.variant.shape.expected_sum(&self.operands.elements, thread);
            let found = f64::from(sum) / f64::from(iterations);
            ensure!(
                (found - expected.value).abs() <= tolerance * expected.magnitude,
                "{}: thread {thread} has sum {found} after {iterations} iterations, not {}",
                self.variant.kernel.name,
                expected.value
            );
        }
        Ok(())
    }

    /// Makes sure that all CTAs have the same sums in the end, all finite: they have done the same. Returns those
    /// of the first.
    fn ensure_alike(&self) -> anyhow::Result<Vec<f32>> {
        self.bench.synchronize()?;
        let words = pattern::read_words(&self.sums, self.sums.len() / size_of::<u32>())?;
        let name = self.variant.kernel.name;
        let mut ctas = words.chunks_exact(self.threads() as usize);
        let first = ctas.next().unwrap_or_default();
        ensure!(ctas.all(|cta| cta == first), "{name}: CTAs that do the same have other sums");
        let sums: Vec<f32> = first.iter().copied().map(f32::from_bits).collect();
        ensure!(sums.iter().all(|sum| sum.is_finite()), "{name}: a sum is not finite");
        Ok(sums)
    }

    /// Cycles of a multiply in the last launch, the median of all SMs.
    fn cycles(&self, iterations: u32) -> anyhow::Result<f64> {
        let cycles = pattern::read_words(&self.cycles, self.cycles.len() / size_of::<u32>())?;
        let cycles: Vec<f64> = cycles.into_iter().map(f64::from).collect();
        let loops = Summary::of(&cycles).map_or(f64::NAN, |summary| summary.median);
        Ok(loops / (f64::from(iterations) * f64::from(STEPS) * f64::from(self.warpgroups)))
    }
}

impl Measured<'_> {
    fn flop(&self) -> f64 {
        let Multiply { bench, variant, warpgroups, .. } = self.multiply;
        let warpgroups = f64::from(bench.device.multiprocessors() * warpgroups);
        let steps = f64::from(self.iterations) * f64::from(STEPS);
        warpgroups * steps * 2.0 * 64.0 * f64::from(variant.shape.n) * 16.0
    }

    /// The best.
    fn tflops(&self) -> anyhow::Result<f64> {
        let best = self.times.iter().copied().fold(f64::INFINITY, f64::min);
        Ok(self.flop() / best * 1e-6)
    }

    fn row(&self, how: &str) -> anyhow::Result<Row> {
        let Multiply { variant, warpgroups, .. } = self.multiply;
        let case = format!("{}, {warpgroups} warpgroups an SM, {how}", variant.name);
        let cycles = self.multiply.cycles(self.iterations)?;
        let least = f64::from(self.multiply.least_cycles());
        let row = Row::new("wgmma", case, &self.times)?;
        let tflops = self.flop() / row.us() * 1e-6;
        Ok(row
            .with("tflops", "TFLOP/s", tflops)
            .with("multiply_cycles", "cycles a multiply", cycles)
            .with("busy_percent", "% busy", 100.0 * least / cycles)
            .under(self.load))
    }
}
