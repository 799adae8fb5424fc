//! The cases in the machine.

use oxmla_simt::wgmma::{self, A};
use oxmla_simt::{Launch, Memory, barrier, fence, global, math, mbarrier, shared, special, tma};

use crate::cases::{self, Case, Function, Load, Multiply, OPERAND_BYTES};

/// What a case gives.
pub fn run(case: &Case) -> Vec<u32> {
    match case {
        Case::Multiply(case) => multiply(case),
        Case::Load(case) => load(case),
        Case::Function(function) => cases::numbers().iter().map(|x| apply(*function, *x)).collect(),
    }
}

/// Bytes as `cudaMalloc` would align them.
fn aligned(bytes: &[u8]) -> Vec<u128> {
    bytes.chunks_exact(16).map(|chunk| u128::from_ne_bytes(chunk.try_into().expect("16"))).collect()
}

fn multiply(case: &Multiply) -> Vec<u32> {
    let [a, b] = case.images().map(|bytes| aligned(&bytes));
    let mut d = case.start.clone();
    let per_thread = case.form.n as usize / 2;
    let mut memory = Memory::new();
    let sources = [memory.read_only(&a), memory.read_only(&b)];
    let out = memory.read_write(&mut d);
    let kernel = || {
        let (base, thread) = (shared::base(), special::thread_index());
        for (which, source) in sources.into_iter().enumerate() {
            let at = base + (which * OPERAND_BYTES) as u32;
            for i in (16 * thread..OPERAND_BYTES as u32).step_by(128 * 16) {
                let from = (source as *const u32).wrapping_add(i as usize / 4);
                shared::store_u32x4(at + i, global::load_u32x4(from));
            }
        }
        fence::proxy_async_shared();
        barrier::sync_threads();
        let mine = (out as *mut f32).wrapping_add(thread as usize * per_thread);
        let mut acc: Vec<f32> =
            (0..per_thread).map(|i| global::load_f32(mine.wrapping_add(i))).collect();
        let [a, b] = case.descriptors(base);
        let fragment = case.a.fragment(thread);
        let left = if case.a_layout.is_some() { A::Shared(a) } else { A::Registers(&fragment) };
        wgmma::fence();
        wgmma::multiply(case.form, &mut acc, left, b);
        wgmma::commit();
        wgmma::wait(0, &mut [&mut acc]);
        for (i, value) in acc.iter().enumerate() {
            global::store_f32(mine.wrapping_add(i), *value);
        }
    };
    let launch = Launch::new("multiply", [1, 1, 1], 128).shared_bytes(2 * OPERAND_BYTES as u32);
    launch.run(&memory, kernel).unwrap_or_else(|report| panic!("{report}"));
    drop(memory);
    d.into_iter().map(f32::to_bits).collect()
}

fn load(case: &Load) -> Vec<u32> {
    let tensor = aligned(&cases::tensor());
    let (size, box_bytes) = (case.map.footprint(), case.map.box_bytes());
    let mut out = vec![0u32; size as usize / 4];
    let mut memory = Memory::new();
    let mut map = case.map.clone();
    map.address = memory.read_only(&tensor);
    let map = memory.tensor_map(map).expect("a valid map");
    let to = memory.read_write(&mut out);
    let kernel = || {
        let (base, thread) = (shared::base(), special::thread_index());
        let full = base + 16384;
        for i in (16 * thread..16384).step_by(16 * 128) {
            shared::store_zero_16(base + i);
        }
        fence::proxy_async_shared();
        if thread == 0 {
            mbarrier::init(full, 1);
            fence::mbarrier_init();
        }
        barrier::sync_threads();
        if thread == 0 {
            mbarrier::arrive_expect(full, box_bytes);
            tma::load(map, base, full, &case.corner);
        }
        mbarrier::wait(full, 0);
        for i in (4 * thread..size).step_by(4 * 128) {
            let at = (to as *mut u32).wrapping_add(i as usize / 4);
            global::store_u32(at, shared::load_u32(base + i));
        }
    };
    let launch = Launch::new("load", [1, 1, 1], 128).shared_bytes(16384 + 8);
    launch.run(&memory, kernel).unwrap_or_else(|report| panic!("{report}"));
    drop(memory);
    out
}

fn apply(function: Function, [x, y]: [f32; 2]) -> u32 {
    match function {
        Function::Exp2 => math::exp2(x).to_bits(),
        Function::Log2 => math::log2(x).to_bits(),
        Function::Recip => math::recip(x).to_bits(),
        Function::Rsqrt => math::rsqrt(x).to_bits(),
        Function::Max => math::max(x, y).to_bits(),
        Function::PackBf16 => math::pack_bf16(x, y),
        Function::PackF16 => math::pack_f16(x, y),
        Function::PackE4m3 => math::pack_e4m3(x, y).into(),
    }
}
