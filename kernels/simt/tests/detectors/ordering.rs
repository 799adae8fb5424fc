//! Races, proxies and memory that nothing wrote.

use oxmla_simt::wgmma::{self, A, Mma, Type};
use oxmla_simt::{
    Kind, Memory, atomic, barrier, bulk, cp_async, fence, global, grid, mbarrier, shared, special,
    warp,
};

use crate::support::{Aligned, catches, catches_with, clear_tiles, descriptor};

fn slot(index: u32) -> u32 {
    shared::base() + 4 * index
}

#[test]
fn read_after_write_without_a_barrier() {
    let report = catches(Kind::Race, 64, "unordered", |bug| {
        let i = special::thread_index();
        shared::store_u32(slot(i), i);
        barrier::sync_threads();
        shared::store_u32(slot(i), i);
        if !bug {
            barrier::sync_threads();
        }
        let _ = shared::load_u32(slot(63 - i));
    });
    assert!(report.detail.contains("ordering.rs"), "it names the other line: {report}");
}

#[test]
fn write_after_read_without_a_barrier() {
    catches(Kind::Race, 64, "unordered", |bug| {
        let i = special::thread_index();
        shared::store_u32(slot(i), i);
        barrier::sync_threads();
        let other = shared::load_u32(slot(63 - i));
        if !bug {
            barrier::sync_threads();
        }
        shared::store_u32(slot(i), other);
    });
}

#[test]
fn two_writes_to_one_word() {
    catches(Kind::Race, 64, "by thread", |bug| {
        let i = special::thread_index();
        shared::store_u32(slot(if bug { i / 2 } else { i }), i);
    });
}

/// The two halves of a word are two places.
#[test]
fn two_writes_to_one_half() {
    catches(Kind::Race, 64, "by thread", |bug| {
        let i = special::thread_index();
        shared::store_u16(shared::base() + if bug { i / 2 * 2 } else { 2 * i }, i as u16);
    });
}

/// Shuffles wait for all lanes, but order no memory; `bar.warp.sync` does.
#[test]
fn shuffle_in_place_of_a_warp_barrier() {
    catches(Kind::Race, 32, "unordered", |bug| {
        let i = special::thread_index();
        shared::store_u32(slot(i), i);
        if bug {
            let _ = warp::broadcast(i, 0);
        } else {
            warp::sync(warp::ALL);
        }
        let _ = shared::load_u32(slot(31 - i));
    });
}

#[test]
fn plain_access_beside_atomics() {
    catches(Kind::Race, 64, "unordered", |bug| {
        if special::thread_index() == 0 {
            shared::store_u32(slot(0), 0);
        }
        barrier::sync_threads();
        atomic::shared(slot(0), atomic::Operation::Add(1));
        if !bug {
            barrier::sync_threads();
        }
        let _ = shared::load_u32(slot(0));
    });
}

/// The wrong one of two named barriers: its threads are others.
#[test]
fn barrier_among_the_wrong_threads() {
    catches(Kind::Race, 128, "unordered", |bug| {
        let i = special::thread_index();
        shared::store_u32(slot(i), i);
        barrier::sync_threads();
        shared::store_u32(slot(i), i);
        if bug {
            barrier::sync(1 + i / 64, 64);
        } else {
            barrier::sync(1, 128);
        }
        let _ = shared::load_u32(slot(127 - i));
    });
}

/// An arrival orders only what came before it.
#[test]
fn write_after_the_arrival() {
    catches(Kind::Race, 64, "unordered", |bug| {
        let i = special::thread_index();
        shared::store_u32(slot(i), i);
        barrier::sync_threads();
        if i < 32 {
            if bug {
                barrier::arrive(1, 64);
            }
            shared::store_u32(slot(i), i);
            if !bug {
                barrier::arrive(1, 64);
            }
        } else {
            barrier::sync(1, 64);
            let _ = shared::load_u32(slot(i - 32));
        }
    });
}

fn multiply() {
    let base = shared::base();
    let mut acc = [0.0; 32];
    wgmma::fence();
    let (a, b) = (A::Shared(descriptor(base)), descriptor(base + 8192));
    wgmma::multiply(Mma::new(Type::Bf16, 64), &mut acc, a, b);
    wgmma::commit();
    wgmma::wait(0, &mut [&mut acc]);
}

#[test]
fn multiply_of_unfenced_writes() {
    let report = catches(Kind::ProxyFence, 128, "no fence.proxy.async", |bug| {
        clear_tiles(2);
        shared::store_zero_16(shared::base() + 16 * special::thread_index());
        if !bug {
            fence::proxy_async_shared();
        }
        barrier::sync_threads();
        multiply();
    });
    assert!(report.detail.contains("ordering.rs"), "it names the write: {report}");
}

