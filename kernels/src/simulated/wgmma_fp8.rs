//! Multiplies of 8-bit floats.

use oxmla_simt::wgmma::{self, A, Mma, Type};

use super::wgmma::Acc64;

pub type FragmentA = [u32; 4];

#[track_caller]
pub unsafe fn m64n64k32_e4m3_ss<const ACCUMULATE: bool>(acc: &mut Acc64, a: u64, b: u64) {
    let form = Mma { accumulate: ACCUMULATE, ..Mma::new(Type::E4m3, 64) };
    wgmma::multiply(form, acc, A::Shared(a), b);
}

#[track_caller]
pub unsafe fn m64n64k32_e4m3_rs<const ACCUMULATE: bool>(acc: &mut Acc64, a: &FragmentA, b: u64) {
    let form = Mma { accumulate: ACCUMULATE, ..Mma::new(Type::E4m3, 64) };
    wgmma::multiply(form, acc, A::Registers(a), b);
}
