//! Half of a block's output, with P in registers.

use seq_macro::seq;

use crate::ptx::wgmma::{self, Acc256, FragmentA};
use crate::tile::descriptor;
use crate::tile::element::Element;

/// `o += P · V` for the V tiles from `v` on, 64 tokens in 4 steps. Closes a group.
///
/// # Safety
/// The four warps of a warpgroup call it, converged; V has landed, and neither it nor `p` changes until the group has
/// been waited for.
#[inline(always)]
pub unsafe fn issue_output<E: Element>(o: &mut Acc256, p: &[FragmentA; 4], v: u32) {
    let v = descriptor::mn_major(v);
    // SAFETY: the caller's promise.
    unsafe {
        wgmma::fence();
        seq!(K in 0..4 {
            E::multiply_256_fragment(o, &p[K], descriptor::mn_major_step(v, K));
        });
        wgmma::commit();
    }
}
