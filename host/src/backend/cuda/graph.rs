//! Work recorded once and replayed with one call.

use std::ptr::null_mut;

use super::device::CudaDevice;
use super::driver::{CAPTURE_THREAD_LOCAL, Handle};
use crate::error::Result;
use crate::stream::StreamRef;

/// The work of a stream, captured to be replayed.
///
/// A captured decode keeps the addresses of its tensors and of its planner's workspace, not what they hold: a
/// replay works with the lengths and block table of the planner's latest step, as long as batch, s_q and mask
/// stay the same. It splits requests by the [`Cut`](crate::plan::schedule::Cut) of the plan that was captured: without
/// [`Planner::deterministic`](crate::Planner::deterministic) the last bits may differ from those of a decode with the
/// latest plan.
#[derive(Debug)]
pub struct Graph {
    executable: Handle,
    device: CudaDevice,
}

// SAFETY: the driver lets any thread use a graph, one at a time.
unsafe impl Send for Graph {}

impl Graph {
    /// Runs `work`, whose calls on `stream` are recorded instead of done. `stream` is not the default stream. Other
    /// threads may go on meanwhile, on other streams.
    ///
    /// # Errors
    /// The first of: [`Error::LocationMismatch`](crate::Error::LocationMismatch) if the stream is of another
    /// device; the error of `work`; [`Error::Driver`](crate::Error::Driver) if something in it cannot be
    /// captured. The stream is out of capture afterwards.
    pub fn capture(
        device: &CudaDevice,
        stream: StreamRef<'_>,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<Self> {
        device.check_stream(stream)?;
        let _current = device.make_current()?;
        let mut capture = Capture::begin(device, stream.raw())?;
        let outcome = work();
        let template = capture.end();
        outcome?;
        template?.instantiate()
    }

    /// Gives the work to `stream` once more.
    ///
    /// # Errors
    /// [`Error::LocationMismatch`](crate::Error::LocationMismatch) if the stream is of another device, or
    /// [`Error::Driver`](crate::Error::Driver).
    ///
    /// # Safety
    /// All memory that the captured calls named is still there, until the replay is done, and nobody else
    /// uses it in a way that those calls forbid.
    pub unsafe fn launch(&self, stream: StreamRef<'_>) -> Result<()> {
        self.device.check_stream(stream)?;
        let _current = self.device.make_current()?;
        // SAFETY: graph and stream live; the caller vouches for the memory.
        unsafe { self.device.driver().cuGraphLaunch(self.executable, stream.raw()) }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let _current = self.device.make_current();
        // SAFETY: nobody uses the graph after this. A replay under way runs to its end.
        let _ = unsafe { self.device.driver().cuGraphExecDestroy(self.executable) };
    }
}

/// A stream under capture. Dropping it, as a panic would, ends the capture and forgets the work.
struct Capture<'a> {
    device: &'a CudaDevice,
    stream: Handle,
    open: bool,
}

impl<'a> Capture<'a> {
    fn begin(device: &'a CudaDevice, stream: Handle) -> Result<Self> {
        // SAFETY: the caller vouches for the stream.
        unsafe { device.driver().cuStreamBeginCapture_v2(stream, CAPTURE_THREAD_LOCAL)? };
        Ok(Self { device, stream, open: true })
    }

    fn end(&mut self) -> Result<Template<'a>> {
        self.open = false;
        let mut template = Template { device: self.device, graph: null_mut() };
        // SAFETY: the stream is under capture since `begin`, on this thread.
        unsafe { self.device.driver().cuStreamEndCapture(self.stream, &mut template.graph)? };
        Ok(template)
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        if self.open {
            let _ = self.end();
        }
    }
}

/// A captured graph, null if the capture failed.
struct Template<'a> {
    device: &'a CudaDevice,
    graph: Handle,
}

impl Template<'_> {
    fn instantiate(self) -> Result<Graph> {
        let mut executable = null_mut();
        let driver = self.device.driver();
        // SAFETY: the graph lives, and the result has a place.
        unsafe { driver.cuGraphInstantiateWithFlags(&mut executable, self.graph, 0)? };
        Ok(Graph { executable, device: self.device.clone() })
    }
}

impl Drop for Template<'_> {
    fn drop(&mut self) {
        if !self.graph.is_null() {
            // SAFETY: nobody uses the graph after this.
            let _ = unsafe { self.device.driver().cuGraphDestroy(self.graph) };
        }
    }
}
