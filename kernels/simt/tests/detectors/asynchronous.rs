//! Copies and multiplies in the background, and the memory they work on.

use oxmla_simt::wgmma::{self, A, Mma, Type};
use oxmla_simt::{
    Kind, Memory, barrier, bulk, cp_async, fence, mbarrier, shared, special, tma, warp,
};

use crate::support::{Aligned, catches, catches_with, clear_tiles, descriptor, rows_map};

const BARRIER: u32 = 1024 + 32768;

fn init_barrier(arrivals: u32) {
    if special::thread_index() == 0 {
        mbarrier::init(BARRIER, arrivals);
        fence::mbarrier_init();
    }
    barrier::sync_threads();
}

fn issue(acc: &mut [f32; 32]) {
    let base = shared::base();
    wgmma::fence();
    let (a, b) = (A::Shared(descriptor(base)), descriptor(base + 8192));
    wgmma::multiply(Mma::new(Type::Bf16, 64), acc, a, b);
    wgmma::commit();
}

#[test]
fn operand_overwritten_while_it_is_multiplied() {
    catches(Kind::InFlight, 128, "by wgmma", |bug| {
        clear_tiles(2);
        let mut acc = [0.0; 32];
        issue(&mut acc);
        if bug {
            shared::store_zero_16(shared::base() + 8192 + 16 * special::thread_index());
        }
        wgmma::wait(0, &mut [&mut acc]);
    });
}

/// A wait covers the own warp; the others may still multiply.
#[test]
fn operand_overwritten_after_the_own_wait_alone() {
    catches(Kind::InFlight, 128, "by wgmma", |bug| {
        clear_tiles(2);
        let mut acc = [0.0; 32];
        issue(&mut acc);
        wgmma::wait(0, &mut [&mut acc]);
        if !bug {
            barrier::sync_threads();
        }
        // Two chunks that the same four warps have read.
        shared::store_zero_16(shared::base() + 8192 + 16 * special::thread_index());
    });
}

/// A kernel that loads eight rows again and again; `wait` is called between copy and use, `free` between use
/// and the next copy.
fn load_twice(map: u64, wait: impl Fn(u32), free: impl Fn()) {
    init_barrier(1);
    for round in 0..2 {
        if special::thread_index() == 0 {
            mbarrier::arrive_expect(BARRIER, 1024);
            tma::load(map, shared::base(), BARRIER, &[0, 8 * round]);
        }
        barrier::sync_threads();
        wait(round as u32);
        let _ = shared::load_u32(shared::base() + 4 * special::thread_index());
        free();
    }
    if special::thread_index() == 0 {
        mbarrier::wait(BARRIER, 1);
    }
}

#[test]
fn copy_read_before_it_has_landed() {
    let rows = Aligned([7u16; 64 * 16]);
    let mut memory = Memory::new();
    let address = memory.read_only(&rows.0);
    let map = memory.tensor_map(rows_map(address, 16)).unwrap();
    catches_with(Kind::InFlight, 32, &memory, "an asynchronous copy", |bug| {
        load_twice(
            map,
            |round| {
                if !bug || round == 0 {
                    mbarrier::wait(BARRIER, round);
                }
            },
            barrier::sync_threads,
        );
    });
}

/// Waiting for the phase before lets the thread through at once.
#[test]
fn wait_for_the_wrong_phase() {
    let rows = Aligned([7u16; 64 * 16]);
    let mut memory = Memory::new();
    let address = memory.read_only(&rows.0);
    let map = memory.tensor_map(rows_map(address, 16)).unwrap();
    catches_with(Kind::InFlight, 32, &memory, "an asynchronous copy", |bug| {
        let flip = u32::from(bug);
        load_twice(
            map,
            |round| mbarrier::wait(BARRIER, round ^ (flip & round)),
            || {
                barrier::sync_threads();
            },
        );
    });
}

#[test]
fn copy_over_memory_that_is_still_read() {
    let rows = Aligned([7u16; 64 * 16]);
    let mut memory = Memory::new();
    let address = memory.read_only(&rows.0);
    let map = memory.tensor_map(rows_map(address, 16)).unwrap();
    catches_with(Kind::Race, 64, &memory, "an asynchronous copy touches", |bug| {
        init_barrier(1);
        let issue = |row| {
            if special::thread_index() == 0 {
                mbarrier::arrive_expect(BARRIER, 1024);
                tma::load(map, shared::base(), BARRIER, &[0, row]);
            }
        };
        issue(0);
        mbarrier::wait(BARRIER, 0);
        let _ = shared::load_u32(shared::base() + 4 * special::thread_index());
        // A barrier that waits for all, but orders no memory, before the one that does.
        let _ = warp::broadcast(0, 0);
        if special::warp() == 1 || !bug {
            barrier::sync_threads();
        }
        issue(8);
        if special::warp() == 0 && bug {
            barrier::sync_threads();
        }
        mbarrier::wait(BARRIER, 1);
    });
}

#[test]
fn copy_over_an_operand_that_is_still_multiplied() {
    let rows = Aligned([7u16; 64 * 16]);
    let mut memory = Memory::new();
    let address = memory.read_only(&rows.0);
    let map = memory.tensor_map(rows_map(address, 16)).unwrap();
    catches_with(Kind::InFlight, 128, &memory, "by wgmma", |bug| {
        init_barrier(1);
        clear_tiles(2);
        let mut acc = [0.0; 32];
        issue(&mut acc);
        if !bug {
            wgmma::wait(0, &mut [&mut acc]);
            barrier::sync_threads();
        }
        if special::thread_index() == 0 {
            mbarrier::arrive_expect(BARRIER, 1024);
            tma::load(map, shared::base() + 8192, BARRIER, &[0, 0]);
        }
        mbarrier::wait(BARRIER, 0);
        wgmma::wait(0, &mut [&mut acc]);
    });
}

