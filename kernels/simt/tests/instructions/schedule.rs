//! Seeds: the same gives the same, different ones interleave differently.

use oxmla_simt::atomic::{self, Operation};
use oxmla_simt::{Launch, Memory, barrier, global, shared, special};

/// The order in which warps draw their tickets, of each of `ctas` CTAs.
fn order(seed: u64, workers: usize, ctas: u32) -> Vec<u32> {
    let mut out = vec![0u32; ctas as usize * 16];
    let mut memory = Memory::new();
    let address = memory.read_write(&mut out) as usize;
    let launch = Launch::new("kernel", [ctas, 1, 1], 512).shared_bytes(64).seed(seed);
    launch
        .workers(workers)
        .run(&memory, || {
            if special::thread_index() == 0 {
                shared::store_u32(shared::base(), 0);
            }
            barrier::sync_threads();
            if special::lane() == 0 {
                let ticket = atomic::shared(shared::base(), Operation::Add(1));
                let place = 16 * special::cta_x() + ticket;
                global::store_u32(
                    (address as *mut u32).wrapping_add(place as usize),
                    special::warp(),
                );
            }
        })
        .expect("no fault");
    drop(memory);
    out
}

#[test]
fn a_seed_fixes_the_order_whatever_the_workers() {
    for seed in 0..5 {
        assert_eq!(order(seed, 1, 6), order(seed, 4, 6));
    }
}

#[test]
fn seeds_and_clusters_differ() {
    let orders: Vec<Vec<u32>> = (0..10).map(|seed| order(seed, 1, 2)).collect();
    for (i, a) in orders.iter().enumerate() {
        assert_ne!(a[..16], a[16..], "the two CTAs of seed {i}");
        for b in &orders[..i] {
            assert_ne!(a, b);
        }
    }
}

/// The report of a launch that fails in many clusters is that of the first.
#[test]
fn reports_do_not_depend_on_the_workers() {
    let memory = Memory::new();
    let report = |workers| {
        let launch = Launch::new("kernel", [16, 1, 1], 64).shared_bytes(256).workers(workers);
        let kernel = || {
            if special::cta_x() >= 3 {
                shared::store_u32(shared::base() + 4 * (special::thread_index() / 2), 0);
            }
        };
        *launch.run(&memory, kernel).expect_err("a race")
    };
    let first = report(1);
    assert_eq!(first.block, [3, 0, 0]);
    for _ in 0..5 {
        assert_eq!(report(4), first);
    }
}
