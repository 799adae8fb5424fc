//! Tiles whose inputs several CTAs share.
//!
//! Every CTA of a tile leaves its sums in memory, as its registers hold them, and counts itself. When all have been
//! counted, each CTA adds up its part of the tile over all shares, from the first to the last, whoever came when: two
//! runs agree bit by bit. Whoever has seen that all are there counts once more, and the last of them clears the counter
//! for the next launch. CTAs wait for each other, so they must all be on the GPU together.
//!
//! One thread of a CTA talks to the counter, and counters lie apart: the L2 takes additions to a line one by one, and
//! those of every warp of 132 CTAs to one line took longer than the multiplies of a small product.
//!
//! A *unit* of a CTA's part is 8 tokens of the 16 outputs of a warp: 512 consecutive bytes of each share. The units of a
//! warp are of the same outputs.

use seq_macro::seq;

use super::abi::GemmParams;
use super::config::*;
use super::tiles::Item;
use super::width::Width;
use crate::attention::quad;
use crate::ptx::{barrier, global, special, warp};
use crate::tile::element::Element;

/// Tokens of a unit.
const TOKENS: u32 = 8;
/// Shares that are loaded before any is added, so that a warp waits once for all of them.
const AHEAD: u32 = 8;
/// Units that a warp adds up at once, for the same reason: as many as four shares of 128 tokens leave each warp.
const UNITS: u32 = 4;

/// Leaves the warpgroup's sums of a share.
///
/// # Safety
/// All threads of the warpgroup call it, converged; the workspace of `params` is writable.
#[inline(always)]
pub unsafe fn leave<W: Width>(params: &GemmParams, item: &Item, group: u32, acc: &W::Acc) {
    let thread = special::thread_index() % WARPGROUP;
    let first = partial::<W>(params, item, item.split, group, thread);
    seq!(COLUMN in 0..32 {
        if COLUMN * TOKENS < W::ROWS && item.row + COLUMN * TOKENS < params.shape.m {
            let words = W::four(acc, COLUMN).map(f32::to_bits);
            // SAFETY: inside the share's part of the workspace.
            unsafe { global::store_u32x4(first.wrapping_add(COLUMN * 4 * WARPGROUP as usize).cast(), words) };
        }
    });
}

/// Adds up the CTA's part of the tile, when all shares are there.
///
/// # Safety
/// Both warpgroups call it, each converged, after [`leave`].
#[inline(always)]
pub unsafe fn add_up<E: Element, W: Width>(params: &GemmParams, item: &Item) {
    let counter = arrivals(params, item);
    // Of the warp that has the fewest units.
    let counts = special::thread_index() == CONSUMERS - 1;
    // SAFETY: the CTAs of a tile run together; both warpgroups are here, and the barrier is theirs.
    unsafe {
        barrier::sync::<3, CONSUMERS>();
        if counts {
            global::add_release_u32(counter, 1);
            global::wait_at_least(counter, params.splits);
        }
        barrier::sync::<3, CONSUMERS>();
        // Nobody waits any more when all have seen that all are there.
        if counts && global::add_relaxed_u32(counter, 1) + 1 == 2 * params.splits {
            global::store_relaxed_u32(counter, 0);
        }
        warp::sync();
    }
    let first = item.split + params.splits * special::warp();
    let (mut column, part) = (first / CONSUMER_WARPS, first % CONSUMER_WARPS);
    if item.column + 16 * part >= params.shape.n {
        return;
    }
    let columns = (params.shape.m - item.row).min(W::ROWS).div_ceil(TOKENS);
    while column < columns {
        // SAFETY: all shares are there.
        let sums = unsafe { add::<W>(params, item, part, column, columns) };
        seq!(UNIT in 0..4 {
            if column < columns {
                // SAFETY: the caller's promise.
                unsafe { store::<E>(params, item, part, column, sums[UNIT]) };
            }
            column += params.splits;
        });
    }
}

/// Adds up [`UNITS`] units of the outputs `16 part…`: tokens `8 column…`, and every `splits` columns further, as far as
/// there are.
#[inline(always)]
unsafe fn add<W: Width>(
    params: &GemmParams,
    item: &Item,
    part: u32,
    column: u32,
    columns: u32,
) -> [[f32; 4]; UNITS as usize] {
    let (group, thread) = (part / 4, part % 4 * 32 + special::lane());
    let mut sums = [[0.0; 4]; UNITS as usize];
    let mut share = 0;
    while share < params.splits {
        let mut loaded = [[[0.0; 4]; UNITS as usize]; AHEAD as usize];
        seq!(I in 0..8 {
            if share + I < params.splits {
                let of_share = partial::<W>(params, item, share + I, group, thread);
                seq!(UNIT in 0..4 {
                    let column_~UNIT = column + UNIT * params.splits;
                    if column_~UNIT < columns {
                        let at = of_share.wrapping_add((column_~UNIT * 4 * WARPGROUP) as usize);
                        // SAFETY: the share is there.
                        loaded[I][UNIT] = unsafe { global::load_f32x4_coherent(at) };
                    }
                });
            }
        });
        seq!(I in 0..8 {
            seq!(UNIT in 0..4 {
                sums[UNIT] = core::array::from_fn(|i| sums[UNIT][i] + loaded[I][UNIT][i]);
            });
        });
        share += AHEAD;
    }
    sums
}

/// Stores a unit.
#[inline(always)]
unsafe fn store<E: Element>(
    params: &GemmParams,
    item: &Item,
    part: u32,
    column: u32,
    sums: [f32; 4],
) {
    let lane = special::lane();
    let odd = lane / 4 % 2;
    let token = item.row + column * TOKENS + lane % 4 * 2 + odd;
    // Neighbouring outputs are 4 lanes apart: each of the two lanes gets both of one token.
    let [a, b, c, d] = sums.map(f32::to_bits);
    let upper = quad::exchange::<4>(a, b, odd != 0);
    let lower = quad::exchange::<4>(c, d, odd != 0);
    let output = item.column + 16 * part + lane / 8 * 2;
    seq!(HALF in 0..2 {
        let (left, right) = if HALF == 0 { upper } else { lower };
        let output = output + 8 * HALF;
        if token < params.shape.m && output < params.shape.n {
            let element = u64::from(item.batch) * params.y_stride_batch
                + u64::from(token) * params.y_stride_row
                + u64::from(output);
            let word = E::pack(f32::from_bits(left), f32::from_bits(right));
            // SAFETY: two elements of an existing row.
            unsafe { global::store_u32((params.y + 2 * element) as *mut u32, word) };
        }
    });
}

/// Where a share's sums of the first 8 tokens are that thread `thread` of a warpgroup holds, 4 of them; those of the
/// next 8 tokens are 4 · 128 further.
#[inline(always)]
fn partial<W: Width>(
    params: &GemmParams,
    item: &Item,
    share: u32,
    group: u32,
    thread: u32,
) -> *mut f32 {
    let index = (item.tile * params.splits + share) * GROUPS + group;
    let element = u64::from(index) * u64::from(TILE * W::ROWS) + u64::from(4 * thread);
    (params.partial as *mut f32).wrapping_add(element as usize)
}

/// The counter of a tile.
#[inline(always)]
fn arrivals(params: &GemmParams, item: &Item) -> *mut u32 {
    (params.arrivals as *mut u32).wrapping_add((item.tile * COUNTER_STRIDE) as usize)
}
