//! How long one CTA of a dense-decode-like kernel takes: 64 query rows of 576 dimensions against blocks of 64
//! tokens, output 64 × 512, 384 threads in three warpgroups. Run with `--release`.
//!
//! The left warpgroup computes scores and the left half of the output, the right one the other half from the
//! probabilities it finds in shared memory; a producer warp loads two blocks ahead. There is no softmax: the
//! probabilities are the scores, rounded.

use std::time::Instant;

use half::bf16;
use oxmla_simt::wgmma::{self, A, Mma, Type};
use oxmla_simt::{
    Launch, Memory, Swizzle, TensorMap, barrier, fence, global, math, matrix, mbarrier, registers,
    shared, special, tma,
};

const TILE_BYTES: u32 = 64 * 128;
const TILES: u32 = 9;
const BLOCK_BYTES: u32 = TILES * TILE_BYTES;
const K: u32 = BLOCK_BYTES;
const P: u32 = K + 2 * BLOCK_BYTES;
const BARRIERS: u32 = P + TILE_BYTES;
const Q_FULL: u32 = BARRIERS;
const FULL: u32 = BARRIERS + 8;
const EMPTY: u32 = FULL + 16;
const SHARED_BYTES: u32 = EMPTY + 16;
const BLOCKS: u32 = 8;

fn k_major(address: u32) -> u64 {
    u64::from(address >> 4) | 1 << 16 | 64 << 32 | 1 << 62
}

fn mn_major(address: u32) -> u64 {
    u64::from(address >> 4) | u64::from(TILE_BYTES >> 4) << 16 | 64 << 32 | 1 << 62
}

fn kernel(q: u64, k: u64, out: u64) {
    let base = shared::base();
    let thread = special::thread_index();
    if thread == 0 {
        mbarrier::init(base + Q_FULL, 1);
        for stage in 0..2 {
            mbarrier::init(base + FULL + 8 * stage, 1);
            mbarrier::init(base + EMPTY + 8 * stage, 256);
        }
        fence::mbarrier_init();
    }
    barrier::sync_threads();
    match thread / 128 {
        0 => left(base, out),
        1 => right(base, out),
        _ => {
            registers::decrease(24);
            if thread == 256 {
                produce(base, q, k);
            }
        }
    }
}

fn produce(base: u32, q: u64, k: u64) {
    mbarrier::arrive_expect(base + Q_FULL, BLOCK_BYTES);
    for tile in 0..TILES {
        let to = base + tile * TILE_BYTES;
        tma::load(q, to, base + Q_FULL, &[(tile * 64) as i32, 0]);
    }
    for block in 0..BLOCKS {
        let stage = block % 2;
        mbarrier::wait(base + EMPTY + 8 * stage, (block / 2 % 2) ^ 1);
        let full = base + FULL + 8 * stage;
        mbarrier::arrive_expect(full, BLOCK_BYTES);
        for tile in 0..TILES {
            let to = base + K + stage * BLOCK_BYTES + tile * TILE_BYTES;
            tma::load(k, to, full, &[(tile * 64) as i32, (block * 64) as i32]);
        }
    }
}

fn left(base: u32, out: u64) {
    registers::increase(240);
    let mut o = [0.0; 128];
    let mut s = [0.0; 32];
    mbarrier::wait(base + Q_FULL, 0);
    for block in 0..BLOCKS {
        let stage = block % 2;
        let k = base + K + stage * BLOCK_BYTES;
        mbarrier::wait(base + FULL + 8 * stage, block / 2 % 2);
        wgmma::fence();
        for step in 0..36 {
            let offset = step / 4 * TILE_BYTES + step % 4 * 32;
            let form = Mma { accumulate: step > 0, ..Mma::new(Type::Bf16, 64) };
            let a = A::Shared(k_major(base + offset));
            wgmma::multiply(form, &mut s, a, k_major(k + offset));
        }
        wgmma::commit();
        wgmma::wait(0, &mut [&mut s]);
        let p: [[u32; 4]; 4] = std::array::from_fn(|i| {
            std::array::from_fn(|j| math::pack_bf16(s[8 * i + 2 * j], s[8 * i + 2 * j + 1]))
        });
        if block > 0 {
            barrier::sync(2, 256);
        }
        let lane = special::lane();
        let row = special::warp() * 16 + lane % 16;
        for (i, fragment) in p.iter().enumerate() {
            let chunk = (2 * i as u32 + lane / 16) ^ (row % 8);
            matrix::store_x4(base + P + row * 128 + chunk * 16, *fragment);
        }
        fence::proxy_async_shared();
        barrier::arrive(1, 256);
        wgmma::fence();
        for (step, fragment) in p.iter().enumerate() {
            let form = Mma { transpose_b: true, ..Mma::new(Type::Bf16, 256) };
            let v = mn_major(k + 2048 * step as u32);
            wgmma::multiply(form, &mut o, A::Registers(fragment), v);
        }
        wgmma::commit();
        wgmma::wait(0, &mut [&mut o]);
        mbarrier::arrive(base + EMPTY + 8 * stage);
    }
    barrier::sync(2, 256);
    store(out, 0, &o);
}

