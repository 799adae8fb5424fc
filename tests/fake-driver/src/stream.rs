//! Streams, events and graphs. Work is done when it is given, so there is nothing to wait for.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::call::{STREAM_CAPTURE_ISOLATION, STREAM_CAPTURE_UNSUPPORTED, SUCCESS};
use crate::device;
use crate::object::{Handle, create, destroy};

struct Stream {
    /// Where it was made, and is to be used.
    context: Handle,
    capturing: AtomicBool,
}

#[derive(Default)]
struct Event {
    /// Whether the work that it comes after is recorded, not done.
    captured: AtomicBool,
}

struct Graph;

struct Executable;

/// `CU_STREAM_CAPTURE_MODE_RELAXED`.
const RELAXED: i32 = 2;

thread_local! {
    /// Captures that this thread has begun.
    static CAPTURES: Cell<usize> = const { Cell::new(0) };
    /// What this thread forbids itself while there are captures: `CUstreamCaptureMode`.
    static MODE: Cell<i32> = const { Cell::new(0) };
}

/// Whether this thread may make calls that no capture can contain.
pub fn allows_unsafe_calls() -> bool {
    CAPTURES.get() == 0 || MODE.get() == RELAXED
}

/// What this thread forbids itself.
pub fn capture_mode() -> i32 {
    MODE.get()
}

/// The stream behind a handle; `None` for the default stream.
///
/// # Safety
/// The stream lives.
unsafe fn stream<'a>(handle: Handle) -> Option<&'a Stream> {
    // SAFETY: the caller's promise.
    unsafe { handle.cast::<Stream>().as_ref() }
}

/// Whether the work of a stream, which lives, is recorded instead of done.
pub fn is_capturing(handle: Handle) -> bool {
    // SAFETY: callers of the driver keep streams alive.
    unsafe { stream(handle) }.is_some_and(|stream| stream.capturing.load(Ordering::Relaxed))
}

/// Whether a stream, which lives, is one of the current context.
pub fn is_of_current_context(handle: Handle) -> bool {
    // SAFETY: callers of the driver keep streams alive.
    unsafe { stream(handle) }.is_none_or(|stream| stream.context == device::current())
}

functions! {
    Bound fn cuStreamCreate(place: *mut Handle, _flags: u32) {
        *place = create(Stream { context: device::current(), capturing: AtomicBool::new(false) });
        SUCCESS
    }
    Release fn cuStreamDestroy_v2(handle: Handle) {
        destroy::<Stream>(handle);
        SUCCESS
    }
    Bound fn cuStreamSynchronize(handle: Handle) {
        if is_capturing(handle) { STREAM_CAPTURE_UNSUPPORTED } else { SUCCESS }
    }
    Bound fn cuStreamIsCapturing(handle: Handle, status: *mut i32) {
        *status = i32::from(is_capturing(handle));
        SUCCESS
    }
    Bound fn cuStreamBeginCapture_v2(handle: Handle, _mode: i32) {
        let Some(stream) = stream(handle) else { return STREAM_CAPTURE_UNSUPPORTED };
        stream.capturing.store(true, Ordering::Relaxed);
        CAPTURES.set(CAPTURES.get() + 1);
        SUCCESS
    }
    Free fn cuThreadExchangeStreamCaptureMode(mode: *mut i32) {
        *mode = MODE.replace(*mode);
        SUCCESS
    }
    Release fn cuStreamEndCapture(handle: Handle, graph: *mut Handle) {
        let captured = stream(handle).is_some_and(|s| s.capturing.swap(false, Ordering::Relaxed));
        if !captured {
            return STREAM_CAPTURE_UNSUPPORTED;
        }
        CAPTURES.set(CAPTURES.get() - 1);
        *graph = create(Graph);
        SUCCESS
    }
    Bound fn cuGraphInstantiateWithFlags(executable: *mut Handle, _graph: Handle, _flags: u64) {
        *executable = create(Executable);
        SUCCESS
    }
    Bound fn cuGraphLaunch(_executable: Handle, _stream: Handle) {
        SUCCESS
    }
    Release fn cuGraphDestroy(graph: Handle) {
        destroy::<Graph>(graph);
        SUCCESS
    }
    Release fn cuGraphExecDestroy(executable: Handle) {
        destroy::<Executable>(executable);
        SUCCESS
    }
    Bound fn cuEventCreate(event: *mut Handle, _flags: u32) {
        *event = create(Event::default());
        SUCCESS
    }
    Release fn cuEventDestroy_v2(event: Handle) {
        destroy::<Event>(event);
        SUCCESS
    }
    Bound fn cuEventRecord(event: Handle, stream: Handle) {
        let event = &*event.cast::<Event>();
        event.captured.store(is_capturing(stream), Ordering::Relaxed);
        SUCCESS
    }
    Bound fn cuStreamWaitEvent(stream: Handle, event: Handle, _flags: u32) {
        let event = &*event.cast::<Event>();
        if is_capturing(stream) && !event.captured.load(Ordering::Relaxed) {
            return STREAM_CAPTURE_ISOLATION;
        }
        SUCCESS
    }
    Bound fn cuEventSynchronize(_event: Handle) {
        SUCCESS
    }
    Bound fn cuEventQuery(_event: Handle) {
        SUCCESS
    }
    Bound fn cuEventElapsedTime(milliseconds: *mut f32, _start: Handle, _end: Handle) {
        *milliseconds = 1.0;
        SUCCESS
    }
}
