//! Registers: hidden from the compiler, and moved between warpgroups. PTX ISA: Miscellaneous Instructions, `setmaxnreg`.
//!
//! Takes effect only in a kernel whose launch bounds are known (`.maxntid`, written by `xtask ptx`): ptxas
//! otherwise ignores it (C7508). Registers of all warpgroups together stay within what the CTA was launched
//! with.

use core::arch::asm;
use seq_macro::seq;

unsafe extern "C" {
    #[link_name = "llvm.nvvm.setmaxnreg.dec.sync.aligned.u32"]
    fn set_fewer(count: u32);
    #[link_name = "llvm.nvvm.setmaxnreg.inc.sync.aligned.u32"]
    fn set_more(count: u32);
}

/// `setmaxnreg.dec`: gives back all but `COUNT` registers per thread.
///
/// # Safety
/// - `COUNT` is a multiple of 8 in 24–256, not more than the warpgroup has.
/// - All warps of the warpgroup execute it, converged.
#[inline(always)]
pub unsafe fn decrease<const COUNT: u32>() {
    // SAFETY: the caller's promise.
    unsafe { set_fewer(COUNT) };
}

/// `setmaxnreg.inc`: waits until `COUNT` registers per thread can be had.
///
/// # Safety
/// - `COUNT` is a multiple of 8 in 24–256, not less than the warpgroup has.
/// - All warps of the warpgroup execute it, converged; other warpgroups give back enough.
#[inline(always)]
pub unsafe fn increase<const COUNT: u32>() {
    // SAFETY: the caller's promise.
    unsafe { set_more(COUNT) };
}

/// `value`, of which the compiler knows nothing: no instruction at all. What is computed from it inside a
/// loop stays there, in a few instructions, instead of being kept in registers across the loop.
#[inline(always)]
pub fn opaque(mut value: u32) -> u32 {
    // SAFETY: an empty template.
    unsafe { asm!("// {0}", inout(reg32) value, options(nostack)) };
    value
}

/// A value that is computed before anything that follows: a trap if it were infinite, which it never is. Unlike
/// [`settle`], ptxas too has to keep to it.
#[inline(always)]
pub fn demand(finite: f32) {
    // SAFETY: the worst is a trap.
    unsafe {
        asm!(
            "{{ .reg .pred infinite; setp.eq.f32 infinite, {}, 0f7F800000; @infinite trap; }}",
            in(reg32) finite,
            options(nostack)
        )
    };
}

/// Values that are computed by now: no instruction at all, but the arithmetic behind them does not sink below.
#[inline(always)]
pub fn settle(values: &mut [f32; 2]) {
    // SAFETY: an empty template.
    unsafe { asm!("// {0} {1}", inout(reg32) values[0], inout(reg32) values[1], options(nostack)) };
}

/// [`settle`], of the values from `32 · C` on of an accumulator of 256 columns.
#[inline(always)]
pub fn settle_columns<const C: usize>(values: &mut [f32; 128]) {
    seq!(N in 0..32 {
        // SAFETY: an empty template.
        unsafe {
            asm!(
                #(concat!("// {d", N, "}"),)*
                #(d~N = inout(reg32) values[32 * C + N],)*
                options(nostack)
            )
        };
    });
}
