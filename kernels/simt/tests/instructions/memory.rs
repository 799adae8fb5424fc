//! Loads, stores and atomics.

use oxmla_simt::atomic::{self, Operation, Scope};
use oxmla_simt::{Launch, Memory, barrier, global, shared, special};

use crate::support::{Aligned, collect, run};

#[test]
fn every_width_of_shared_memory() {
    let got = collect(32, |thread| {
        let at = shared::base() + 64 * thread;
        shared::store(at, [thread as u8]);
        shared::store_u16(at + 2, 0x1234);
        shared::store_u32(at + 4, thread);
        shared::store(at + 8, (u64::from(thread) << 32 | 5).to_le_bytes());
        shared::store_u32x4(at + 16, [thread, 1, 2, 3]);
        shared::store_f32(at + 32, 1.5);
        shared::store_zero_16(at + 48);
        let wide = u64::from_le_bytes(shared::load(at + 8));
        let [a, b, c, d] = shared::load_u32x4(at + 16);
        [
            shared::load::<1>(at)[0].into(),
            shared::load_u16(at + 2).into(),
            shared::load_u32(at + 4),
            wide as u32,
            (wide >> 32) as u32,
            a + b + c + d,
            shared::load_f32(at + 32).to_bits(),
            shared::load_u32(at + 60),
        ]
    });
    for (thread, words) in got.into_iter().enumerate() {
        let t = thread as u32;
        assert_eq!(words, [t, 0x1234, t, 5, t, t + 6, 1.5f32.to_bits(), 0]);
    }
}

#[test]
fn every_width_of_global_memory() {
    let mut data = Aligned([0u32; 32 * 16]);
    let mut memory = Memory::new();
    let address = memory.read_write(&mut data.0);
    run(&Launch::new("kernel", [1, 1, 1], 32), &memory, || {
        let at = (address as *mut u32).wrapping_add(16 * special::thread_index() as usize);
        let float = at.cast::<f32>();
        global::store_f32(float, 1.0);
        global::store_f32x2(float.wrapping_add(2), [2.0, 3.0]);
        global::store_f32x4(float.wrapping_add(4), [4.0, 5.0, 6.0, 7.0]);
        global::store_u32x4(at.wrapping_add(8), [8, 9, 10, special::thread_index()]);
        global::store_u32(at.wrapping_add(1), global::load_u32x4(at.wrapping_add(8))[3]);
        let sum: f32 = global::load_f32x4(float.wrapping_add(4)).iter().sum();
        let integer = global::load_i32(at.wrapping_add(9).cast());
        global::store_f32(float.wrapping_add(12), sum + global::load_f32(float) + integer as f32);
    });
    drop(memory);
    for (thread, words) in data.0.chunks_exact(16).enumerate() {
        let f = f32::to_bits;
        let expected = [
            f(1.0),
            thread as u32,
            f(2.0),
            f(3.0),
            f(4.0),
            f(5.0),
            f(6.0),
            f(7.0),
            8,
            9,
            10,
            thread as u32,
            f(32.0),
            0,
            0,
            0,
        ];
        assert_eq!(words, expected);
    }
}

#[test]
fn special_registers() {
    let mut data = vec![0u32; 2 * 3 * 2 * 64 * 4];
    let mut memory = Memory::new();
    let address = memory.read_write(&mut data) as usize;
    let launch = Launch::new("kernel", [2, 3, 2], 64).block([8, 4, 2]);
    run(&launch, &memory, || {
        let ([x, y, z], [bx, by, bz]) = (special::thread(), special::cta());
        assert_eq!([bx, by, bz], [special::cta_x(), special::cta_y(), special::cta_z()]);
        assert_eq!(special::grid(), [2, 3, 2]);
        let thread = x + 8 * (y + 4 * z);
        assert_eq!((special::lane(), special::warp()), (thread % 32, thread / 32));
        let index = (bx + 2 * (by + 3 * bz)) * 64 + thread;
        let at = (address as *mut u32).wrapping_add(4 * index as usize);
        global::store_u32x4(at, [x, y, z, bx + 10 * by + 100 * bz]);
    });
    drop(memory);
    for (index, words) in data.chunks_exact(4).enumerate() {
        let (block, thread) = (index as u32 / 64, index as u32 % 64);
        let block = block % 2 + 10 * (block / 2 % 3) + 100 * (block / 6);
        assert_eq!(words, [thread % 8, thread / 8 % 4, thread / 32, block]);
    }
}

#[test]
fn atomics() {
    let operations = [
        (0, Operation::Add(3), 3 * 256),
        (100, Operation::Min(7), 7),
        (5, Operation::Max(9), 9),
        (0xff, Operation::And(0x3c), 0x3c),
        (1, Operation::Or(6), 7),
        (0, Operation::Increment(9), 256 % 10),
        (1, Operation::CompareExchange(1, 4), 4),
        (1, Operation::Exchange(2), 2),
        (0.5f32.to_bits(), Operation::AddF32(0.25), 64.5f32.to_bits()),
    ];
    for (start, operation, end) in operations {
        let mut word = [start];
        let mut memory = Memory::new();
        let address = memory.read_write(&mut word);
        let launch = Launch::new("kernel", [4, 1, 1], 64);
        let kernel = || _ = atomic::global(address as *mut u32, operation, Scope::Gpu);
        launch.run(&memory, kernel).expect("no fault");
        drop(memory);
        assert_eq!(word[0], end, "{operation:?}");
    }
}

/// Each thread draws a ticket of its own, from shared and from global memory.
#[test]
fn tickets() {
    let mut global_word = [0u64];
    let mut memory = Memory::new();
    let address = memory.read_write(&mut global_word) as usize;
    run(&crate::support::cta(128), &memory, || {
        if special::thread_index() == 0 {
            shared::store_u32(shared::base(), 0);
        }
        barrier::sync_threads();
        let ticket = atomic::shared(shared::base(), Operation::Add(1));
        shared::store_u32(shared::base() + 4 + 4 * ticket, ticket);
        atomic::global_add_u64(address as *mut u64, 1 << 40, Scope::Gpu);
        barrier::sync_threads();
        let mine = shared::base() + 4 + 4 * special::thread_index();
        assert_eq!(shared::load_u32(mine), special::thread_index());
    });
    drop(memory);
    assert_eq!(global_word[0], (6 * 128) << 40);
}
