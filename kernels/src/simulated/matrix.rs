//! Warp-wide matrix loads and stores.

#[track_caller]
pub unsafe fn load_x4_transposed(address: u32) -> [u32; 4] {
    oxmla_simt::matrix::load(address, true)
}

#[track_caller]
pub unsafe fn store_x4(address: u32, fragments: [u32; 4]) {
    oxmla_simt::matrix::store_x4(address, fragments);
}

#[track_caller]
pub unsafe fn store_x4_transposed(address: u32, fragments: [u32; 4]) {
    oxmla_simt::matrix::store(address, fragments, true);
}
