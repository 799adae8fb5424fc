//! Registers and groups of `wgmma`.

use oxmla_simt::wgmma::{self, A, Mma, Type};
use oxmla_simt::{Kind, Launch, Memory, global, math, shared, special, warp};

use crate::support::{Aligned, catches, catches_with, clear_tiles, descriptor, launch};

const FORM: Mma = Mma::new(Type::Bf16, 64);

fn issue(acc: &mut [f32; 32]) {
    let base = shared::base();
    wgmma::fence();
    wgmma::multiply(FORM, acc, A::Shared(descriptor(base)), descriptor(base + 8192));
    wgmma::commit();
}

#[test]
fn accumulator_written_in_flight() {
    let report = catches(Kind::AccumulatorWritten, 128, "accumulator 5", |bug| {
        clear_tiles(2);
        let mut acc = [0.0; 32];
        issue(&mut acc);
        if bug && special::thread_index() == 77 {
            acc[5] = 1.0;
        }
        wgmma::wait(0, &mut [&mut acc]);
    });
    assert_eq!(report.threads, [77]);
}

#[test]
fn accumulator_scaled_in_flight() {
    catches(Kind::AccumulatorWritten, 128, "accumulator 0", |bug| {
        clear_tiles(2);
        let mut acc = [0.0; 32];
        issue(&mut acc);
        if bug {
            acc.iter_mut().for_each(|x| *x *= 0.5);
        }
        wgmma::wait(0, &mut [&mut acc]);
    });
}

/// Written between the issue and a wait that completes the multiply but names another accumulator.
#[test]
fn accumulator_written_before_a_wait_for_another() {
    catches(Kind::AccumulatorWritten, 128, "accumulator 1", |bug| {
        clear_tiles(2);
        let (mut one, mut two) = ([0.0; 32], [0.0; 32]);
        issue(&mut one);
        issue(&mut two);
        if bug {
            one[1] = 0.0;
        }
        wgmma::wait(0, &mut [&mut two]);
        wgmma::wait(0, &mut [&mut one]);
    });
}

#[test]
fn accumulator_stored_in_flight() {
    let mut out = Aligned([0f32; 128]);
    let mut memory = Memory::new();
    let out = memory.read_write(&mut out.0);
    catches_with(Kind::AccumulatorRead, 128, &memory, "a store to global memory", |bug| {
        clear_tiles(2);
        let mut acc = [0.0; 32];
        issue(&mut acc);
        let mine = (out as *mut f32).wrapping_add(special::thread_index() as usize);
        if bug {
            // Arithmetic does not hide where the value comes from.
            global::store_f32(mine, 1.0 + 2.0 * acc[3]);
        }
        wgmma::wait(0, &mut [&mut acc]);
        global::store_f32(mine, acc[3]);
    });
}

