//! Warpgroup matrix multiply-accumulate.

use oxmla_simt::wgmma::{self, A, Mma, Type};

pub type Acc64 = [f32; 32];
pub type Acc128 = [f32; 64];
pub type Acc192 = [f32; 96];
pub type Acc256 = [f32; 128];
pub type FragmentA = [u32; 4];

#[track_caller]
pub unsafe fn fence() {
    wgmma::fence();
}

#[track_caller]
pub unsafe fn commit() {
    wgmma::commit();
}

#[track_caller]
pub unsafe fn wait<const PENDING: u32>() {
    wgmma::wait(PENDING, &mut []);
}

#[track_caller]
pub unsafe fn wait_256<const PENDING: u32>(acc: &mut Acc256) {
    wgmma::wait(PENDING, &mut [acc]);
}

#[track_caller]
pub unsafe fn wait_64<const PENDING: u32>(acc: &mut Acc64) {
    wgmma::wait(PENDING, &mut [acc]);
}

#[track_caller]
pub unsafe fn wait_128<const PENDING: u32>(acc: &mut Acc128) {
    wgmma::wait(PENDING, &mut [acc]);
}

#[track_caller]
pub unsafe fn wait_192<const PENDING: u32>(acc: &mut Acc192) {
    wgmma::wait(PENDING, &mut [acc]);
}

#[track_caller]
pub unsafe fn m64n64k16_bf16_rs(acc: &mut Acc64, a: &FragmentA, b: u64) {
    wgmma::multiply(Mma::new(Type::Bf16, 64), acc, A::Registers(a), b);
}

macro_rules! multiply_for {
    ($ss64:ident, $ss256:ident, $rs256:ident, $ty:expr) => {
        #[track_caller]
        pub unsafe fn $ss64<const ACCUMULATE: bool>(acc: &mut Acc64, a: u64, b: u64) {
            let form = Mma { accumulate: ACCUMULATE, ..Mma::new($ty, 64) };
            wgmma::multiply(form, acc, A::Shared(a), b);
        }

        #[track_caller]
        pub unsafe fn $ss256(acc: &mut Acc256, a: u64, b: u64) {
            let form = Mma { transpose_b: true, ..Mma::new($ty, 256) };
            wgmma::multiply(form, acc, A::Shared(a), b);
        }

        #[track_caller]
        pub unsafe fn $rs256(acc: &mut Acc256, a: &FragmentA, b: u64) {
            let form = Mma { transpose_b: true, ..Mma::new($ty, 256) };
            wgmma::multiply(form, acc, A::Registers(a), b);
        }
    };
}

macro_rules! multiply_add_for {
    ($ss128:ident, $ss192:ident, $ss256:ident, $ty:expr) => {
        #[track_caller]
        pub unsafe fn $ss128(acc: &mut Acc128, a: u64, b: u64) {
            wgmma::multiply(Mma::new($ty, 128), acc, A::Shared(a), b);
        }

        #[track_caller]
        pub unsafe fn $ss192(acc: &mut Acc192, a: u64, b: u64) {
            wgmma::multiply(Mma::new($ty, 192), acc, A::Shared(a), b);
        }

        #[track_caller]
        pub unsafe fn $ss256(acc: &mut Acc256, a: u64, b: u64) {
            wgmma::multiply(Mma::new($ty, 256), acc, A::Shared(a), b);
        }
    };
}

multiply_for!(m64n64k16_bf16_ss, m64n256k16_bf16_ss, m64n256k16_bf16_rs, Type::Bf16);
multiply_for!(m64n64k16_f16_ss, m64n256k16_f16_ss, m64n256k16_f16_rs, Type::F16);
multiply_add_for!(m64n128k16_bf16_ss, m64n192k16_bf16_ss, m64n256k16_bf16_ss_k_major, Type::Bf16);
multiply_add_for!(m64n128k16_f16_ss, m64n192k16_f16_ss, m64n256k16_f16_ss_k_major, Type::F16);
