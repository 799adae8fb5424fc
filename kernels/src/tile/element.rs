//! The 16-bit element types that the tensor cores multiply.

use crate::ptx::math;
use crate::ptx::wgmma::{self, Acc64, Acc128, Acc192, Acc256, FragmentA};

/// A 16-bit float: which `wgmma` multiplies it and how f32 becomes it.
///
/// # Safety
/// Of every method: as for the `wgmma` functions it stands for.
pub trait Element {
    /// Whether it is bf16, in which the FP8 formats keep rope parts.
    const IS_BF16: bool;
    /// `acc (+)= A · Bᵀ`, 64 × 64 × 16, both operands K-major in shared memory.
    ///
    /// # Safety
    /// See the trait.
    #[cfg_attr(feature = "simt", track_caller)]
    unsafe fn multiply_64<const ACCUMULATE: bool>(acc: &mut Acc64, a: u64, b: u64);
    /// `acc += A · Bᵀ`, 64 × 128 × 16, both operands K-major in shared memory.
    ///
    /// # Safety
    /// See the trait.
    #[cfg_attr(feature = "simt", track_caller)]
    unsafe fn multiply_128(acc: &mut Acc128, a: u64, b: u64);
    /// `acc += A · Bᵀ`, 64 × 192 × 16, both operands K-major in shared memory.
    ///
    /// # Safety
    /// See the trait.
    #[cfg_attr(feature = "simt", track_caller)]
    unsafe fn multiply_192(acc: &mut Acc192, a: u64, b: u64);
    /// `acc += A · Bᵀ`, 64 × 256 × 16, both operands K-major in shared memory.
    ///
    /// # Safety
    /// See the trait.
    #[cfg_attr(feature = "simt", track_caller)]
    unsafe fn multiply_256_k_major(acc: &mut Acc256, a: u64, b: u64);
    /// `acc += A · B`, 64 × 256 × 16, A in shared memory, B MN-major.
    ///
    /// # Safety
    /// See the trait.
    #[cfg_attr(feature = "simt", track_caller)]
    unsafe fn multiply_256(acc: &mut Acc256, a: u64, b: u64);
    /// `acc += A · B`, 64 × 256 × 16, A in registers, B MN-major.
    ///
    /// # Safety
    /// See the trait.
    #[cfg_attr(feature = "simt", track_caller)]
    unsafe fn multiply_256_fragment(acc: &mut Acc256, a: &FragmentA, b: u64);
    /// Two floats, rounded and packed, `low` first.
    fn pack(low: f32, high: f32) -> u32;
    /// The values of two packed elements, exactly.
    fn unpack(packed: u32) -> [f32; 2];
}

/// bfloat16.
pub struct Bf16;

impl Element for Bf16 {
    const IS_BF16: bool = true;

    #[cfg_attr(feature = "simt", track_caller)]
    #[inline(always)]
    unsafe fn multiply_64<const ACCUMULATE: bool>(acc: &mut Acc64, a: u64, b: u64) {
        // SAFETY: the caller's promise.
        unsafe { wgmma::m64n64k16_bf16_ss::<ACCUMULATE>(acc, a, b) }
    }

    #[cfg_attr(feature = "simt", track_caller)]
    #[inline(always)]
    unsafe fn multiply_128(acc: &mut Acc128, a: u64, b: u64) {
        // SAFETY: the caller's promise.
        unsafe { wgmma::m64n128k16_bf16_ss(acc, a, b) }
    }

    #[cfg_attr(feature = "simt", track_caller)]
    #[inline(always)]
    unsafe fn multiply_192(acc: &mut Acc192, a: u64, b: u64) {
        // SAFETY: the caller's promise.
        unsafe { wgmma::m64n192k16_bf16_ss(acc, a, b) }
    }

    #[cfg_attr(feature = "simt", track_caller)]
    #[inline(always)]
    unsafe fn multiply_256_k_major(acc: &mut Acc256, a: u64, b: u64) {
        // SAFETY: the caller's promise.
        unsafe { wgmma::m64n256k16_bf16_ss_k_major(acc, a, b) }
    }

    #[cfg_attr(feature = "simt", track_caller)]
    #[inline(always)]
    unsafe fn multiply_256(acc: &mut Acc256, a: u64, b: u64) {
        // SAFETY: the caller's promise.
        unsafe { wgmma::m64n256k16_bf16_ss(acc, a, b) }
    }

    #[cfg_attr(feature = "simt", track_caller)]
    #[inline(always)]
    unsafe fn multiply_256_fragment(acc: &mut Acc256, a: &FragmentA, b: u64) {
        // SAFETY: the caller's promise.
        unsafe { wgmma::m64n256k16_bf16_rs(acc, a, b) }
    }

    #[inline(always)]
    fn pack(low: f32, high: f32) -> u32 {
        math::pack_bf16(low, high)
    }

    #[inline(always)]
    fn unpack(packed: u32) -> [f32; 2] {
        [f32::from_bits(packed << 16), f32::from_bits(packed & 0xffff_0000)]
    }
}

/// IEEE half precision.
pub struct F16;

impl Element for F16 {
    const IS_BF16: bool = false;

    #[cfg_attr(feature = "simt", track_caller)]
    #[inline(always)]
    unsafe fn multiply_64<const ACCUMULATE: bool>(acc: &mut Acc64, a: u64, b: u64) {
        // SAFETY: the caller's promise.
        unsafe { wgmma::m64n64k16_f16_ss::<ACCUMULATE>(acc, a, b) }
    }

    #[cfg_attr(feature = "simt", track_caller)]
    #[inline(always)]
    unsafe fn multiply_128(acc: &mut Acc128, a: u64, b: u64) {
        // SAFETY: the caller's promise.
        unsafe { wgmma::m64n128k16_f16_ss(acc, a, b) }
    }

    #[cfg_attr(feature = "simt", track_caller)]
    #[inline(always)]
    unsafe fn multiply_192(acc: &mut Acc192, a: u64, b: u64) {
        // SAFETY: the caller's promise.
        unsafe { wgmma::m64n192k16_f16_ss(acc, a, b) }
    }

    #[cfg_attr(feature = "simt", track_caller)]
    #[inline(always)]
    unsafe fn multiply_256_k_major(acc: &mut Acc256, a: u64, b: u64) {
        // SAFETY: the caller's promise.
        unsafe { wgmma::m64n256k16_f16_ss_k_major(acc, a, b) }
    }

    #[cfg_attr(feature = "simt", track_caller)]
    #[inline(always)]
    unsafe fn multiply_256(acc: &mut Acc256, a: u64, b: u64) {
        // SAFETY: the caller's promise.
        unsafe { wgmma::m64n256k16_f16_ss(acc, a, b) }
    }

    #[cfg_attr(feature = "simt", track_caller)]
    #[inline(always)]
    unsafe fn multiply_256_fragment(acc: &mut Acc256, a: &FragmentA, b: u64) {
        // SAFETY: the caller's promise.
        unsafe { wgmma::m64n256k16_f16_rs(acc, a, b) }
    }

    #[inline(always)]
    fn pack(low: f32, high: f32) -> u32 {
        math::pack_f16(low, high)
    }

    #[inline(always)]
    fn unpack(packed: u32) -> [f32; 2] {
        math::unpack_f16(packed)
    }
}
