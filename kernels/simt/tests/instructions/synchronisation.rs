//! Named barriers, mbarriers, `setmaxnreg`, and polling.

use oxmla_simt::atomic::{self, Operation, Scope};
use oxmla_simt::{Launch, Memory, barrier, global, grid, mbarrier, registers, shared, special};

use crate::support::{collect, cta, run};

const BARRIER: u32 = 1024 + 4096;

/// A producer warp and a consumer warp hand a word back and forth through two named barriers.
#[test]
fn named_barriers_as_a_pipeline() {
    let got = collect(64, |thread| {
        let mut sum = 0;
        for round in 0..10 {
            if thread < 32 {
                if round > 0 {
                    barrier::sync(2, 64);
                }
                shared::store_u32(shared::base() + 4 * thread, round * thread);
                barrier::arrive(1, 64);
            } else {
                barrier::sync(1, 64);
                sum += shared::load_u32(shared::base() + 4 * (63 - thread));
                if round < 9 {
                    barrier::arrive(2, 64);
                }
            }
        }
        [sum]
    });
    for (thread, [sum]) in got.into_iter().enumerate().skip(32) {
        assert_eq!(sum, 45 * (63 - thread as u32));
    }
}

/// Threads that have ended count as arrived at the barrier of the whole CTA.
#[test]
fn barrier_of_the_threads_that_are_left() {
    run(&cta(96), &Memory::new(), || {
        if special::warp() == 1 {
            return;
        }
        barrier::sync_threads();
        barrier::sync_threads();
    });
}

/// Lanes that have ended are not waited for at barriers, whether they end before or after the others arrive.
#[test]
fn barriers_of_warps_with_ended_lanes() {
    let got = collect(64, |thread| {
        shared::store_u32(shared::base() + 4 * thread, thread);
        if thread % 32 == 3 || thread == 31 {
            return [0];
        }
        barrier::sync_threads();
        // Thread 31 has ended, which orders nothing: its word is nobody's to read.
        let other = if thread == 63 { 62 } else { thread ^ 32 };
        let word = shared::load_u32(shared::base() + 4 * other);
        barrier::sync(1, 64);
        [word]
    });
    for (thread, [word]) in got.into_iter().enumerate() {
        let ended = thread % 32 == 3 || thread == 31;
        let other = if thread == 63 { 62 } else { thread as u32 ^ 32 };
        assert_eq!(word, if ended { 0 } else { other });
    }
}

/// A ring of one word, full and empty, over many phases.
#[test]
fn mbarriers_as_a_ring() {
    let got = collect(64, |thread| {
        let (full, empty) = (BARRIER, BARRIER + 8);
        if thread == 0 {
            mbarrier::init(full, 1);
            mbarrier::init(empty, 32);
        }
        barrier::sync_threads();
        let mut sum = 0;
        for round in 0..7 {
            let parity = round % 2;
            if thread == 0 {
                mbarrier::wait(empty, parity ^ 1);
                shared::store_u32(shared::base(), round + 1);
                mbarrier::arrive(full);
            } else if thread >= 32 {
                mbarrier::wait(full, parity);
                sum += shared::load_u32(shared::base());
                mbarrier::arrive(empty);
            }
        }
        [sum]
    });
    for (thread, [sum]) in got.into_iter().enumerate() {
        assert_eq!(sum, if thread < 32 { 0 } else { 28 });
    }
}

#[test]
fn phases_and_parities() {
    let got = collect(32, |thread| {
        if thread != 0 {
            return [0; 6];
        }
        mbarrier::init(BARRIER, 3);
        let test = |parity| u32::from(mbarrier::test_wait(BARRIER, parity));
        let fresh = [test(0), test(1)];
        mbarrier::arrive_many(BARRIER, 2);
        let incomplete = test(0);
        mbarrier::arrive(BARRIER);
        let complete = [test(0), test(1)];
        mbarrier::arrive_many(BARRIER, 3);
        [fresh[0], fresh[1], incomplete, complete[0], complete[1], test(1)]
    });
    assert_eq!(got[0], [0, 1, 0, 1, 0, 1]);
}

/// Registers go from one warpgroup to the other two, which wait for them.
#[test]
fn registers_change_hands() {
    run(&cta(384).registers(168), &Memory::new(), || {
        if special::thread_index() < 256 {
            registers::increase(240);
        } else {
            registers::decrease(24);
        }
        barrier::sync_threads();
    });
}

/// CTAs that wait for each other through global memory: one raises a flag, the others poll it.
#[test]
fn flags_in_global_memory() {
    let mut flags = [0u32; 2];
    let mut memory = Memory::new();
    let address = memory.read_write(&mut flags) as usize;
    let flag = |i: usize| (address as *mut u32).wrapping_add(i);
    for workers in [1, 2] {
        let launch = Launch::new("kernel", [4, 1, 1], 32).workers(workers);
        launch
            .run(&memory, || {
                grid::launch_dependents();
                grid::wait();
                if special::cta_x() == 0 && special::lane() == 0 {
                    atomic::global(flag(0), Operation::Exchange(1), Scope::Gpu);
                }
                while global::load_acquire_u32(flag(0)) == 0 {}
                atomic::global(flag(1), Operation::Add(1), Scope::Gpu);
            })
            .expect("the flag is raised by the first CTA");
    }
    drop(memory);
    assert_eq!(flags, [1, 2 * 4 * 32]);
}

/// A CTA sleeps until another one, on another CPU thread, has raised the flag.
#[test]
fn wait_for_another_cpu_thread() {
    let mut flag = [0u32];
    let mut memory = Memory::new();
    let flag = memory.read_write(&mut flag) as usize;
    let launch = Launch::new("kernel", [2, 1, 1], 32).workers(2);
    let kernel = || {
        if special::cta_x() == 0 {
            global::wait_at_least(flag as *const u32, 32);
        } else {
            // Long enough for the other to find nothing; short enough not to count as a deadlock.
            std::thread::sleep(std::time::Duration::from_millis(5));
            global::add_release_u32(flag as *mut u32, 1);
        }
    };
    launch.run(&memory, kernel).expect("the flag is raised");
}
