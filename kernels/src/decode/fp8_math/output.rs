//! Half of a block's output.
//!
//! The tensor cores keep 14 bits of a sum in FP8, and cut off the rest: a sum over thousands of tokens would shrink by a few
//! percent. So the products of a block, 64 columns at a time, begin at zero and are added to the output in f32. Two of them
//! are on their way at any time.

use seq_macro::seq;

use crate::ptx::registers;
use crate::ptx::wgmma::{self, Acc64, Acc256};
use crate::ptx::wgmma_fp8::{self, FragmentA};
use crate::tile::descriptor;
use crate::tile::swizzle::NARROW_ROW_BYTES;

/// Columns of a product.
const COLUMNS: u32 = 64;

/// `o += P · V` for 256 columns, whose rows of V begin at `v`; but the last 64 are left in the second product, for
/// [`add_last`]. No multiply is in flight then.
///
/// # Safety
/// The four warps of a warpgroup call it, converged, with no multiply in flight; V is there, and neither it nor `p` changes
/// meanwhile.
#[inline(always)]
pub unsafe fn update(o: &mut Acc256, [first, second]: [&mut Acc64; 2], p: &[FragmentA; 2], v: u32) {
    // SAFETY: the caller's promise; products are added when they have been waited for.
    unsafe {
        issue::<0>(first, p, v);
        issue::<1>(second, p, v);
        wgmma::wait_64::<1>(first);
        add::<0>(o, first);
        issue::<2>(first, p, v);
        wgmma::wait_64::<1>(second);
        add::<1>(o, second);
        issue::<3>(second, p, v);
        wgmma::wait_64::<1>(first);
        add::<2>(o, first);
        wgmma::wait_64::<0>(second);
    }
}

/// Adds what [`update`] has left.
#[inline(always)]
pub fn add_last(o: &mut Acc256, second: &Acc64) {
    add::<3>(o, second);
}

/// The product for columns from `64 · C` on. Closes a group.
#[inline(always)]
unsafe fn issue<const C: u32>(product: &mut Acc64, p: &[FragmentA; 2], v: u32) {
    let v = descriptor::narrow_k_major(v + C * COLUMNS * NARROW_ROW_BYTES);
    // SAFETY: the caller's promise.
    unsafe {
        wgmma::fence();
        wgmma_fp8::m64n64k32_e4m3_rs_first(product, &p[0], v);
        let v = descriptor::narrow_k_major_step(v, 1);
        wgmma_fp8::m64n64k32_e4m3_rs_add(product, &p[1], v);
        wgmma::commit();
    }
}

/// Adds it to its columns.
#[inline(always)]
fn add<const C: usize>(o: &mut Acc256, product: &Acc64) {
    seq!(N in 0..32 {
        o[32 * C + N] += product[N];
    });
    // Left to itself, the compiler adds later, among the multiplies that overwrite `product`, and ptxas then serialises
    // them all (C7514).
    registers::settle_columns::<C>(o);
}
