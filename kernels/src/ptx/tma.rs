//! The tensor memory accelerator. PTX ISA: Data Movement, `cp.async.bulk.tensor`, `prefetch.tensormap`.
//!
//! A tensor map is an opaque 128-byte description of a tensor and of the box that one instruction copies;
//! the host encodes it and passes it by value. Here it is the address of that kernel parameter.

use core::arch::asm;

/// A tensor map passed by value: opaque, 128 bytes. `xtask ptx` raises the alignment of the parameter to
/// the 64 bytes the hardware wants, which rustc cannot express.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TensorMap([u64; 16]);

/// Generic address of a [`TensorMap`] parameter.
#[derive(Clone, Copy)]
pub struct TensorMapAddress(pub u64);

/// Keep a line of L2 no longer than needed: what each SM streams once. Encoded as the driver's headers do
/// (`createpolicy` with evict_first for every line).
const EVICT_FIRST: u64 = 0x12f0_0000_0000_0000;

/// `prefetch.tensormap`: brings the description into the cache of the TMA unit.
#[inline(always)]
pub fn prefetch(map: TensorMapAddress) {
    // SAFETY: a hint.
    unsafe { asm!("prefetch.tensormap [{}];", in(reg64) map.0, options(nostack)) };
}

/// `cp.async.bulk.tensor.4d`: copies the box at `coordinates` (innermost first, in elements) to shared
/// memory, and counts its full size in bytes on `barrier`, elements out of bounds included (they arrive
/// as zeros).
///
/// # Safety
/// - One thread issues it.
/// - `destination` is aligned as the swizzle of the map asks (1,024 bytes for 128-byte swizzle) and the box
///   fits into shared memory there; nobody reads or writes it until `barrier` completes.
/// - `barrier` expects the bytes in its current phase.
#[inline(always)]
pub unsafe fn load_4d(
    map: TensorMapAddress,
    destination: u32,
    barrier: u32,
    coordinates: [u32; 4],
) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.L2::cache_hint",
            "[{dst}], [{map}, {{{c0}, {c1}, {c2}, {c3}}}], [{bar}], {policy};",
            dst = in(reg32) destination, map = in(reg64) map.0, bar = in(reg32) barrier,
            c0 = in(reg32) coordinates[0], c1 = in(reg32) coordinates[1],
            c2 = in(reg32) coordinates[2], c3 = in(reg32) coordinates[3],
            policy = in(reg64) EVICT_FIRST,
            options(nostack)
        )
    };
}

/// [`load_4d`] without the hint: lines stay in the L2 like those of any other access.
///
/// # Safety
/// As for [`load_4d`].
#[inline(always)]
pub unsafe fn load_4d_normal(
    map: TensorMapAddress,
    destination: u32,
    barrier: u32,
    coordinates: [u32; 4],
) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes",
            "[{dst}], [{map}, {{{c0}, {c1}, {c2}, {c3}}}], [{bar}];",
            dst = in(reg32) destination, map = in(reg64) map.0, bar = in(reg32) barrier,
            c0 = in(reg32) coordinates[0], c1 = in(reg32) coordinates[1],
            c2 = in(reg32) coordinates[2], c3 = in(reg32) coordinates[3],
            options(nostack)
        )
    };
}

/// [`load_4d_normal`] into every CTA of the cluster whose bit is set in `ctas`: to the same address, and counted
/// on the barrier at the same address, in each.
///
/// # Safety
/// As for [`load_4d`], in each of these CTAs; none of them has ended.
#[inline(always)]
pub unsafe fn load_4d_multicast(
    map: TensorMapAddress,
    destination: u32,
    barrier: u32,
    coordinates: [u32; 4],
    ctas: u16,
) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster",
            "[{dst}], [{map}, {{{c0}, {c1}, {c2}, {c3}}}], [{bar}], {ctas};",
            dst = in(reg32) destination, map = in(reg64) map.0, bar = in(reg32) barrier,
            c0 = in(reg32) coordinates[0], c1 = in(reg32) coordinates[1],
            c2 = in(reg32) coordinates[2], c3 = in(reg32) coordinates[3],
            ctas = in(reg16) ctas,
            options(nostack)
        )
    };
}

/// `cp.async.bulk.tensor.4d.global.shared::cta`: copies a box from shared memory to `coordinates` (innermost first, in
/// elements), as part of the thread's next bulk group ([`super::bulk`]); elements out of bounds are left out.
///
/// # Safety
/// - One thread issues it, after what was written to `source` has been ordered before the async proxy
///   ([`super::fence::proxy_async_shared`] and a barrier).
/// - `source` is aligned as the swizzle of the map asks (1,024 bytes for 128-byte swizzle), the box lies in shared
///   memory there, and nobody writes it until the group has been waited for.
/// - The tensor is writable, and nobody else reads or writes the box.
#[inline(always)]
pub unsafe fn store_4d(map: TensorMapAddress, source: u32, coordinates: [u32; 4]) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group",
            "[{map}, {{{c0}, {c1}, {c2}, {c3}}}], [{src}];",
            map = in(reg64) map.0, src = in(reg32) source,
            c0 = in(reg32) coordinates[0], c1 = in(reg32) coordinates[1],
            c2 = in(reg32) coordinates[2], c3 = in(reg32) coordinates[3],
            options(nostack)
        )
    };
}

/// Generic address of a kernel parameter, by the name that rustc gives it in PTX: `<kernel>_param_<index>`.
/// PTX ISA: Data Movement, `cvta.param`.
///
/// A macro because the name is part of the instruction. Rust's own `&map` would copy the map to local
/// memory, where the TMA unit cannot read it.
macro_rules! tensor_map_parameter {
    ($symbol:literal) => {{
        let address: u64;
        // SAFETY: takes the address of a parameter of the kernel this expands in.
        unsafe {
            core::arch::asm!(
                concat!("mov.b64 {0}, ", $symbol, ";"),
                "cvta.param.u64 {0}, {0};",
                out(reg64) address,
                options(pure, nomem, nostack)
            )
        };
        $crate::ptx::tma::TensorMapAddress(address)
    }};
}
pub(crate) use tensor_map_parameter;