fn right(base: u32, out: u64) {
    registers::increase(240);
    let mut o = [0.0; 128];
    for block in 0..BLOCKS {
        let stage = block % 2;
        let v = base + K + stage * BLOCK_BYTES + 4 * TILE_BYTES;
        barrier::sync(1, 256);
        mbarrier::wait(base + FULL + 8 * stage, block / 2 % 2);
        wgmma::fence();
        for step in 0..4 {
            let form = Mma { transpose_b: true, ..Mma::new(Type::Bf16, 256) };
            let a = A::Shared(k_major(base + P + 32 * step));
            wgmma::multiply(form, &mut o, a, mn_major(v + 2048 * step));
        }
        wgmma::commit();
        wgmma::wait(0, &mut [&mut o]);
        barrier::arrive(2, 256);
        mbarrier::arrive(base + EMPTY + 8 * stage);
    }
    store(out, 256, &o);
}

fn store(out: u64, first_column: u32, o: &[f32; 128]) {
    let (thread, lane) = (special::thread_index() % 128, special::lane());
    for (i, pair) in o.chunks_exact(2).enumerate() {
        let i = i as u32;
        let row = thread / 32 * 16 + lane / 4 + i % 2 * 8;
        let column = first_column + i / 2 * 8 + lane % 4 * 2;
        let place = (out as *mut f32).wrapping_add((row * 512 + column) as usize);
        global::store_f32x2(place, [pair[0], pair[1]]);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tokens = BLOCKS * 64;
    let mut rng = fastrand::Rng::with_seed(1);
    let mut random =
        |n: u32| -> Vec<bf16> { (0..n).map(|_| bf16::from_f32(rng.f32() - 0.5)).collect() };
    let (q, k) = (random(64 * 576), random(tokens * 576));
    let mut out = vec![0f32; 64 * 512];
    let map = |address: u64, rows: u32| TensorMap {
        address,
        element_bytes: 2,
        dimensions: vec![576, rows.into()],
        strides: vec![1152],
        tile: vec![64, 64],
        element_strides: vec![1, 1],
        swizzle: Swizzle::B128,
    };
    let mut memory = Memory::new();
    let (q_at, k_at) = (memory.read_only(&q), memory.read_only(&k));
    let out_at = memory.uninitialised(&mut out);
    let q_map = memory.tensor_map(map(q_at, 64))?;
    let k_map = memory.tensor_map(map(k_at, tokens))?;
    for round in 0..5 {
        let start = Instant::now();
        Launch::new("dense-decode-like", [1, 1, 1], 384)
            .shared_bytes(SHARED_BYTES)
            .seed(round)
            .run(&memory, || kernel(q_map, k_map, out_at))?;
        println!("seed {round}: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    }
    drop(memory);
    println!("largest error: {:e}", largest_error(&q, &k, &out));
    Ok(())
}

/// Against f64, with the scores rounded to bf16 as the kernel does.
fn largest_error(q: &[bf16], k: &[bf16], out: &[f32]) -> f64 {
    let mut largest = 0f64;
    for (q, out) in q.chunks_exact(576).zip(out.chunks_exact(512)) {
        let mut exact = vec![0f64; 512];
        for k in k.chunks_exact(576) {
            let score: f64 = q.iter().zip(k).map(|(a, b)| a.to_f64() * b.to_f64()).sum();
            let p = bf16::from_f64(score).to_f64();
            for (sum, v) in exact.iter_mut().zip(k) {
                *sum += p * v.to_f64();
            }
        }
        for (a, b) in exact.iter().zip(out) {
            largest = largest.max((a - f64::from(*b)).abs());
        }
    }
    largest
}
