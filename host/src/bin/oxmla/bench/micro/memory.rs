//! Reading and copying the device memory.

use anyhow::ensure;
use oxmla_kernels::micro::abi::{CopyParams, ReadParams};
use oxmla_kernels::micro::launch::{STREAM_COPY, STREAM_READ};
use oxmla_kernels::micro::stream;

use super::pattern::{self, Pattern};
use super::row::Row;
use super::{Bench, ring};

/// Bytes read: 120 times the L2, and 2 ms.
const READ_BYTES: usize = 6 << 30;
/// Bytes copied from one half of the memory to the other.
const COPY_BYTES: usize = 2 << 30;
/// Bytes of a vector.
const VECTOR: usize = 16;
/// Bytes of a copy that are compared one by one, at its beginning, in its middle, and at its end.
const COMPARED_BYTES: usize = 1 << 20;

/// The `read` benchmark.
pub fn read(bench: &Bench<'_>, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let pattern = Pattern::new(bench.device, READ_BYTES)?;
    let times = read_times(bench, &pattern, READ_BYTES)?;
    let row = Row::new("read", "vector loads", &times)?;
    rows.push(row.with_rate("read_gbps", "GB/s", READ_BYTES as f64));
    rows.push(ring::read(bench, &pattern, READ_BYTES)?);
    Ok(())
}

/// The best rate of vector loads, in 10⁹ bytes per second.
pub fn read_gbps(bench: &Bench<'_>) -> anyhow::Result<f64> {
    let pattern = Pattern::new(bench.device, READ_BYTES)?;
    let times = read_times(bench, &pattern, READ_BYTES)?;
    Ok(READ_BYTES as f64 / times.into_iter().fold(f64::INFINITY, f64::min) * 1e-3)
}

/// Microseconds for the first `bytes`, which are checked.
fn read_times(bench: &Bench<'_>, pattern: &Pattern, bytes: usize) -> anyhow::Result<Vec<f64>> {
    let mut sums = Sums::new(bench)?;
    let times = bench.times(|| sums.launch(bench, pattern.memory().address(), bytes))?;
    sums.ensure(bench, pattern.sum(bytes))?;
    Ok(times)
}

/// The `copy` benchmark.
pub fn copy(bench: &Bench<'_>, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let mut pattern = Pattern::new(bench.device, 2 * COPY_BYTES)?;
    let moved = 2.0 * COPY_BYTES as f64;

    clear_copy(&mut pattern)?;
    let from = pattern.memory().address();
    let kernel = bench.program.kernel(&STREAM_COPY)?.ctas(ctas(bench));
    let to = from + COPY_BYTES as u64;
    let params = CopyParams { from, to, vectors: (COPY_BYTES / VECTOR) as u64 };
    // SAFETY: both halves are inside the memory.
    let times = bench.times(|| unsafe { kernel.launch(bench.stream.as_ref(), &params) })?;
    ensure_copied(bench, &pattern)?;
    let row = Row::new("copy", "kernel, vector loads and stores", &times)?;
    rows.push(row.with_rate("copy_gbps", "GB/s, read + written", moved));

    clear_copy(&mut pattern)?;
    let stream = bench.stream.as_ref();
    let memory = pattern.memory_mut();
    let times = bench.times(|| memory.copy_within_on(stream, 0, COPY_BYTES, COPY_BYTES))?;
    ensure_copied(bench, &pattern)?;
    let row = Row::new("copy", "the driver's", &times)?;
    rows.push(row.with_rate("copy_gbps", "GB/s, read + written", moved));
    Ok(())
}

/// Overwrites the second half, so that a copy is seen to be one.
fn clear_copy(pattern: &mut Pattern) -> oxmla::Result<()> {
    let zeros = vec![0; COMPARED_BYTES];
    let mut at = COPY_BYTES;
    while at < 2 * COPY_BYTES {
        pattern.memory_mut().write(at, &zeros)?;
        at += zeros.len();
    }
    Ok(())
}

/// Makes sure that the second half is what the first half is.
fn ensure_copied(bench: &Bench<'_>, pattern: &Pattern) -> anyhow::Result<()> {
    bench.synchronize()?;
    for from in [0, COPY_BYTES / 2, COPY_BYTES - COMPARED_BYTES] {
        pattern.ensure_copied(from, COPY_BYTES + from, COMPARED_BYTES)?;
    }
    let mut sums = Sums::new(bench)?;
    sums.launch(bench, pattern.memory().address() + COPY_BYTES as u64, COPY_BYTES)?;
    sums.ensure(bench, pattern.sum(COPY_BYTES))
}

/// Sums of what the warps of the reading kernel have read.
struct Sums(oxmla::backend::cuda::CudaBuffer);

impl Sums {
    fn new(bench: &Bench<'_>) -> oxmla::Result<Self> {
        let warps = ctas(bench) * stream::THREADS / 32;
        bench.results(warps as usize).map(Self)
    }

    /// Reads `bytes` from `data` on.
    fn launch(&mut self, bench: &Bench<'_>, data: u64, bytes: usize) -> oxmla::Result<()> {
        let kernel = bench.program.kernel(&STREAM_READ)?.ctas(ctas(bench));
        let params = ReadParams { data, vectors: (bytes / VECTOR) as u64, sums: self.0.address() };
        // SAFETY: the caller's range; each warp has its sum.
        unsafe { kernel.launch(bench.stream.as_ref(), &params) }
    }

    /// Makes sure that the last launch has read everything once.
    fn ensure(&self, bench: &Bench<'_>, expected: u32) -> anyhow::Result<()> {
        bench.synchronize()?;
        let words = pattern::read_words(&self.0, self.0.len() / size_of::<u32>())?;
        let found = pattern::sum(&words);
        ensure!(found == expected, "checksum {found:#x} of what was read, not {expected:#x}");
        Ok(())
    }
}

/// As many CTAs as there is room for.
fn ctas(bench: &Bench<'_>) -> u32 {
    bench.device.multiprocessors() * stream::CTAS_PER_SM
}
