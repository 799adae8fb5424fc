//! `wgmma` against f64, for every type, layout and source of A.

use half::bf16;
use oxmla_simt::wgmma::{self, A, Mma, Type};
use oxmla_simt::{Memory, barrier, fence, global, shared, special};

use crate::operands::{Layout, Operand};
use crate::support::{cta, random, run};

/// Copies `bytes` to shared memory, for `wgmma`.
fn place(source: u64, bytes: u32, at: u32) {
    for i in (16 * special::thread_index()..bytes).step_by(128 * 16) {
        let from = (source as *const u32).wrapping_add(i as usize / 4);
        shared::store_u32x4(at + i, global::load_u32x4(from));
    }
    fence::proxy_async_shared();
    barrier::sync_threads();
}

/// Runs `form` once on random operands and compares with f64.
fn check(form: Mma, a_layout: Option<Layout>, b_layout: Layout) {
    let mut rng = random(u64::from(form.n));
    let a = Operand::new(form.a, 64, &mut rng);
    let b = Operand::new(form.b, form.n, &mut rng);
    let n = form.n as usize;
    let start: Vec<f32> = (0..64 * n).map(|_| rng.f32()).collect();
    // Room for 16-byte alignment.
    let padded = |mut bytes: Vec<u8>| {
        bytes.resize(bytes.len().next_multiple_of(16), 0);
        bytes.chunks_exact(16).map(|c| u128::from_le_bytes(c.try_into().expect("16"))).collect()
    };
    let a_bytes: Vec<u128> = padded(a_layout.map_or(vec![0; 16], |layout| a.bytes(layout)));
    let b_bytes: Vec<u128> = padded(b.bytes(b_layout));
    let mut d = start.clone();
    let mut memory = Memory::new();
    let [a_at, b_at] = [&a_bytes, &b_bytes].map(|words| memory.read_only(flat(words)));
    let d_at = memory.read_write(&mut d);
    let launch = cta(128).seed(1);
    let kernel = || {
        let (thread, base) = (special::thread_index(), shared::base());
        place(a_at, 16 * a_bytes.len() as u32, base);
        place(b_at, 16 * b_bytes.len() as u32, base + 8192);
        let at = |i: usize| {
            let row = 16 * (thread / 32) + thread % 32 / 4 + if i / 2 % 2 == 1 { 8 } else { 0 };
            let column = 8 * (i as u32 / 4) + 2 * (thread % 4) + i as u32 % 2;
            (d_at as *mut f32).wrapping_add((row * form.n + column) as usize)
        };
        let mut acc: Vec<f32> = (0..n / 2).map(|i| global::load_f32(at(i))).collect();
        let fragment = a.fragment(thread);
        let left = match a_layout {
            Some(layout) => A::Shared(layout.descriptor(base, a.size, 64)),
            None => A::Registers(&fragment),
        };
        wgmma::fence();
        wgmma::multiply(form, &mut acc, left, b_layout.descriptor(base + 8192, b.size, form.n));
        wgmma::commit();
        wgmma::wait(0, &mut [&mut acc]);
        for (i, value) in acc.iter().enumerate() {
            global::store_f32(at(i), *value);
        }
    };
    launch.run(&memory, kernel).unwrap_or_else(|report| panic!("{form:?}: {report}"));
    drop(memory);
    for row in 0..64 {
        for column in 0..n {
            let product: f64 = (0..a.k as usize)
                .map(|k| a.values[row * a.k as usize + k] * b.values[column * a.k as usize + k])
                .sum();
            let before = if form.accumulate { f64::from(start[row * n + column]) } else { 0.0 };
            let exact = before + if form.negate { -product } else { product };
            let got = f64::from(d[row * n + column]);
            let what = format!("{form:?} {a_layout:?} {b_layout:?}: ({row}, {column})");
            assert!((got - exact).abs() < 1e-4, "{what} is {got}, not {exact}");
        }
    }
}

/// The words of 16-byte values.
fn flat(words: &[u128]) -> &[u32] {
    // SAFETY: plain data, aligned more strictly than needed.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), 4 * words.len()) }
}

const SPANS: [u32; 4] = [16, 32, 64, 128];
const K_MAJOR: Layout = Layout { span: 128, k_major: true };

/// K-major operands have rows of one instruction's 32 bytes here, so that a wider swizzle would need more.
fn k_major(span: u32) -> Layout {
    Layout { span: span.min(32), k_major: true }
}