/// A fence by the reader, after the barrier, is not the writer's.
#[test]
fn fence_on_the_wrong_side_of_the_barrier() {
    catches(Kind::ProxyFence, 128, "no fence.proxy.async", |bug| {
        clear_tiles(2);
        shared::store_zero_16(shared::base() + 16 * special::thread_index());
        if !bug {
            fence::proxy_async_shared();
        }
        barrier::sync_threads();
        fence::proxy_async_shared();
        multiply();
    });
}

/// Copies by threads that do not wait for them themselves: who does, fences for all.
#[test]
fn multiply_of_unfenced_small_copies() {
    let data = Aligned([0u8; 16]);
    let mut memory = Memory::new();
    let data = memory.read_only(&data.0);
    let (landed, passed_on) = (shared::base() + 32768, shared::base() + 32776);
    let report = catches_with(Kind::ProxyFence, 160, &memory, "nobody who waited", |bug| {
        if special::thread_index() == 0 {
            mbarrier::init(landed, 128);
            mbarrier::init(passed_on, 1);
            fence::mbarrier_init();
        }
        barrier::sync_threads();
        if special::thread_index() < 128 {
            clear_tiles(2);
            cp_async::copy(shared::base() + 16 * special::thread_index(), data, 16, 16);
            cp_async::arrive(landed);
            mbarrier::wait(passed_on, 0);
            multiply();
        } else {
            mbarrier::wait(landed, 0);
            if special::lane() == 0 {
                if !bug {
                    fence::proxy_async_shared();
                }
                mbarrier::arrive(passed_on);
            }
        }
    });
    assert!(report.detail.contains("ordering.rs"), "it names the copy: {report}");
}

/// Fenced, but not ordered: the other warps' writes may come after the multiply.
#[test]
fn fence_without_a_barrier() {
    catches(Kind::Race, 128, "wgmma touches", |bug| {
        clear_tiles(2);
        shared::store_zero_16(shared::base() + 16 * special::thread_index());
        fence::proxy_async_shared();
        if !bug {
            barrier::sync_threads();
        }
        multiply();
    });
}

#[test]
fn bulk_store_of_unfenced_writes() {
    let mut out = Aligned([0u8; 512]);
    let mut memory = Memory::new();
    let out = memory.read_write(&mut out.0);
    catches_with(Kind::ProxyFence, 32, &memory, "a bulk store", |bug| {
        let i = special::thread_index();
        shared::store_zero_16(shared::base() + 16 * i);
        if !bug {
            fence::proxy_async_shared();
        }
        barrier::sync_threads();
        if i == 0 {
            bulk::store(out, shared::base(), 512);
            bulk::commit();
            bulk::wait_read(0);
        }
    });
}

#[test]
fn shared_memory_that_nothing_wrote() {
    catches(Kind::Uninitialised, 32, "which nothing has written", |bug| {
        let i = special::thread_index();
        if !bug || i != 9 {
            shared::store_u32(slot(i), i);
        }
        barrier::sync_threads();
        let _ = shared::load_u32(slot(i));
    });
}

#[test]
fn global_memory_that_no_kernel_wrote() {
    for bug in [false, true] {
        let mut scratch = [0f32; 64];
        let mut memory = Memory::new();
        let at = memory.uninitialised(&mut scratch);
        let result = crate::support::run(32, &memory, || {
            let at = at as *mut f32;
            let i = special::thread_index() as usize;
            global::store_f32(at.wrapping_add(i), 1.0);
            barrier::sync_threads();
            let _ = global::load_f32(at.wrapping_add(if bug { 2 * i } else { 31 - i }));
        });
        assert_eq!(result.err().map(|report| report.kind), bug.then_some(Kind::Uninitialised));
    }
}

/// A launch that may begin early reads what the one before has written, without waiting for its end. One thread
/// waits for all, and a barrier tells the others.
#[test]
fn results_of_the_launch_before() {
    for bug in [false, true] {
        let mut data = [0f32; 64];
        let mut memory = Memory::new();
        let at = memory.read_write(&mut data);
        let word = |i: u32| (at as *mut f32).wrapping_add(i as usize);
        let first = oxmla_simt::Launch::new("first", [1, 1, 1], 32);
        let write = || global::store_f32(word(special::thread_index()), 1.0);
        first.run(&memory, write).expect("no fault");
        let second = oxmla_simt::Launch::new("second", [1, 1, 1], 32).programmatic(true);
        let result = second.run(&memory, || {
            let i = special::thread_index();
            // Nobody has written the other half.
            let _ = global::load_f32(word(32 + i));
            if !bug && i == 0 {
                grid::wait();
            }
            barrier::sync_threads();
            let _ = global::load_f32(word(i));
        });
        assert_eq!(result.err().map(|report| report.kind), bug.then_some(Kind::Dependency));
    }
}
