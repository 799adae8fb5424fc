//! The warpgroups that multiply.

use seq_macro::seq;

use super::abi::GemmParams;
use super::config::*;
use super::output::Output;
use super::ring::{self, Ring};
use super::split;
use super::tiles::Tiles;
use super::width::Width;
use crate::ptx::tma::TensorMapAddress;
use crate::ptx::{mbarrier, registers, special, wgmma};
use crate::tile::descriptor;
use crate::tile::element::Element;

/// Runs a warpgroup: a share of a tile at a time, each to its end.
///
/// # Safety
/// Both warpgroups call it, each converged; map and `params` are valid for the launch.
#[inline(always)]
pub unsafe fn run<E: Element, W: Width>(
    y: TensorMapAddress,
    params: &GemmParams,
    tiles: &Tiles,
    shared: u32,
) {
    let group = special::warp() / (WARPGROUP / 32);
    let mut ring = Ring::new(shared);
    let mut output = Output::new(shared, group);
    let mut index = special::cta_x() / W::CLUSTER;
    // SAFETY: the warpgroup is converged; zero bits are 0.0.
    unsafe {
        while index < tiles.items() {
            let item = tiles.item(index).of_cta::<W>();
            let blocks = item.end - item.block;
            let met = W::CLUSTER == 1 && params.splits > 1;
            if item.column + group * TILE < params.shape.n {
                let mut acc: W::Acc = core::mem::zeroed();
                multiply::<E, W>(&mut acc, &mut ring, group, blocks);
                if met {
                    split::leave::<W>(params, &item, group, &acc);
                } else {
                    output.store::<E, W>(y, &params.shape, &item, &acc);
                }
            } else {
                pass::<W>(&mut ring, blocks);
            }
            if met {
                split::add_up::<E, W>(params, &item);
            }
            index += special::grid_x() / W::CLUSTER;
        }
        output.drain();
    }
}

/// Adds up `blocks` blocks, at least one. The multiplies of a block are queued before those of the one in front of it
/// are done, and its stage goes back when they are.
#[inline(always)]
unsafe fn multiply<E: Element, W: Width>(
    acc: &mut W::Acc,
    ring: &mut Ring,
    group: u32,
    blocks: u32,
) {
    // SAFETY: the caller's promise; a stage is read after it has landed, and given back when the multiplies that read
    // it are done.
    unsafe {
        issue::<E, W>(acc, ring, group);
        let mut read = ring.empty();
        ring.advance::<W>();
        let mut left = blocks - 1;
        while left > 0 {
            issue::<E, W>(acc, ring, group);
            wgmma::wait::<1>();
            ring::release::<W>(read);
            read = ring.empty();
            ring.advance::<W>();
            left -= 1;
        }
        W::wait(acc);
        ring::release::<W>(read);
    }
}

/// Goes past blocks of which the warpgroup has no outputs: gives stages back as they land.
#[inline(always)]
unsafe fn pass<W: Width>(ring: &mut Ring, blocks: u32) {
    let mut left = blocks;
    while left > 0 {
        // SAFETY: the caller's promise.
        unsafe {
            mbarrier::wait(ring.full(), ring.parity);
            ring::release::<W>(ring.empty());
        }
        ring.advance::<W>();
        left -= 1;
    }
}

/// The four steps of a block. Closes a group.
#[inline(always)]
unsafe fn issue<E: Element, W: Width>(acc: &mut W::Acc, ring: &Ring, group: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        mbarrier::wait(ring.full(), ring.parity);
        // Hidden from the compiler, which would keep the descriptors of all stages in registers.
        let weight = descriptor::k_major(registers::opaque(ring.weight::<W>(group)));
        let x = descriptor::k_major(registers::opaque(ring.x::<W>(0)));
        wgmma::fence();
        seq!(STEP in 0..4 {
            let a = descriptor::k_major_step(weight, STEP);
            W::multiply::<E>(acc, a, descriptor::k_major_step(x, STEP));
        });
        wgmma::commit();
    }
}
