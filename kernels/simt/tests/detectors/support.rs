//! What the buggy kernels share.

use std::panic::Location;

use oxmla_simt::{Kind, Launch, Memory, Report, Swizzle, TensorMap, Timing};
use oxmla_simt::{barrier, fence, shared, special};

/// Data as `cudaMalloc` would align it.
#[repr(align(128))]
pub struct Aligned<T>(pub T);

/// Runs a CTA of `threads` threads with 64 KB of shared memory, under several seeds and timings; all have to
/// agree on the kind of the first report, or on there being none. Returns the first.
pub fn run(threads: u32, memory: &Memory, kernel: impl Fn() + Sync) -> Result<(), Box<Report>> {
    launch(Launch::new("kernel", [1, 1, 1], threads).shared_bytes(65536), memory, kernel)
}

/// The same with a launch of one's own.
pub fn launch(
    launch: Launch,
    memory: &Memory,
    kernel: impl Fn() + Sync,
) -> Result<(), Box<Report>> {
    let results: Vec<_> = [Timing::Late, Timing::Random]
        .into_iter()
        .flat_map(|timing| (0..4).map(move |seed| (timing, seed)))
        .map(|(timing, seed)| launch.clone().timing(timing).seed(seed).run(memory, &kernel))
        .collect();
    let kinds: Vec<_> =
        results.iter().map(|r| r.as_ref().err().map(|report| report.kind)).collect();
    assert!(kinds.iter().all(|kind| *kind == kinds[0]), "seeds disagree: {kinds:?}");
    results.into_iter().next().expect("eight runs").map(drop)
}

/// Checks that `kernel(true)` is reported as `kind`, from this test's file, with `words` in the detail, and
/// that `kernel(false)` is not.
#[track_caller]
pub fn catches(kind: Kind, threads: u32, words: &str, kernel: impl Fn(bool) + Sync) -> Report {
    let memory = Memory::new();
    catches_with(kind, threads, &memory, words, kernel)
}

/// The same with global memory.
#[track_caller]
pub fn catches_with(
    kind: Kind,
    threads: u32,
    memory: &Memory,
    words: &str,
    kernel: impl Fn(bool) + Sync,
) -> Report {
    if let Err(report) = run(threads, memory, || kernel(false)) {
        panic!("without the bug: {report}");
    }
    let report = run(threads, memory, || kernel(true)).expect_err("the bug is caught");
    assert_eq!(report.kind, kind, "{report}");
    assert!(report.detail.contains(words), "{report}");
    let place = report.location.clone().expect("a place in the kernel");
    let tests = Location::caller().file().rsplit_once('/').expect("a path").0;
    assert!(place.file.starts_with(tests), "{report}");
    assert_eq!((report.kernel.as_str(), report.block), ("kernel", [0; 3]));
    assert!(!report.threads.is_empty());
    *report
}

/// `tiles` swizzled tiles of 8 KB from the start of shared memory, filled with zeros by the first 128 threads
/// and made visible to `wgmma`.
pub fn clear_tiles(tiles: u32) {
    let mut at = special::thread_index() * 16;
    while at < tiles * 8192 {
        shared::store_zero_16(shared::base() + at);
        at += 128 * 16;
    }
    fence::proxy_async_shared();
    barrier::sync(1, 128);
}

/// Descriptor of a K-major tile with 128-byte swizzle.
pub fn descriptor(address: u32) -> u64 {
    u64::from(address >> 4) | 1 << 16 | 64 << 32 | 1 << 62
}

/// A map of `rows` rows of 64 16-bit elements, 8 rows a box.
pub fn rows_map(address: u64, rows: u64) -> TensorMap {
    TensorMap {
        address,
        element_bytes: 2,
        dimensions: vec![64, rows],
        strides: vec![128],
        tile: vec![64, 8],
        element_strides: vec![1, 1],
        swizzle: Swizzle::B128,
    }
}
