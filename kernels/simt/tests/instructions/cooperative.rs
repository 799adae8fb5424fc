//! Grids whose CTAs all run together: counters in global memory that one CTA raises and others wait for.

use oxmla_simt::atomic::{self, Operation, Scope};
use oxmla_simt::{
    Launch, Memory, Timing, barrier, bulk, cluster, fence, global, mbarrier, shared, special,
};

use crate::support::{Aligned, run};

fn at<T>(address: u64, index: u32) -> *mut T {
    (address as *mut T).wrapping_add(index as usize)
}

fn grid(ctas: u32, threads: u32) -> Launch {
    Launch::new("kernel", [ctas, 1, 1], threads).shared_bytes(1024).cooperative(true)
}

/// Every CTA writes a row; the first one waits for all rows and adds them up. Rounds follow each other, with
/// counts that only grow until the last CTA to leave resets them.
#[test]
fn rows_are_published_and_merged() {
    const CTAS: u32 = 8;
    const THREADS: u32 = 384;
    let mut sums = vec![0f32; 4 * THREADS as usize];
    let mut rows = Aligned(vec![0f32; (CTAS * 4 * THREADS) as usize]);
    let mut counters = [0u32; 3];
    let mut memory = Memory::new();
    let sum = memory.read_write(&mut sums);
    let counter = memory.read_write(&mut counters);
    // Not merely zero: reading a row before it is written is reported.
    let row = memory.uninitialised(&mut rows.0);
    run(&grid(CTAS, THREADS), &memory, || {
        let (cta, thread) = (special::cta_x(), special::thread_index());
        for round in 1..=3 {
            let mine = 4 * (cta * THREADS + thread);
            let value = (round * 100 + cta) as f32;
            global::store_f32x4(at(row, mine), [value, 1.0, 2.0, thread as f32]);
            barrier::sync_threads();
            if thread == 0 {
                global::add_release_u32(at(counter, 0), 1);
            }
            if cta == 0 {
                if thread == 0 {
                    global::wait_at_least(at(counter, 0), CTAS * round);
                }
                barrier::sync_threads();
                let mut total = [0.0; 4];
                for other in 0..CTAS {
                    let theirs = at(row, 4 * (other * THREADS + thread));
                    let values = global::load_f32x4_coherent(theirs);
                    total = std::array::from_fn(|i| total[i] + values[i]);
                }
                assert_eq!(total[0], (CTAS * round * 100 + CTAS * (CTAS - 1) / 2) as f32);
                assert_eq!(global::load_f32_coherent(at(row, 4 * thread + 3)), thread as f32);
                global::store_f32x4(at(sum, 4 * thread), total);
                barrier::sync_threads();
                if thread == 0 {
                    global::add_release_u32(at(counter, 1), 1);
                }
            }
            // Nobody writes the next row before this one has been read.
            if thread == 0 {
                global::wait_at_least(at(counter, 1), round);
            }
            barrier::sync_threads();
        }
        // The last to leave, for nobody waits any more.
        if thread == 0 && global::add_release_u32(at(counter, 2), 1) == CTAS - 1 {
            (0..3).for_each(|i| global::store_relaxed_u32(at(counter, i), 0));
        }
    });
    drop(memory);
    assert_eq!(counters, [0; 3]);
    for (thread, sum) in sums.chunks_exact(4).enumerate() {
        assert_eq!(sum, [8.0 * 300.0 + 28.0, 8.0, 16.0, 8.0 * thread as f32]);
    }
}

/// A fence before a relaxed atomic, and one after a relaxed load, do what release and acquire do.
#[test]
fn fences_beside_relaxed_accesses() {
    let mut words = [0u32; 2];
    let mut memory = Memory::new();
    let data = memory.read_write(&mut words);
    run(&grid(2, 32), &memory, || {
        if special::thread_index() != 0 {
            return;
        }
        if special::cta_x() == 0 {
            global::store_u32(at(data, 1), 7);
            fence::gpu();
            atomic::global(at(data, 0), Operation::Exchange(1), Scope::Gpu);
        } else {
            global::wait_at_least(at(data, 0), 1);
            assert_eq!(global::load_u32(at(data, 1)), 7);
            global::store_u32(at(data, 1), 0);
            global::store_release_u32(at(data, 0), 0);
        }
    });
}

/// Clusters of a cooperative grid keep their ranks, barriers and shared memory to themselves.
#[test]
fn clusters_of_a_cooperative_grid() {
    let rows = Aligned([100u32, 101, 102, 103, 104, 105].map(|word| [word; 4]).concat());
    let mut out = Aligned([0u32; 12]);
    let mut memory = Memory::new();
    let source = memory.read_only(&rows.0);
    let address = memory.read_write(&mut out.0);
    run(&grid(6, 32).cluster([2, 1, 1]), &memory, || {
        assert_eq!((cluster::size(), cluster::rank()), (2, special::cta_x() % 2));
        let mine = shared::base() + 4 * special::thread_index();
        shared::store_u32(mine, special::cta_x());
        cluster::sync();
        let other = shared::load_u32(cluster::map_address(mine, 1 - cluster::rank()));
        // The first of each two writes its word into both.
        let (ready, copy) = (shared::base() + 512, shared::base() + 528);
        if special::thread_index() == 0 {
            mbarrier::init(ready, 1);
            fence::mbarrier_init();
            mbarrier::arrive_expect(ready, 16);
        }
        cluster::sync();
        if special::thread_index() == 0 {
            if cluster::rank() == 0 {
                let row = source + 16 * u64::from(special::cta_x());
                bulk::load_multicast(copy, row, 16, ready, 0b11);
            }
            mbarrier::wait(ready, 0);
            let word = at(address, 2 * special::cta_x());
            global::store_u32x2(word, [other, shared::load_u32(copy)]);
        }
        cluster::sync();
    });
    drop(memory);
    assert_eq!(out.0, [1, 100, 0, 100, 3, 102, 2, 102, 5, 104, 4, 104]);
}

/// In which order the CTAs draw tickets is up to the seed, and to nothing else.
#[test]
fn a_seed_fixes_the_order_of_the_ctas() {
    let order = |seed, workers| {
        let mut out = [0u32; 9];
        let mut memory = Memory::new();
        let address = memory.read_write(&mut out);
        let launch = grid(8, 64).seed(seed).workers(workers).timing(Timing::Random);
        let kernel = || {
            if special::thread_index() == 0 {
                let ticket = global::add_release_u32(at(address, 0), 1);
                global::store_u32(at(address, 1 + ticket), special::cta_x());
                mbarrier::init(shared::base(), 1);
                global::wait_at_least(at(address, 0), 8);
            }
        };
        launch.run(&memory, kernel).expect("no fault");
        drop(memory);
        out
    };
    let orders: Vec<_> = (0..5).map(|seed| order(seed, 1)).collect();
    for (seed, first) in orders.iter().enumerate() {
        assert_eq!(order(seed as u64, 4), *first);
        assert!(orders[..seed].iter().all(|other| other != first), "{orders:?}");
    }
}
