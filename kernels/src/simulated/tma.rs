//! The tensor memory accelerator.

use oxmla_simt::tma;

/// Address of a tensor map, as `oxmla_simt::Memory` gave it out.
#[derive(Clone, Copy)]
pub struct TensorMapAddress(pub u64);

#[track_caller]
pub fn prefetch(map: TensorMapAddress) {
    tma::prefetch(map.0);
}

#[track_caller]
pub unsafe fn load_4d(
    map: TensorMapAddress,
    destination: u32,
    barrier: u32,
    coordinates: [u32; 4],
) {
    tma::load(map.0, destination, barrier, &coordinates.map(|c| c as i32));
}

#[track_caller]
pub unsafe fn load_4d_normal(
    map: TensorMapAddress,
    destination: u32,
    barrier: u32,
    coordinates: [u32; 4],
) {
    tma::load(map.0, destination, barrier, &coordinates.map(|c| c as i32));
}

#[track_caller]
pub unsafe fn load_4d_multicast(
    map: TensorMapAddress,
    destination: u32,
    barrier: u32,
    coordinates: [u32; 4],
    ctas: u16,
) {
    tma::load_multicast(map.0, destination, barrier, &coordinates.map(|c| c as i32), ctas);
}

#[track_caller]
pub unsafe fn store_4d(map: TensorMapAddress, source: u32, coordinates: [u32; 4]) {
    tma::store(map.0, source, &coordinates.map(|c| c as i32));
}
