//! Time on the GPU.

use oxmla::backend::cuda::event::Event;
use oxmla::backend::cuda::{CudaBuffer, CudaDevice};
use oxmla::{Result, Stream};

/// Bytes written before each cold call: ten times the L2, and 0.2 ms in which the host gets the call into the
/// stream, so that the events do not measure the host.
const FLUSH_BYTES: usize = 512 << 20;
/// Calls before the first that counts.
const WARM_UP: u32 = 3;

/// Two events.
pub struct Clock {
    pub start: Event,
    pub end: Event,
}

impl Clock {
    /// Creates the events.
    pub fn new(device: &CudaDevice) -> Result<Self> {
        Ok(Self { start: Event::new(device)?, end: Event::new(device)? })
    }

    /// Microseconds that the GPU takes for `work`. Waits for it.
    pub fn time(&self, stream: &Stream, work: impl FnOnce() -> Result<()>) -> Result<f64> {
        self.start.record(stream.as_ref())?;
        work()?;
        self.end.record(stream.as_ref())?;
        self.end.synchronize()?;
        Ok(f64::from(self.end.elapsed_us(&self.start)?))
    }
}

/// Calls that find nothing of theirs in the L2.
pub struct Cold<'a> {
    stream: &'a Stream,
    flushed: CudaBuffer,
    clock: Clock,
}

impl<'a> Cold<'a> {
    /// Allocates what is written between the calls.
    pub fn new(device: &CudaDevice, stream: &'a Stream) -> Result<Self> {
        Ok(Self { stream, flushed: device.alloc(FLUSH_BYTES)?, clock: Clock::new(device)? })
    }

    /// Microseconds of `repeat` calls of `work`, which gets the number of the call.
    pub fn times(
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