#[test]
fn operands_along_k() {
    for ty in [Type::Bf16, Type::F16, Type::E4m3, Type::E5m2] {
        for span in [16, 32] {
            for n in [8, 24, 64, 256] {
                check(Mma::new(ty, n), Some(k_major(span)), k_major(32));
                check(Mma::new(ty, n), Some(k_major(32)), k_major(span));
                check(Mma::new(ty, n), None, k_major(span));
            }
        }
    }
}

#[test]
fn operands_along_m_and_n() {
    for ty in [Type::Bf16, Type::F16] {
        for span in SPANS {
            let layout = Layout { span, k_major: false };
            // N of whole swizzled rows.
            for n in [64, 128, 256] {
                let b = Mma { transpose_b: true, ..Mma::new(ty, n) };
                check(b, Some(k_major(32)), layout);
                check(b, None, layout);
            }
            let a = Mma { transpose_a: true, ..Mma::new(ty, 32) };
            check(a, Some(layout), k_major(32));
        }
    }
}

#[test]
fn signs_and_fresh_accumulators() {
    for (accumulate, negate) in [(true, true), (false, false), (false, true)] {
        let form = Mma { accumulate, negate, ..Mma::new(Type::Bf16, 64) };
        check(form, Some(k_major(32)), k_major(32));
    }
}

#[test]
fn two_kinds_of_eight_bits() {
    let form = Mma { b: Type::E5m2, ..Mma::new(Type::E4m3, 32) };
    check(form, Some(k_major(32)), k_major(32));
    check(form, None, k_major(32));
}

/// A 64 × 64 tile with 128-byte swizzle, multiplied in four steps of 32 bytes along its rows: against the
/// identity, D is the other operand.
#[test]
fn steps_inside_a_swizzled_row() {
    let mut rng = random(5);
    let values: Vec<f32> = (0..4096).map(|_| rng.i32(-100..100) as f32).collect();
    let mut out = vec![0f32; 4096];
    let mut memory = Memory::new();
    let out_at = memory.read_write(&mut out);
    let kernel = || {
        let (base, thread) = (shared::base(), special::thread_index());
        for i in (thread..4096).step_by(128) {
            let (row, column) = (i / 64, i % 64);
            let at = row * 128 + ((column / 8) ^ (row % 8)) * 16 + column % 8 * 2;
            let one = if row == column { 1.0 } else { 0.0 };
            shared::store_u16(base + at, bf16::from_f32(values[i as usize]).to_bits());
            shared::store_u16(base + 8192 + at, bf16::from_f32(one).to_bits());
        }
        fence::proxy_async_shared();
        barrier::sync_threads();
        let mut acc = [0.0; 32];
        wgmma::fence();
        for step in 0..4 {
            let form = Mma { accumulate: step > 0, ..Mma::new(Type::Bf16, 64) };
            let at = |tile: u32| K_MAJOR.descriptor(base + tile + 32 * step, 2, 64);
            wgmma::multiply(form, &mut acc, A::Shared(at(0)), at(8192));
        }
        wgmma::commit();
        wgmma::wait(0, &mut [&mut acc]);
        for (i, value) in acc.iter().enumerate() {
            let i = i as u32;
            let row = 16 * (thread / 32) + thread % 32 / 4 + 8 * (i / 2 % 2);
            let column = 8 * (i / 4) + 2 * (thread % 4) + i % 2;
            let place = (out_at as *mut f32).wrapping_add((row * 64 + column) as usize);
            global::store_f32(place, *value);
        }
    };
    run(&cta(128), &memory, kernel);
    drop(memory);
    assert_eq!(out, values);
}

/// Two groups in flight on two accumulators; the first wait hands only the first back.
#[test]
fn groups_complete_in_order() {
    run(&cta(128), &Memory::new(), || {
        let base = shared::base();
        for i in (special::thread_index()..8192).step_by(128) {
            shared::store_u16(base + 2 * i, bf16::from_f32(1.0).to_bits());
        }
        fence::proxy_async_shared();
        barrier::sync_threads();
        let tile = K_MAJOR.descriptor(base, 2, 64);
        let (mut one, mut two) = ([0.0; 32], [1.0; 32]);
        for (acc, steps) in [(&mut one, 1), (&mut two, 3)] {
            wgmma::fence();
            for _ in 0..steps {
                wgmma::multiply(Mma::new(Type::Bf16, 64), acc, A::Shared(tile), tile);
            }
            wgmma::commit();
        }
        wgmma::wait(1, &mut [&mut one]);
        assert_eq!(one, [16.0; 32]);
        wgmma::wait(0, &mut [&mut two]);
        assert_eq!(two, [49.0; 32]);
    });
}
