//! What the instruction tests share.

use oxmla_simt::{Launch, Memory, Timing};

/// Data as `cudaMalloc` would align it.
#[repr(align(128))]
#[derive(Clone)]
pub struct Aligned<T>(pub T);

/// Runs a kernel that is right, under several seeds and timings.
#[track_caller]
pub fn run(launch: &Launch, memory: &Memory, kernel: impl Fn() + Sync) {
    for timing in [Timing::Late, Timing::Random] {
        for seed in 0..3 {
            let launch = launch.clone().seed(seed).timing(timing);
            if let Err(report) = launch.run(memory, &kernel) {
                panic!("seed {seed}, {timing:?}: {report}");
            }
        }
    }
}

/// One CTA with 64 KB of shared memory.
pub fn cta(threads: u32) -> Launch {
    Launch::new("kernel", [1, 1, 1], threads).shared_bytes(65536)
}

/// Runs one CTA of `threads` threads, each of which computes `N` words, and returns them by thread.
#[track_caller]
pub fn collect<const N: usize>(
    threads: u32,
    kernel: impl Fn(u32) -> [u32; N] + Sync,
) -> Vec<[u32; N]> {
    let mut out = vec![0u32; threads as usize * N];
    let mut memory = Memory::new();
    let address = memory.read_write(&mut out);
    run(&cta(threads), &memory, || {
        let thread = oxmla_simt::special::thread_index();
        for (i, word) in kernel(thread).into_iter().enumerate() {
            let place = (address as *mut u32).wrapping_add(thread as usize * N + i);
            oxmla_simt::global::store_u32(place, word);
        }
    });
    drop(memory);
    out.chunks_exact(N).map(|words| words.try_into().expect("N words")).collect()
}

/// Reproducible numbers.
pub fn random(seed: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed)
}