#[test]
fn two_copies_to_one_place() {
    let rows = Aligned([7u16; 64 * 16]);
    let mut memory = Memory::new();
    let address = memory.read_only(&rows.0);
    let map = memory.tensor_map(rows_map(address, 16)).unwrap();
    catches_with(Kind::InFlight, 32, &memory, "an asynchronous copy", |bug| {
        init_barrier(1);
        if special::thread_index() == 0 {
            mbarrier::arrive_expect(BARRIER, 2048);
            let second = if bug { 0 } else { 1024 };
            tma::load(map, shared::base(), BARRIER, &[0, 0]);
            tma::load(map, shared::base() + second, BARRIER, &[0, 8]);
        }
        mbarrier::wait(BARRIER, 0);
    });
}

#[test]
fn source_of_a_store_overwritten() {
    let mut out = Aligned([0u8; 512]);
    let mut memory = Memory::new();
    let out = memory.read_write(&mut out.0);
    catches_with(Kind::InFlight, 32, &memory, "an asynchronous store", |bug| {
        let mine = shared::base() + 16 * special::thread_index();
        shared::store_zero_16(mine);
        fence::proxy_async_shared();
        barrier::sync_threads();
        if special::thread_index() == 0 {
            bulk::store(out, shared::base(), 512);
            bulk::commit();
            bulk::wait_read(u32::from(bug));
        }
        barrier::sync_threads();
        shared::store_zero_16(mine);
        if special::thread_index() == 0 {
            bulk::wait(0);
        }
    });
}

#[test]
fn store_never_waited_for() {
    let mut out = Aligned([0u8; 512]);
    let mut memory = Memory::new();
    let out = memory.read_write(&mut out.0);
    catches_with(Kind::NeverWaited, 32, &memory, "bulk stores", |bug| {
        shared::store_zero_16(shared::base() + 16 * special::thread_index());
        fence::proxy_async_shared();
        barrier::sync_threads();
        if special::thread_index() == 0 {
            bulk::store(out, shared::base(), 512);
            bulk::commit();
            if !bug {
                bulk::wait_read(0);
            }
        }
    });
}

#[test]
fn copy_never_waited_for() {
    let data = Aligned([1u8; 1024]);
    let mut memory = Memory::new();
    let data = memory.read_only(&data.0);
    // Random timing may land the copy in time, so only the latest one must be caught.
    for bug in [false, true] {
        let launch = oxmla_simt::Launch::new("kernel", [1, 1, 1], 32).shared_bytes(65536);
        let result = launch.run(&memory, || {
            init_barrier(1);
            if special::thread_index() == 0 {
                mbarrier::arrive_expect(BARRIER, 1024);
                bulk::load(shared::base(), data, 1024, BARRIER);
                if !bug {
                    mbarrier::wait(BARRIER, 0);
                }
            }
        });
        assert_eq!(result.err().map(|report| report.kind), bug.then_some(Kind::NeverWaited));
    }
}

#[test]
fn small_copies_used_before_their_wait() {
    let data = Aligned([1u32; 128]);
    let mut memory = Memory::new();
    let data = memory.read_only(&data.0);
    catches_with(Kind::InFlight, 32, &memory, "an asynchronous copy", |bug| {
        let i = special::thread_index();
        let mine = shared::base() + 16 * i;
        cp_async::copy(mine, data + 16 * u64::from(i), 16, 16);
        cp_async::commit();
        if !bug {
            cp_async::wait(0);
        }
        let _ = shared::load_u32x4(mine);
        cp_async::wait(0);
    });
}

#[test]
fn small_copies_never_waited_for() {
    let data = Aligned([1u32; 128]);
    let mut memory = Memory::new();
    let data = memory.read_only(&data.0);
    catches_with(Kind::NeverWaited, 32, &memory, "cp.async", |bug| {
        let i = special::thread_index();
        cp_async::copy(shared::base() + 16 * i, data + 16 * u64::from(i), 16, 16);
        if !bug {
            cp_async::commit();
            cp_async::wait(0);
        }
    });
}

#[test]
fn bytes_that_do_not_add_up() {
    let data = Aligned([1u8; 2048]);
    let mut memory = Memory::new();
    let data = memory.read_only(&data.0);
    let kernel = |expected: u32| {
        init_barrier(1);
        if special::thread_index() == 0 {
            mbarrier::arrive_expect(BARRIER, expected);
            bulk::load(shared::base(), data, 1024, BARRIER);
            bulk::load(shared::base() + 1024, data, 1024, BARRIER);
        }
        mbarrier::wait(BARRIER, 0);
        // Stays until the other bytes have come.
        mbarrier::wait(BARRIER, u32::from(expected < 2048));
    };
    let too_few = |bug| kernel(if bug { 1024 } else { 2048 });
    catches_with(Kind::TransactionCount, 32, &memory, "expected too few bytes", too_few);
    let odd = |bug| kernel(if bug { 1536 } else { 2048 });
    catches_with(Kind::TransactionCount, 32, &memory, "more bytes than expected", odd);
    let too_many = |bug| kernel(if bug { 4096 } else { 2048 });
    catches_with(Kind::Deadlock, 32, &memory, "2048 bytes", too_many);
}

#[test]
fn more_bytes_than_an_mbarrier_counts() {
    catches(Kind::TransactionCount, 32, "at most 1048575 bytes", |bug| {
        init_barrier(2);
        if special::thread_index() == 0 && bug {
            mbarrier::expect(BARRIER, 1 << 19);
            mbarrier::expect(BARRIER, 1 << 19);
        }
    });
}
