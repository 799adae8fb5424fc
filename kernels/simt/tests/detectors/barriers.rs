//! Barriers that nobody completes, or too many do; instructions that not all threads reach.

use oxmla_simt::{
    Kind, Launch, Memory, barrier, bulk, cluster, fence, matrix, mbarrier, registers, shared,
    special, tma, warp,
};

use crate::support::{Aligned, catches, catches_with, launch, rows_map};

const BARRIER: u32 = 1024;

#[test]
fn named_barrier_that_a_warp_does_not_reach() {
    let words = "threads 0–31 wait for named barrier 1, 32 of 64 threads there at";
    let report = catches(Kind::Deadlock, 64, words, |bug| {
        if special::warp() == 0 || !bug {
            barrier::sync(1, 64);
        }
    });
    assert_eq!(report.threads, (0..32).collect::<Vec<_>>());
}

#[test]
fn mbarrier_that_lacks_an_arrival() {
    let words = "whose phase 0 lacks 1 arrivals of 2 and 0 bytes";
    catches(Kind::Deadlock, 32, words, |bug| {
        if special::thread_index() == 0 {
            mbarrier::init(BARRIER, 2);
            mbarrier::arrive(BARRIER);
            if !bug {
                mbarrier::arrive(BARRIER);
            }
        }
        barrier::sync_threads();
        mbarrier::wait(BARRIER, 0);
    });
}

/// Polling in vain is a deadlock too.
#[test]
fn mbarrier_polled_in_vain() {
    let memory = Memory::new();
    let report = Launch::new("kernel", [1, 1, 1], 32).shared_bytes(1024).run(&memory, || {
        if special::thread_index() == 0 {
            mbarrier::init(BARRIER, 1);
            while !mbarrier::test_wait(BARRIER, 0) {}
        }
    });
    let report = report.expect_err("nobody arrives");
    assert_eq!(report.kind, Kind::Deadlock);
    assert!(report.detail.contains("what they poll"), "{report}");
}

#[test]
fn each_waits_for_the_other() {
    let words = "threads 0–31 wait for named barrier 1, 32 of 64 threads there";
    catches(Kind::Deadlock, 64, words, |bug| {
        let (first, second) = if bug && special::warp() == 1 { (2, 1) } else { (1, 2) };
        barrier::sync(first, 64);
        barrier::sync(second, 64);
    });
}

#[test]
fn registers_that_nobody_gives_back() {
    let words = "256 registers per thread, 0 are free";
    catches(Kind::Deadlock, 256, words, |bug| {
        if special::thread_index() < 128 {
            registers::increase(256);
        } else if !bug {
            registers::decrease(240);
        }
    });
}

#[test]
fn cluster_barrier_without_the_other_cta() {
    let memory = Memory::new();
    let geometry = Launch::new("kernel", [2, 1, 1], 32).cluster([2, 1, 1]).shared_bytes(1024);
    let report = launch(geometry, &memory, || {
        if cluster::rank() == 0 {
            cluster::sync();
        } else {
            if special::thread_index() == 0 {
                mbarrier::init(BARRIER, 1);
            }
            warp::sync(warp::ALL);
            mbarrier::wait(BARRIER, 0);
        }
    });
    let report = report.expect_err("CTA 1 never arrives");
    assert_eq!(report.kind, Kind::Deadlock);
    assert!(report.detail.contains("the cluster barrier"), "{report}");
    assert!(report.detail.contains("CTA 1 of the cluster, threads 0–31 wait"), "{report}");
}

#[test]
fn more_arrivals_than_an_mbarrier_takes() {
    catches(Kind::ArrivalCount, 32, "lacks 0 arrivals of 1 and 64 bytes", |bug| {
        if special::thread_index() == 0 {
            mbarrier::init(BARRIER, 1);
            mbarrier::arrive_expect(BARRIER, 64);
            if bug {
                mbarrier::arrive(BARRIER);
            }
        }
    });
}

#[test]
fn named_barrier_with_two_counts() {
    catches(Kind::ArrivalCount, 96, "others have arrived for", |bug| {
        barrier::sync(1, if bug && special::warp() == 1 { 64 } else { 96 });
    });
}

#[test]
fn more_arrivals_than_a_named_barrier_takes() {
    // Two warps complete the barrier; the third finds it empty again.
    catches(Kind::Deadlock, 96, "32 of 64 threads there", |bug| {
        if bug || special::warp() < 2 {
            barrier::sync(1, 64);
        }
    });
}

#[test]
fn mbarrier_that_nobody_initialised() {
    catches(Kind::Mbarrier, 32, "no mbarrier has been initialised", |bug| {
        if special::thread_index() == 0 {
            mbarrier::init(BARRIER, 1);
            mbarrier::arrive(BARRIER + 8 * u32::from(bug));
        }
    });
}

