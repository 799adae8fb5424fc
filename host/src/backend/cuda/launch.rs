//! One launch of a kernel.

use std::ptr::null_mut;

use super::choice::Choice;
use super::context::Current;
use super::device::CudaDevice;
use super::driver::{Handle, LaunchAttribute, LaunchConfig};
use super::module::Function;
use crate::error::Result;

/// How to start a kernel. Threads and shared memory of its CTAs are the kernel's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Launch {
    pub function: Function,
    /// CTAs along each axis.
    pub grid: [u32; 3],
    /// Starts while the kernel in front of it in the stream still runs; it waits for that one by itself.
    pub programmatic: bool,
    /// All CTAs run at the same time, so that they may wait for each other. The driver refuses a grid of more
    /// CTAs than the GPU has room for. Every GPU of compute capability 9.0 can do this under Linux.
    pub cooperative: bool,
}

impl Launch {
    /// Gives the kernel to `stream`. Allocates nothing and waits for nothing.
    ///
    /// # Errors
    /// [`Driver`](crate::Error::Driver).
    ///
    /// # Safety
    /// Each parameter points to what the kernel declares in its place, and every address in there is valid
    /// until the kernel has run.
    pub unsafe fn start<const PARAMETERS: usize>(
        &self,
        current: &Current<'_>,
        stream: Handle,
        mut parameters: [Handle; PARAMETERS],
    ) -> Result<()> {
        let Function { handle, geometry } = self.function;
        let (mut attributes, count) = self.attributes();
        let config = LaunchConfig {
            grid: self.grid,
            block: [geometry.threads, 1, 1],
            shared_bytes: geometry.shared_bytes,
            stream,
            attributes: attributes.as_mut_ptr(),
            attribute_count: count,
        };
        // SAFETY: the caller's promise; the driver copies everything before it returns.
        unsafe {
            current.driver().cuLaunchKernelEx(&config, handle, parameters.as_mut_ptr(), null_mut())
        }
    }

    /// What the launch asks for beside its geometry, and how many of the attributes that is.
    fn attributes(&self) -> ([LaunchAttribute; 2], u32) {
        let (programmatic, cooperative) =
            (LaunchAttribute::PROGRAMMATIC_STREAM_SERIALIZATION, LaunchAttribute::COOPERATIVE);
        match (self.programmatic, self.cooperative) {
            (false, false) => ([programmatic, cooperative], 0),
            (true, false) => ([programmatic, cooperative], 1),
            (false, true) => ([cooperative, programmatic], 1),
            (true, true) => ([programmatic, cooperative], 2),
        }
    }
}

/// Launches a kernel that takes `params` and nothing else, unless there is nothing to do.
pub(super) fn start<P>(
    device: &CudaDevice,
    stream: Handle,
    choice: Choice,
    grid: [u32; 3],
    params: &P,
) -> Result<()> {
    if grid.contains(&0) {
        return Ok(());
    }
    let function = device.function(choice)?;
    let current = device.make_current()?;
    let launch = Launch { function, grid, programmatic: false, cooperative: false };
    // SAFETY: the parameters, as the kernel declares them; the driver only reads through the pointer.
    unsafe { launch.start(&current, stream, [(&raw const *params).cast_mut().cast()]) }
}

#[cfg(test)]
mod tests {
    use oxmla_kernels::launch::DENSE_DECODE_BF16;

    use super::*;

    #[test]
    fn the_driver_sees_what_is_asked_for_and_no_more() {
        let (early, together) =
            (LaunchAttribute::PROGRAMMATIC_STREAM_SERIALIZATION, LaunchAttribute::COOPERATIVE);
        for (programmatic, cooperative, expected) in [
            (false, false, &[][..]),
            (true, false, &[early]),
            (false, true, &[together]),
            (true, true, &[early, together]),
        ] {
            let function = Function { handle: null_mut(), geometry: DENSE_DECODE_BF16 };
            let launch = Launch { function, grid: [1; 3], programmatic, cooperative };
            let (attributes, count) = launch.attributes();
            assert_eq!(attributes[..count as usize], *expected);
        }
    }
}
