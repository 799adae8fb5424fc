//! Thread block clusters. PTX ISA: Special Registers; Data Movement, `mapa`; Parallel Synchronization,
//! `barrier.cluster`.

use core::arch::asm;

/// `%cluster_ctarank`: index of the CTA in its cluster.
#[inline(always)]
pub fn rank() -> u32 {
    let value;
    // SAFETY: reads a register that never changes.
    unsafe {
        asm!("mov.u32 {}, %cluster_ctarank;", out(reg32) value, options(pure, nomem, nostack))
    };
    value
}

/// `mapa.shared::cluster`: where the cluster sees the shared memory that CTA `rank` sees at `address`.
#[inline(always)]
pub fn map_address(address: u32, rank: u32) -> u32 {
    let mapped;
    // SAFETY: arithmetic on an address.
    unsafe {
        asm!(
            "mapa.shared::cluster.u32 {}, {}, {};",
            out(reg32) mapped, in(reg32) address, in(reg32) rank,
            options(pure, nomem, nostack)
        )
    };
    mapped
}

/// `barrier.cluster.arrive.release`: of all threads of the cluster; lanes need not be converged.
///
/// # Safety
/// Every thread of the cluster that has not ended executes it, then [`wait`].
#[inline(always)]
pub unsafe fn arrive() {
    // SAFETY: the caller's promise.
    unsafe { asm!("barrier.cluster.arrive.release;", options(nostack)) };
}

/// `barrier.cluster.wait.acquire`: until all threads of the cluster have arrived. What they wrote before can be
/// read.
///
/// # Safety
/// The thread has executed [`arrive`], once for each wait.
#[inline(always)]
pub unsafe fn wait() {
    // SAFETY: the caller's promise.
    unsafe { asm!("barrier.cluster.wait.acquire;", options(nostack)) };
}

/// `st.async.v4.b32`: 16 bytes to shared memory of another CTA of the cluster, counted on an mbarrier there. Both are
/// addresses of the cluster ([`map_address`]).
///
/// # Safety
/// - `address` is 16-byte aligned and inside that CTA's shared memory, `barrier` expects the bytes in this phase.
/// - The other CTA has not ended.
#[inline(always)]
pub unsafe fn store_async_u32x4(address: u32, words: [u32; 4], barrier: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [{}], {{{}, {}, {}, {}}}, [{}];",
            in(reg32) address,
            in(reg32) words[0], in(reg32) words[1], in(reg32) words[2], in(reg32) words[3],
            in(reg32) barrier,
            options(nostack)
        )
    };
}

/// `st.async.v2.b32`: two floats.
///
/// # Safety
/// As for [`store_async_u32x4`], but for 8 bytes.
#[inline(always)]
pub unsafe fn store_async_f32x2(address: u32, values: [f32; 2], barrier: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.b32 [{}], {{{}, {}}}, [{}];",
            in(reg32) address,
            in(reg32) values[0], in(reg32) values[1],
            in(reg32) barrier,
            options(nostack)
        )
    };
}
