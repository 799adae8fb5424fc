//! What the card can do, measured in the process that measures the rest.

use oxmla::backend::cuda::CudaDevice;
use oxmla::{Result, Stream};
use oxmla_bench::Ceilings;

use super::clock::Clock;
use super::micro;

/// Bytes copied to find the bandwidth of the memory.
const COPY_BYTES: usize = 2 << 30;
/// Copies of which the best counts.
const COPIES: u32 = 10;

/// The ceilings. Those whose kernel does not do what it should stay unknown, which is said on standard error.
pub fn measure(device: &CudaDevice, stream: &Stream) -> Result<Ceilings> {
    let of_kernels = micro::ceilings(device, stream).unwrap_or_else(|error| {
        eprintln!("oxmla: ceilings of reads and multiplies are unknown: {error:#}");
        Ceilings::default()
    });
    Ok(Ceilings { copy_gbps: Some(copy_gbps(device, stream)?), ..of_kernels })
}

/// Bytes per second that a copy inside the memory reads and writes, in 10⁹: the best of several.
fn copy_gbps(device: &CudaDevice, stream: &Stream) -> Result<f64> {
    let mut memory = device.alloc(2 * COPY_BYTES)?;
    let clock = Clock::new(device)?;
    let mut best = f64::INFINITY;
    for _ in 0..COPIES {
        let copy = || memory.copy_within_on(stream.as_ref(), 0, COPY_BYTES, COPY_BYTES);
        best = clock.time(stream, copy)?.min(best);
    }
    Ok(2.0 * COPY_BYTES as f64 / best * 1e-3)
}
