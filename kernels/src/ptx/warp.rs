//! Communication inside a warp. PTX ISA: Data Movement, `shfl.sync`; Parallel Synchronization,
//! `vote.sync`.
//!
//! All 32 lanes take part in each of these, converged.

use core::arch::asm;

unsafe extern "C" {
    #[link_name = "llvm.nvvm.bar.warp.sync"]
    fn sync_lanes(lanes: u32);
}

const ALL: u32 = 0xffff_ffff;

/// `bar.warp.sync`: what the lanes wrote before it, all of them can read after it.
#[inline(always)]
pub fn sync() {
    // SAFETY: full mask, and every lane of a warp calls it.
    unsafe { sync_lanes(ALL) };
}

/// `shfl.sync.idx`: the value of lane `source`, in all lanes.
#[inline(always)]
pub fn broadcast(value: u32, source: u32) -> u32 {
    let result;
    // SAFETY: exchanges registers only; full mask, and every lane of a warp calls it.
    unsafe {
        asm!(
            "shfl.sync.idx.b32 {}, {}, {}, 31, {};",
            out(reg32) result, in(reg32) value, in(reg32) source, in(reg32) ALL,
            options(nostack)
        )
    };
    result
}

/// `shfl.sync.bfly` of an `f32`: the value of the lane whose index differs in the bits of `MASK`.
#[inline(always)]
pub fn butterfly<const MASK: u32>(value: f32) -> f32 {
    let result;
    // SAFETY: as in `broadcast`.
    unsafe {
        asm!(
            "shfl.sync.bfly.b32 {}, {}, {}, 31, {};",
            out(reg32) result, in(reg32) value, const MASK, in(reg32) ALL,
            options(nostack)
        )
    };
    result
}

/// `shfl.sync.up`: the value `DELTA` lanes below, or zero where there is none.
#[inline(always)]
pub fn up_or_zero<const DELTA: u32>(value: u32) -> u32 {
    let result;
    // SAFETY: as in `broadcast`. The predicate says whether the source lane exists.
    unsafe {
        asm!(
            "{{ .reg .pred p;",
            "shfl.sync.up.b32 {r}|p, {v}, {d}, 0, {m};",
            "selp.b32 {r}, {r}, 0, p; }}",
            r = out(reg32) result, v = in(reg32) value, d = const DELTA, m = in(reg32) ALL,
            options(nostack)
        )
    };
    result
}

/// `redux.sync.add.u32`: the sum over all lanes.
#[inline(always)]
pub fn sum(value: u32) -> u32 {
    let result;
    // SAFETY: as in `broadcast`.
    unsafe {
        asm!(
            "redux.sync.add.u32 {}, {}, {};",
            out(reg32) result, in(reg32) value, in(reg32) ALL,
            options(nostack)
        )
    };
    result
}

/// `redux.sync.max.u32`: the largest over all lanes.
#[inline(always)]
pub fn max(value: u32) -> u32 {
    let result;
    // SAFETY: as in `broadcast`.
    unsafe {
        asm!(
            "redux.sync.max.u32 {}, {}, {};",
            out(reg32) result, in(reg32) value, in(reg32) ALL,
            options(nostack)
        )
    };
    result
}

/// `vote.sync.ballot`: one bit for each lane whose `condition` holds.
#[inline(always)]
pub fn ballot(condition: bool) -> u32 {
    let result;
    // SAFETY: as in `broadcast`.
    unsafe {
        asm!(
            "{{ .reg .pred p; setp.ne.b32 p, {c}, 0;",
            "vote.sync.ballot.b32 {r}, p, {m}; }}",
            r = out(reg32) result, c = in(reg32) u32::from(condition), m = in(reg32) ALL,
            options(nostack)
        )
    };
    result
}

/// `vote.sync.all`: whether `condition` holds in every lane.
#[inline(always)]
pub fn all(condition: bool) -> bool {
    ballot(condition) == ALL
}

/// Whether `condition` holds in any lane. All lanes of a warp call it, converged.
#[inline(always)]
pub fn any(condition: bool) -> bool {
    ballot(condition) != 0
}
