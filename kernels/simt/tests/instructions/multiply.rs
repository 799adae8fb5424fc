//! `wgmma` against f64, for every type, layout and source of A.

use half::{bf16, f16};
use oxmla_simt::wgmma::{self, A, Mma, Type};
use oxmla_simt::{Memory, barrier, fence, global, shared, special};

use crate::support::{cta, random, run};

/// How an operand lies in shared memory: bytes of a swizzled row, or 16 without swizzle.
#[derive(Clone, Copy, Debug)]
struct Layout {
    span: u32,
    /// Rows of memory run along K, not along M or N.
    k_major: bool,
}

/// Bits of the descriptor that choose a swizzle.
fn swizzle_bits(span: u32) -> u64 {
    match span {
        128 => 1,
        64 => 2,
        32 => 3,
        _ => 0,
    }
}

impl Layout {
    /// Byte offset of the element in row `mn` (M or N) and column `k` of an operand of `rows` rows.
    fn place(self, mn: u32, k: u32, size: u32, rows: u32) -> u32 {
        let (line, byte) = if self.k_major { (mn, k * size) } else { (k, mn * size) };
        let lines = if self.k_major { rows } else { 32 / size };
        if self.span == 16 {
            // Core matrices of eight lines of 16 bytes, those along the line first.
            let across = if self.k_major { 2 } else { rows * size / 16 };
            return (line / 8 * across + byte / 16) * 128 + line % 8 * 16 + byte % 16;
        }
        // Columns of `span` bytes, one after the other, each of all lines.
        let linear = byte / self.span * (lines * self.span) + line * self.span + byte % self.span;
        let phase = linear / 128 % (self.span / 16);
        linear ^ (phase * 16)
    }

    /// Leading and stride offset, in bytes.
    fn offsets(self, size: u32, rows: u32) -> (u32, u32) {
        let lines = if self.k_major { rows } else { 32 / size };
        match (self.span, self.k_major) {
            (16, true) => (128, 256),
            (16, false) => (rows * size / 16 * 128, 128),
            (span, true) => (16, 8 * span),
            (span, false) => (lines * span, 8 * span),
        }
    }

    fn descriptor(self, address: u32, size: u32, rows: u32) -> u64 {
        let (leading, stride) = self.offsets(size, rows);
        u64::from(address >> 4)
            | u64::from(leading >> 4) << 16
            | u64::from(stride >> 4) << 32
            | swizzle_bits(self.span) << 62
    }
}

/// A random element: its bits and its value.
fn element(ty: Type, rng: &mut fastrand::Rng) -> (u32, f64) {
    let x = (rng.f32() - 0.5) * 4.0;
    match ty {
        Type::Bf16 => (bf16::from_f32(x).to_bits().into(), bf16::from_f32(x).to_f64()),
        Type::F16 => (f16::from_f32(x).to_bits().into(), f16::from_f32(x).to_f64()),
        Type::E4m3 => {
            // Sign, exponents 2^−3 to 2^1, mantissa.
            let bits = rng.u32(..2) << 7 | rng.u32(4..9) << 3 | rng.u32(..8);
            let value = (1.0 + f64::from(bits & 7) / 8.0) * 2f64.powi((bits >> 3 & 15) as i32 - 7);
            (bits, if bits >> 7 == 1 { -value } else { value })
        }
        Type::E5m2 => {
            let bits = rng.u32(..2) << 7 | rng.u32(12..17) << 2 | rng.u32(..4);
            let value = (1.0 + f64::from(bits & 3) / 4.0) * 2f64.powi((bits >> 2 & 31) as i32 - 15);
            (bits, if bits >> 7 == 1 { -value } else { value })
        }
    }
}

struct Operand {
    size: u32,
    k: u32,
    bits: Vec<u32>,
    values: Vec<f64>,
}

impl Operand {
    fn new(ty: Type, rows: u32, rng: &mut fastrand::Rng) -> Self {
        let (size, k) = if matches!(ty, Type::Bf16 | Type::F16) { (2, 16) } else { (1, 32) };
        let (bits, values) = (0..rows * k).map(|_| element(ty, rng)).unzip();
        Self { size, k, bits, values }
    }

    /// The operand as it lies in shared memory.
    fn bytes(&self, layout: Layout) -> Vec<u8> {
        let rows = self.bits.len() as u32 / self.k;
        let mut bytes = vec![0; self.bits.len() * self.size as usize];
        for (i, bits) in self.bits.iter().enumerate() {
            let (mn, k) = (i as u32 / self.k, i as u32 % self.k);
            let at = layout.place(mn, k, self.size, rows) as usize;
            let size = self.size as usize;
            bytes[at..at + size].copy_from_slice(&bits.to_le_bytes()[..size]);
        }
        bytes
    }

    /// The four registers of a thread that hold its part of A.
    fn fragment(&self, thread: u32) -> [u32; 4] {
        let (warp, lane) = (thread / 32, thread % 32);
        let per = 4 / self.size;
        std::array::from_fn(|i| {
            let row = 16 * warp + lane / 4 + if i % 2 == 1 { 8 } else { 0 };
            let column = lane % 4 * per + if i >= 2 { 4 * per } else { 0 };
            (0..per)
                .map(|j| self.bits[(row * self.k + column + j) as usize] << (8 * self.size * j))
                .sum()
        })
    }
}

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
