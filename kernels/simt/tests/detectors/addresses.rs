//! Addresses outside, between and beside what is registered.

use oxmla_simt::{Kind, Memory, global, mbarrier, shared, special, tma};
use oxmla_simt::{barrier, bulk, fence};

use crate::support::{Aligned, catches, catches_with, rows_map};

#[test]
fn shared_memory_out_of_bounds() {
    let report = catches(Kind::OutOfBounds, 32, "which spans 0x400–0x10400", |bug| {
        let last = if bug { 65536 } else { 65532 };
        if special::thread_index() == 7 {
            shared::store_u32(shared::base() + last, 0);
        }
    });
    assert_eq!(report.threads, [7]);
    catches(Kind::OutOfBounds, 32, "at 0x3fc", |bug| {
        if special::thread_index() == 7 {
            shared::store_u32(shared::base().wrapping_sub(4 * u32::from(bug)), 0);
        }
    });
}

#[test]
fn shared_memory_misaligned() {
    catches(Kind::Misaligned, 32, "not a multiple of 16", |bug| {
        if special::thread_index() == 0 {
            shared::store_zero_16(shared::base() + 8 * u32::from(bug));
        }
    });
}

#[test]
fn global_memory_out_of_bounds() {
    let mut data = Aligned([0f32; 32]);
    let mut memory = Memory::new();
    let at = memory.read_write(&mut data.0);
    catches_with(Kind::OutOfBounds, 32, &memory, "byte 128 of the nearest range", |bug| {
        let i = special::thread_index() as usize + usize::from(bug);
        global::store_f32((at as *mut f32).wrapping_add(i), 0.0);
    });
}

#[test]
fn global_memory_misaligned() {
    let mut data = Aligned([0f32; 32]);
    let mut memory = Memory::new();
    let at = memory.read_write(&mut data.0);
    catches_with(Kind::Misaligned, 32, &memory, "not a multiple of 16", |bug| {
        global::store_f32x4((at as *mut f32).wrapping_add(usize::from(bug)), [0.0; 4]);
    });
}

#[test]
fn write_to_read_only_memory() {
    let data = Aligned([0f32; 32]);
    let mut other = [0f32; 32];
    let mut memory = Memory::new();
    let data = memory.read_only(&data.0);
    let other = memory.read_write(&mut other);
    catches_with(Kind::ReadOnly, 32, &memory, "registered as read-only", |bug| {
        global::store_f32(if bug { data } else { other } as *mut f32, 1.0);
    });
}

/// An H100 takes no other corners of boxes than those at multiples of 16 bytes along the rows, to either side.
#[test]
fn corner_of_a_box_between_sixteen_bytes() {
    let rows = Aligned([0u16; 64 * 8]);
    let mut memory = Memory::new();
    let address = memory.read_only(&rows.0);
    let map = memory.tensor_map(rows_map(address, 8)).unwrap();
    let at = 1024 + 2048;
    for (good, bad) in [(8, 4), (-8, -1), (-16, 7)] {
        let kernel = |bug: bool| {
            if special::thread_index() == 0 {
                mbarrier::init(at, 1);
                fence::mbarrier_init();
                mbarrier::arrive_expect(at, 1024);
                tma::load(map, shared::base(), at, &[if bug { bad } else { good }, 0]);
                mbarrier::wait(at, 0);
            }
        };
        let words = format!("begins {} bytes into the rows of its tensor", 2 * bad);
        catches_with(Kind::Misaligned, 32, &memory, &words, kernel);
    }
    let mut copy = Aligned([0u16; 64 * 8]);
    let mut memory = Memory::new();
    let address = memory.read_write(&mut copy.0);
    let map = memory.tensor_map(rows_map(address, 8)).unwrap();
    catches_with(Kind::Misaligned, 32, &memory, "CUDA error 715", |bug| {
        for i in (16 * special::thread_index()..1024).step_by(512) {
            shared::store_zero_16(shared::base() + i);
        }
        fence::proxy_async_shared();
        barrier::sync_threads();
        if special::thread_index() == 0 {
            tma::store(map, shared::base(), &[if bug { 1 } else { 0 }, 0]);
            bulk::commit();
            bulk::wait(0);
        }
    });
}

/// What a tensor map describes has to be registered too.
#[test]
fn tensor_map_beyond_its_memory() {
    let rows = Aligned([0u16; 64 * 8]);
    let mut memory = Memory::new();
    let address = memory.read_only(&rows.0);
    let good = memory.tensor_map(rows_map(address, 8)).unwrap();
    let bad = memory.tensor_map(rows_map(address, 9)).unwrap();
    let at = 1024 + 2048;
    let kernel = |bug: bool| {
        if special::thread_index() == 0 {
            mbarrier::init(at, 1);
            fence::mbarrier_init();
        }
        barrier::sync_threads();
        if special::thread_index() == 0 {
            mbarrier::arrive_expect(at, 1024);
            tma::load(if bug { bad } else { good }, shared::base(), at, &[0, 4]);
            mbarrier::wait(at, 0);
        }
    };
    catches_with(Kind::OutOfBounds, 32, &memory, "byte 1024 of the nearest range", kernel);
}

#[test]
fn tensor_map_that_is_none() {
    let rows = Aligned([0u16; 64 * 8]);
    let mut memory = Memory::new();
    let address = memory.read_only(&rows.0);
    let map = memory.tensor_map(rows_map(address, 8)).unwrap();
    catches_with(Kind::TensorMap, 32, &memory, "no tensor map", |bug| {
        tma::prefetch(map + u64::from(bug));
    });
}
