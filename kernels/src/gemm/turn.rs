//! Rotation of the rope part of queries, by warps that have nothing else to do.
//!
//! A row is 64 elements of a token's head, eight lanes of 16 bytes, so a warp loads four heads of a token at once. It
//! takes 32 of them before it waits for any: what turns is bound by the latency of memory, not by arithmetic. All heads
//! of a token turn by the same angles, which are loaded once.

use seq_macro::seq;

use super::abi::Turns;
use super::config::TURNING_WARPS;
use crate::ptx::{global, math, special};
use crate::tile::element::Element;

/// Heads of a warp's load.
const HEADS: u32 = 4;
/// Loads before the first is waited for.
const AHEAD: u32 = 8;

/// Rotates this warp's share of all rows.
///
/// # Safety
/// The `TURNING_WARPS` warps of every CTA call it, each converged; `turns` is valid for the launch.
#[inline(always)]
pub unsafe fn run<E: Element>(turns: &Turns, warp: u32) {
    let parts = turns.heads.div_ceil(HEADS * AHEAD);
    let mut part = special::cta_x() * TURNING_WARPS + warp;
    while part < turns.tokens * parts {
        let (token, first) = (part / parts, part % parts * HEADS * AHEAD);
        // SAFETY: a token that exists.
        unsafe { heads::<E>(turns, token, first + special::lane() / 8) };
        part += special::grid_x() * TURNING_WARPS;
    }
}

/// Turns heads `first`, `first + 4`, … of a token, as many as there are of [`AHEAD`].
#[inline(always)]
unsafe fn heads<E: Element>(turns: &Turns, token: u32, first: u32) {
    let mut elements = [[0; 4]; AHEAD as usize];
    // SAFETY: heads that exist.
    unsafe {
        seq!(I in 0..8 {
            if first + HEADS * I < turns.heads {
                let strides = [turns.from_stride_token, turns.from_stride_head];
                let from = element(turns.from, strides, [token, first + HEADS * I]);
                elements[I] = global::load_u32x4(from as *const u32);
            }
        });
        let angles = angles(turns, token);
        seq!(I in 0..8 {
            if first + HEADS * I < turns.heads {
                let strides = [turns.to_stride_token, turns.to_stride_head];
                let to = element(turns.to, strides, [token, first + HEADS * I]);
                global::store_u32x4(to as *mut u32, turned::<E>(elements[I], &angles));
            }
        });
    }
}

/// Cosine and sine of this lane's four pairs; `None` where the token is at no position.
#[inline(always)]
unsafe fn angles(turns: &Turns, token: u32) -> Option<[[u32; 4]; 2]> {
    let (request, index) = (token / turns.tokens_per_request, token % turns.tokens_per_request);
    // SAFETY: the caller's promise.
    unsafe {
        let length = global::load_i32((turns.lengths as *const i32).wrapping_add(request as usize));
        // A request with more new tokens than tokens has negative positions, which are large here.
        let position = (length as u32).wrapping_sub(turns.tokens_per_request - index);
        if position >= turns.positions {
            return None;
        }
        let pair = u64::from(position) * 32 + u64::from(special::lane() % 8 * 4);
        let pairs = (turns.rotations + 8 * pair) as *const u32;
        Some([global::load_u32x4(pairs), global::load_u32x4(pairs.wrapping_add(4))])
    }
}

/// Eight elements, packed, turned; zeros without angles.
#[inline(always)]
fn turned<E: Element>(elements: [u32; 4], angles: &Option<[[u32; 4]; 2]>) -> [u32; 4] {
    let mut turned = [0; 4];
    let Some(angles) = angles else { return turned };
    seq!(PAIR in 0..4 {
        let [x, y] = E::unpack(elements[PAIR]);
        let cos = f32::from_bits(angles[PAIR / 2][PAIR % 2 * 2]);
        let sin = f32::from_bits(angles[PAIR / 2][PAIR % 2 * 2 + 1]);
        turned[PAIR] = E::pack(math::fma(x, cos, -(y * sin)), math::fma(x, sin, y * cos));
    });
    turned
}

/// Address of this lane's eight elements of a row.
#[inline(always)]
fn element(base: u64, strides: [u64; 2], [token, head]: [u32; 2]) -> u64 {
    let row = u64::from(token) * strides[0] + u64::from(head) * strides[1];
    base + 2 * (row + u64::from(special::lane() % 8 * 8))
}
