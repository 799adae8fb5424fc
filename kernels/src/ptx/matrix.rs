//! Warp-wide matrix loads and stores. PTX ISA: Warp Level Matrix Instructions, `ldmatrix`, `stmatrix`.

use core::arch::asm;

/// `ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16`: four 8 × 8 matrices of 16-bit elements, each transposed.
///
/// Lane `l` gives the address of row `l % 8` of matrix `l / 8`; register `i` of lane `l` receives elements `l / 4` of rows
/// `2 (l % 4)` and `2 (l % 4) + 1` of matrix `i`.
///
/// # Safety
/// - All lanes are converged.
/// - Each address is 16-byte aligned, and 16 bytes from it are inside the CTA's shared memory.
#[inline(always)]
pub unsafe fn load_x4_transposed(address: u32) -> [u32; 4] {
    let (a, b, c, d);
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {{{}, {}, {}, {}}}, [{}];",
            out(reg32) a, out(reg32) b, out(reg32) c, out(reg32) d, in(reg32) address,
            options(readonly, nostack)
        )
    };
    [a, b, c, d]
}

/// `stmatrix.sync.aligned.m8n8.x4.shared.b16`: four 8 × 8 matrices of 16-bit elements.
///
/// Lane `l` gives the address of row `l % 8` of matrix `l / 8`; register `i` of lane `l` holds elements
/// `2 (l % 4)` and `2 (l % 4) + 1` of row `l / 4` of matrix `i`. A generic-proxy write.
///
/// # Safety
/// - All lanes are converged.
/// - Each address is 16-byte aligned, and 16 bytes from it are inside the CTA's shared memory.
#[inline(always)]
pub unsafe fn store_x4(address: u32, fragments: [u32; 4]) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "stmatrix.sync.aligned.m8n8.x4.shared.b16 [{}], {{{}, {}, {}, {}}};",
            in(reg32) address,
            in(reg32) fragments[0], in(reg32) fragments[1],
            in(reg32) fragments[2], in(reg32) fragments[3],
            options(nostack)
        )
    };
}

/// `stmatrix.sync.aligned.m8n8.x4.trans.shared.b16`: [`store_x4`], each matrix transposed. Register `i` of lane `l` holds
/// elements `l / 4` of rows `2 (l % 4)` and `2 (l % 4) + 1` of matrix `i`.
///
/// # Safety
/// As for [`store_x4`].
#[inline(always)]
pub unsafe fn store_x4_transposed(address: u32, fragments: [u32; 4]) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [{}], {{{}, {}, {}, {}}};",
            in(reg32) address,
            in(reg32) fragments[0], in(reg32) fragments[1],
            in(reg32) fragments[2], in(reg32) fragments[3],
            options(nostack)
        )
    };
}
