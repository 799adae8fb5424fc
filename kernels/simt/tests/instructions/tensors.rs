//! TMA: boxes of tensors of every rank, element size and swizzle, inside and across the borders.

use oxmla_simt::{
    Memory, Swizzle, TensorMap, barrier, bulk, fence, global, mbarrier, shared, special, tma,
};

use crate::boxes::{corners, maps};
use crate::support::{Aligned, cta, random, run};

const BARRIER: u32 = 1024 + 49152;

/// The image of a box in shared memory that was zero, byte by byte from the definition: rows one after the other,
/// each as wide as the swizzle's pattern, zeros outside the tensor, and in each 128 bytes the 16-byte chunk at `c`
/// moved to `c XOR` the row's phase.
fn image(map: &TensorMap, data: &[u8], corner: &[i32]) -> Vec<u8> {
    let rank = map.tile.len();
    let size = map.element_bytes as usize;
    let counts: Vec<usize> =
        (0..rank).map(|d| map.tile[d].div_ceil(map.element_strides[d]) as usize).collect();
    let total: usize = counts.iter().product();
    let row = counts[0] * size;
    let pitch = match map.swizzle {
        Swizzle::None => row,
        Swizzle::B32 => 32,
        Swizzle::B64 => 64,
        Swizzle::B128 => 128,
    };
    let mut linear = vec![0u8; total * size / row * pitch];
    for element in 0..total {
        let mut rest = element;
        let mut offset = Some(0);
        for d in 0..rank {
            let i = (rest % counts[d]) as i64 * i64::from(map.element_strides[d]);
            rest /= counts[d];
            let at = i64::from(corner[d]) + i;
            let stride = if d == 0 { size as u64 } else { map.strides[d - 1] };
            let inside = at >= 0 && (at as u64) < map.dimensions[d];
            offset = offset.filter(|_| inside).map(|o| o + at as usize * stride as usize);
        }
        if let Some(offset) = offset {
            let place = element / counts[0] * pitch + element % counts[0] * size;
            linear[place..][..size].copy_from_slice(&data[offset..offset + size]);
        }
    }
    let phases = match map.swizzle {
        Swizzle::None => 1,
        Swizzle::B32 => 2,
        Swizzle::B64 => 4,
        Swizzle::B128 => 8,
    };
    let mut swizzled = vec![0; linear.len().next_multiple_of(128)];
    for (i, byte) in linear.iter().enumerate() {
        let (line, chunk, within) = (i / 128, i / 16 % 8, i % 16);
        swizzled[line * 128 + (chunk ^ (line % phases)) * 16 + within] = *byte;
    }
    swizzled
}

/// Writes zeros where the image will be, for a narrow box does not write all of it.
fn clear(bytes: u32) {
    for i in (16 * special::thread_index()..bytes.next_multiple_of(128)).step_by(16 * 32) {
        shared::store_zero_16(shared::base() + i);
    }
    fence::proxy_async_shared();
    barrier::sync_threads();
}

fn init() {
    if special::thread_index() == 0 {
        mbarrier::init(BARRIER, 1);
        fence::mbarrier_init();
    }
    barrier::sync_threads();
}

#[test]
fn loads() {
    let mut data = Aligned([0u8; 32768]);
    random(9).fill(&mut data.0);
    let mut bytes = vec![0u8; 8192];
    let count = maps(0).len();
    for which in 0..count {
        for corner in corners(&maps(0)[which]) {
            let mut memory = Memory::new();
            let map = maps(memory.read_only(&data.0)).swap_remove(which);
            let out = memory.read_write(&mut bytes);
            let handle = memory.tensor_map(map.clone()).unwrap();
            let size = map.footprint().next_multiple_of(128);
            run(&cta(32), &memory, || {
                init();
                clear(size);
                if special::thread_index() == 0 {
                    mbarrier::arrive_expect(BARRIER, map.box_bytes());
                    tma::prefetch(handle);
                    tma::load(handle, shared::base(), BARRIER, &corner);
                }
                mbarrier::wait(BARRIER, 0);
                for i in (4 * special::thread_index()..size).step_by(128) {
                    let at = (out as *mut u32).wrapping_add(i as usize / 4);
                    global::store_u32(at, shared::load_u32(shared::base() + i));
                }
            });
            drop(memory);
            let expected = image(&map, &data.0, &corner);
            assert_eq!(&bytes[..size as usize], expected, "{map:?} at {corner:?}");
        }
    }
}

/// What was loaded from one tensor and stored to another of the same shape at the same place agrees with it
/// there, and nothing else changes.
#[test]
fn stores() {
    let mut data = Aligned([0u8; 32768]);
    random(10).fill(&mut data.0);
    for which in 0..maps(0).len() {
        for corner in corners(&maps(0)[which]) {
            let mut copy = Aligned([0u8; 32768]);
            let mut memory = Memory::new();
            let map = maps(memory.read_only(&data.0)).swap_remove(which);
            let to = memory.read_write(&mut copy.0);
            let target = TensorMap { address: to, ..map.clone() };
            let size = map.box_bytes();
            let source = memory.tensor_map(map.clone()).unwrap();
            let target = memory.tensor_map(target).unwrap();
            run(&cta(32), &memory, || {
                init();
                if special::thread_index() == 0 {
                    mbarrier::arrive_expect(BARRIER, size);
                    tma::load(source, shared::base(), BARRIER, &corner);
                    mbarrier::wait(BARRIER, 0);
                    tma::store(target, shared::base(), &corner);
                    bulk::commit();
                    bulk::wait(0);
                }
            });
            drop(memory);
            assert_eq!(image(&map, &copy.0, &corner), image(&map, &data.0, &corner), "{map:?}");
            let inside = |at: &[u8]| at.iter().filter(|byte| **byte != 0).count();
            assert_eq!(inside(&copy.0), inside(&image(&map, &data.0, &corner)), "{map:?}");
        }
    }
}
