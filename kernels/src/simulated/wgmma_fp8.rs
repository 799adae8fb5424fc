//! Multiplies of 8-bit floats.

use oxmla_simt::wgmma::{self, A, Mma, Type};

use super::wgmma::Acc64;

pub type FragmentA = [u32; 4];

const FIRST: Mma = Mma { accumulate: false, ..ADD };
const ADD: Mma = Mma::new(Type::E4m3, 64);

#[track_caller]
pub unsafe fn m64n64k32_e4m3_ss_first(acc: &mut Acc64, a: u64, b: u64) {
    wgmma::multiply(FIRST, acc, A::Shared(a), b);
}

#[track_caller]
pub unsafe fn m64n64k32_e4m3_rs_first(acc: &mut Acc64, a: &FragmentA, b: u64) {
    wgmma::multiply(FIRST, acc, A::Registers(a), b);
}

#[track_caller]
pub unsafe fn m64n64k32_e4m3_ss_add(acc: &mut Acc64, a: u64, b: u64) {
    wgmma::multiply(ADD, acc, A::Shared(a), b);
}

#[track_caller]
pub unsafe fn m64n64k32_e4m3_rs_add(acc: &mut Acc64, a: &FragmentA, b: u64) {
    wgmma::multiply(ADD, acc, A::Registers(a), b);
}
