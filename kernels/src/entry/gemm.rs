//! Matrix products.

use crate::gemm::abi::GemmParams;
use crate::gemm::{self, Maps, N64, N128, N256, Pair192, Pair256};
use crate::ptx::tma::{TensorMap, tensor_map_parameter};
use crate::tile::element::{Bf16, F16};

macro_rules! gemm_kernels {
    ($($name:ident: $element:ty, $width:ty, $x:literal, $weight:literal, $y:literal;)*) => {
        $(
            /// Matrix products. Grid (`gemm::tiling::Tiling::ctas`).
            ///
            /// # Safety
            /// The launch follows `launch::GEMM_BF16` or `launch::GEMM_F16`, cooperatively if `params.splits` is not 1;
            /// the maps are encoded as `gemm::config` says; every address in `params` is valid for the sizes in it.
            #[unsafe(no_mangle)]
            pub unsafe extern "ptx-kernel" fn $name(
                _x: TensorMap,
                _weight: TensorMap,
                _y: TensorMap,
                params: GemmParams,
            ) {
                let maps = Maps {
                    x: tensor_map_parameter!($x),
                    weight: tensor_map_parameter!($weight),
                    y: tensor_map_parameter!($y),
                };
                // SAFETY: the launcher's promise.
                unsafe { gemm::run::<$element, $width>(maps, &params) }
            }
        )*
    };
}

gemm_kernels! {
    gemm_64_bf16: Bf16, N64, "gemm_64_bf16_param_0", "gemm_64_bf16_param_1", "gemm_64_bf16_param_2";
    gemm_128_bf16: Bf16, N128, "gemm_128_bf16_param_0", "gemm_128_bf16_param_1", "gemm_128_bf16_param_2";
    gemm_256_bf16: Bf16, N256, "gemm_256_bf16_param_0", "gemm_256_bf16_param_1", "gemm_256_bf16_param_2";
    gemm_pair_192_bf16: Bf16, Pair192, "gemm_pair_192_bf16_param_0", "gemm_pair_192_bf16_param_1", "gemm_pair_192_bf16_param_2";
    gemm_pair_256_bf16: Bf16, Pair256, "gemm_pair_256_bf16_param_0", "gemm_pair_256_bf16_param_1", "gemm_pair_256_bf16_param_2";
    gemm_64_f16: F16, N64, "gemm_64_f16_param_0", "gemm_64_f16_param_1", "gemm_64_f16_param_2";
    gemm_128_f16: F16, N128, "gemm_128_f16_param_0", "gemm_128_f16_param_1", "gemm_128_f16_param_2";
    gemm_256_f16: F16, N256, "gemm_256_f16_param_0", "gemm_256_f16_param_1", "gemm_256_f16_param_2";
    gemm_pair_192_f16: F16, Pair192, "gemm_pair_192_f16_param_0", "gemm_pair_192_f16_param_1", "gemm_pair_192_f16_param_2";
    gemm_pair_256_f16: F16, Pair256, "gemm_pair_256_f16_param_0", "gemm_pair_256_f16_param_1", "gemm_pair_256_f16_param_2";
}