#[test]
fn mbarrier_used_before_its_initialisation_is_visible() {
    let memory = Memory::new();
    for bug in [false, true] {
        // Whether the other warp finds the mbarrier at all is up to the seed.
        for seed in 0..4 {
            let geometry = Launch::new("kernel", [1, 1, 1], 64).shared_bytes(1024).seed(seed);
            let result = geometry.run(&memory, || {
                if special::thread_index() == 0 {
                    mbarrier::init(BARRIER, 1);
                }
                if !bug {
                    barrier::sync_threads();
                }
                if special::thread_index() == 63 {
                    mbarrier::arrive(BARRIER);
                }
            });
            assert_eq!(result.err().map(|r| r.kind), bug.then_some(Kind::Mbarrier));
        }
    }
}

#[test]
fn copy_on_an_mbarrier_without_its_fence() {
    let rows = Aligned([0u16; 64 * 8]);
    let mut memory = Memory::new();
    let address = memory.read_only(&rows.0);
    let map = memory.tensor_map(rows_map(address, 8)).unwrap();
    catches_with(Kind::ProxyFence, 32, &memory, "fence.mbarrier_init", |bug| {
        if special::thread_index() == 0 {
            mbarrier::init(BARRIER, 1);
            if !bug {
                fence::mbarrier_init();
            }
            mbarrier::arrive_expect(BARRIER, 1024);
            tma::load(map, shared::base() + 1024, BARRIER, &[0, 0]);
            mbarrier::wait(BARRIER, 0);
        }
    });
}

#[test]
fn plain_access_to_an_mbarrier() {
    catches(Kind::Mbarrier, 32, "plain access to the mbarrier at 0x400", |bug| {
        if special::thread_index() == 0 {
            mbarrier::init(BARRIER, 1);
            if !bug {
                mbarrier::invalidate(BARRIER);
            }
            shared::store_u32(BARRIER + 4, 0);
        }
    });
}

#[test]
fn shuffle_without_a_lane_that_has_ended() {
    catches(Kind::Divergence, 32, "lanes 31 of the group, which have ended", |bug| {
        if bug && special::lane() == 31 {
            return;
        }
        let _ = warp::broadcast(1, 0);
    });
}

#[test]
fn two_different_instructions_at_once() {
    catches(Kind::Divergence, 32, "Ballot", |bug| {
        if bug && special::lane() >= 16 {
            let _ = warp::sum(1);
        } else {
            let _ = warp::ballot(true);
        }
        if bug {
            let _ = warp::sum(1);
        }
    });
}

/// `.aligned` instructions have to be one and the same; `shfl` and its like need not.
#[test]
fn aligned_instruction_in_two_places() {
    catches(Kind::Divergence, 32, "StoreMatrix", |bug| {
        let mine = shared::base() + 16 * (special::lane() % 8);
        let row = if special::lane() < 8 { mine } else { mine + 128 };
        let (upper, lower) = (special::lane() >= 16, special::lane() < 16);
        if lower || !bug {
            matrix::store(row, [0], false);
        }
        if upper && bug {
            matrix::store(row, [0], false);
        }
    });
    let memory = Memory::new();
    let sum = || {
        let sum = if special::lane() < 16 { warp::sum(1) } else { warp::sum(2) };
        assert_eq!(sum, 48);
    };
    crate::support::run(32, &memory, sum).expect("allowed");
}

#[test]
fn member_mask_without_the_lane() {
    catches(Kind::Operand, 32, "without the lane itself", |bug| {
        warp::sync(if bug { 0xffff } else { warp::ALL });
    });
}

#[test]
fn memory_of_a_cta_that_has_ended() {
    let memory = Memory::new();
    for bug in [false, true] {
        let geometry = Launch::new("kernel", [2, 1, 1], 32).cluster([2, 1, 1]).shared_bytes(1024);
        let result = launch(geometry, &memory, || {
            let mine = shared::base() + 4 * special::thread_index();
            shared::store_u32(mine, cluster::rank());
            cluster::sync();
            if cluster::rank() == 1 {
                // Only a CTA that waits is still there. The one that reads waits for it to be gone.
                if !bug {
                    cluster::sync();
                }
                return;
            }
            if bug {
                cluster::sync();
            }
            let _ = shared::load_u32(cluster::map_address(mine, 1));
            if !bug {
                cluster::sync();
            }
        });
        assert_eq!(result.err().map(|report| report.kind), bug.then_some(Kind::ExitedCta));
    }
}

#[test]
fn bulk_copy_of_an_odd_size() {
    let data = Aligned([0u8; 64]);
    let mut memory = Memory::new();
    let data = memory.read_only(&data.0);
    catches_with(Kind::Operand, 32, &memory, "a bulk copy of 24 bytes", |bug| {
        if special::thread_index() == 0 {
            mbarrier::init(BARRIER, 1);
            fence::mbarrier_init();
            mbarrier::arrive_expect(BARRIER, if bug { 24 } else { 32 });
            bulk::load(BARRIER + 16, data, if bug { 24 } else { 32 }, BARRIER);
            mbarrier::wait(BARRIER, 0);
        }
    });
}
