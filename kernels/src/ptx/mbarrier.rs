//! Barriers in shared memory that count arrivals and bytes. PTX ISA: Parallel Synchronization, `mbarrier`.
//!
//! A phase completes when all its arrivals have come *and* the bytes expected have been written. Phases
//! alternate in parity, starting with 0. [`wait`] for the parity opposite to the current phase returns at
//! once, which is how the first use of an empty buffer gets through.

use core::arch::asm;

/// `mbarrier.init`: a barrier that `arrivals` arrivals complete.
///
/// # Safety
/// - `address` is 8-byte aligned, inside shared memory, and nobody uses it yet.
/// - [`super::fence::mbarrier_init`] and a CTA-wide barrier come before its first use.
#[inline(always)]
pub unsafe fn init(address: u32, arrivals: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("mbarrier.init.shared::cta.b64 [{}], {};", in(reg32) address, in(reg32) arrivals, options(nostack))
    };
}

/// `mbarrier.arrive`: one arrival, with release semantics for the CTA.
///
/// # Safety
/// `address` is an initialised barrier whose current phase still lacks an arrival.
#[inline(always)]
pub unsafe fn arrive(address: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("mbarrier.arrive.release.cta.shared::cta.b64 _, [{}];", in(reg32) address, options(nostack))
    };
}

/// `mbarrier.arrive` on a barrier of any CTA of the cluster, by its address in the cluster
/// ([`super::cluster::map_address`]), with release semantics for this CTA alone: enough to say that a buffer has
/// been *read*. (`.release.cluster` is a fence of all global memory.)
///
/// # Safety
/// As for [`arrive`]; the other CTA has not ended.
#[inline(always)]
pub unsafe fn arrive_cluster(address: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("mbarrier.arrive.release.cta.shared::cluster.b64 _, [{}];", in(reg32) address, options(nostack))
    };
}

/// `mbarrier.arrive.expect_tx`: announces `bytes` that asynchronous copies will write in this phase, then
/// arrives once.
///
/// # Safety
/// As for [`arrive`]; exactly `bytes` bytes are copied with this barrier in this phase; under 2^20.
#[inline(always)]
pub unsafe fn arrive_expect(address: u32, bytes: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [{}], {};",
            in(reg32) address, in(reg32) bytes,
            options(nostack)
        )
    };
}

/// `mbarrier.try_wait.parity` until the phase of `parity` has completed, with acquire semantics: what the
/// arriving threads wrote, and what the asynchronous copies wrote, can be read.
///
/// # Safety
/// `address` is an initialised barrier; `parity` is 0 or 1 and names the current phase or the one before.
#[inline(always)]
pub unsafe fn wait(address: u32, parity: u32) {
    // SAFETY: the caller's promise.
    while !unsafe { try_wait(address, parity) } {}
}

/// One attempt of [`wait`]; suspends the thread for a while that the hardware chooses.
#[inline(always)]
unsafe fn try_wait(address: u32, parity: u32) -> bool {
    let done: u32;
    // SAFETY: the promise of `wait`'s caller.
    unsafe {
        asm!(
            "{{ .reg .pred done;",
            "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 done, [{address}], {parity};",
            "selp.b32 {result}, 1, 0, done; }}",
            address = in(reg32) address,
            parity = in(reg32) parity,
            result = out(reg32) done,
            options(nostack)
        )
    };
    done != 0
}