#[test]
fn accumulator_used_in_flight() {
    type Use = (&'static str, fn(f32));
    let uses: [Use; 4] = [
        ("a shuffle", |x| _ = warp::butterfly(x, 1)),
        ("ex2", |x| _ = math::exp2(x)),
        ("cvt", |x| _ = math::pack_bf16(0.0, x)),
        ("a store to shared memory", |x| {
            shared::store_f32(shared::base() + 32768 + 4 * special::thread_index(), x);
        }),
    ];
    for (what, consume) in uses {
        catches(Kind::AccumulatorRead, 128, what, |bug| {
            clear_tiles(2);
            let mut acc = [0.0; 32];
            issue(&mut acc);
            if bug {
                consume(acc[31]);
            }
            wgmma::wait(0, &mut [&mut acc]);
        });
    }
}

/// A wait hands back only what it names; nothing keeps the compiler from using the rest before it.
#[test]
fn accumulator_that_the_wait_did_not_name() {
    catches(Kind::AccumulatorRead, 128, "ex2", |bug| {
        clear_tiles(2);
        let mut acc = [0.0; 32];
        issue(&mut acc);
        if bug {
            wgmma::wait(0, &mut []);
        } else {
            wgmma::wait(0, &mut [&mut acc]);
        }
        let _ = math::exp2(acc[0]);
    });
}

/// A copy of an accumulator in flight as the accumulator of another multiply.
#[test]
fn accumulator_copied_in_flight() {
    catches(Kind::AccumulatorWritten, 128, "", |bug| {
        clear_tiles(2);
        let mut acc = [0.0; 32];
        issue(&mut acc);
        let mut other = if bug { acc } else { [0.0; 32] };
        if bug {
            other[0] = 0.0;
            acc = other;
        }
        issue(&mut acc);
        wgmma::wait(0, &mut [&mut acc, &mut other]);
    });
}

#[test]
fn fragment_written_in_flight() {
    let report = catches(Kind::FragmentWritten, 128, "A register", |bug| {
        clear_tiles(1);
        let mut acc = [0.0; 32];
        let mut a = [0u32; 4];
        wgmma::fence();
        wgmma::multiply(FORM, &mut acc, A::Registers(&a), descriptor(shared::base()));
        wgmma::commit();
        if bug && special::thread_index() == 3 {
            a[2] = 1;
        }
        wgmma::wait(0, &mut [&mut acc]);
        std::hint::black_box(a);
    });
    assert_eq!(report.threads, [3]);
}

#[test]
fn wait_that_leaves_its_accumulator_in_flight() {
    catches(Kind::WaitTooShort, 128, "1 multiplies stay in flight", |bug| {
        clear_tiles(2);
        let (mut one, mut two) = ([0.0; 32], [0.0; 32]);
        issue(&mut one);
        issue(&mut two);
        if bug {
            wgmma::wait(1, &mut [&mut two]);
        } else {
            wgmma::wait(1, &mut [&mut one]);
        }
        wgmma::wait(0, &mut [&mut one, &mut two]);
    });
}

#[test]
fn group_never_waited_for() {
    catches(Kind::NeverWaited, 128, "1 groups of wgmma in flight", |bug| {
        clear_tiles(2);
        let mut acc = [0.0; 32];
        issue(&mut acc);
        if !bug {
            wgmma::wait(0, &mut [&mut acc]);
        }
    });
}

#[test]
fn multiplies_never_committed() {
    catches(Kind::NeverWaited, 128, "1 multiplies uncommitted", |bug| {
        clear_tiles(2);
        let mut acc = [0.0; 32];
        let base = shared::base();
        wgmma::fence();
        wgmma::multiply(FORM, &mut acc, A::Shared(descriptor(base)), descriptor(base + 8192));
        if !bug {
            wgmma::commit();
        }
        wgmma::wait(0, &mut []);
    });
}

#[test]
fn missing_register_fence() {
    catches(Kind::RegisterFence, 128, "without wgmma.fence", |bug| {
        clear_tiles(2);
        let mut acc = [0.0; 32];
        issue(&mut acc);
        wgmma::wait(0, &mut [&mut acc]);
        acc[0] += 1.0;
        let base = shared::base();
        if !bug {
            wgmma::fence();
        }
        wgmma::multiply(FORM, &mut acc, A::Shared(descriptor(base)), descriptor(base + 8192));
        wgmma::commit();
        wgmma::wait(0, &mut [&mut acc]);
    });
}

#[test]
fn forms_that_do_not_exist() {
    for form in [Mma::new(Type::Bf16, 60), Mma { b: Type::F16, ..FORM }] {
        catches(Kind::Operand, 128, "wgmma", |bug| {
            clear_tiles(2);
            let mut acc = [0.0; 32];
            let form = if bug { form } else { FORM };
            let base = shared::base();
            wgmma::fence();
            wgmma::multiply(form, &mut acc, A::Shared(descriptor(base)), descriptor(base + 8192));
            wgmma::commit();
            wgmma::wait(0, &mut [&mut acc]);
        });
    }
}

/// A multiply whose B descriptor is `b` in the run with the bug.
fn with_descriptor(b: u64, words: &str) {
    let memory = Memory::new();
    let run = |b: u64| {
        let geometry = Launch::new("kernel", [1, 1, 1], 128)
            .shared_bytes(3 * 8192)
            .shared_buffers(&[0..8192, 8192..16384, 16384..24576]);
        launch(geometry, &memory, || {
            clear_tiles(3);
            let mut acc = [0.0; 32];
            wgmma::fence();
            wgmma::multiply(FORM, &mut acc, A::Shared(descriptor(shared::base())), b);
            wgmma::commit();
            wgmma::wait(0, &mut [&mut acc]);
        })
    };
    run(descriptor(1024 + 8192)).expect("a good descriptor");
    let report = run(b).expect_err("a bad descriptor");
    assert_eq!(report.kind, Kind::Descriptor, "{report}");
    assert!(report.detail.contains(words), "{report}");
}

#[test]
fn descriptor_that_leaves_its_buffer() {
    with_descriptor(descriptor(1024 + 8192 + 1024), "lies outside its buffer");
}

#[test]
fn descriptor_that_leaves_shared_memory() {
    with_descriptor(descriptor(1024 + 3 * 8192), "lies outside shared memory");
    with_descriptor(descriptor(0), "lies outside shared memory");
}

#[test]
fn descriptor_that_crosses_its_row() {
    with_descriptor(descriptor(1024 + 112), "cross the end of a 128-byte swizzled row");
}

#[test]
fn descriptor_with_a_base_offset() {
    with_descriptor(descriptor(1024 + 8192) | 1 << 49, "base offset");
}

#[test]
fn descriptors_that_differ_among_threads() {
    catches(Kind::Divergence, 128, "different descriptors", |bug| {
        clear_tiles(2);
        let mut acc = [0.0; 32];
        let mine = if bug { special::warp() * 32 } else { 0 };
        let a = descriptor(shared::base() + mine);
        wgmma::fence();
        wgmma::multiply(FORM, &mut acc, A::Shared(a), descriptor(shared::base() + 8192));
        wgmma::commit();
        wgmma::wait(0, &mut [&mut acc]);
    });
}
