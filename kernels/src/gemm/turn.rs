//! Rotation of the rope part of queries, by warps that have nothing else to do.
//!
//! A row is 64 elements of a token's head, eight lanes of 16 bytes: a warp loads four rows at once, and four times as
//! many before it waits.

use seq_macro::seq;

use super::abi::Turns;
use super::config::TURNING_WARPS;
use crate::ptx::{global, math, special};
use crate::tile::element::Element;

/// Rows of a warp's load.
const ROWS: u32 = 4;
/// Loads before the first is waited for.
const AHEAD: u32 = 4;

/// What a lane has of a row: eight elements, packed, and cosine and sine of its four pairs.
#[derive(Clone, Copy, Default)]
struct Part {
    elements: [u32; 4],
    turns: [[u32; 4]; 2],
}

/// Rotates this warp's share of all rows.
///
/// # Safety
/// The `TURNING_WARPS` warps of every CTA call it, each converged; `turns` is valid for the launch.
#[inline(always)]
pub unsafe fn run<E: Element>(turns: &Turns, warp: u32) {
    let rows = turns.tokens * turns.heads;
    let mut first = (special::cta_x() * TURNING_WARPS + warp) * ROWS * AHEAD;
    while first < rows {
        let lane_row = first + special::lane() / 8;
        let mut parts = [Part::default(); AHEAD as usize];
        // SAFETY: rows that exist.
        unsafe {
            seq!(I in 0..4 {
                if lane_row + ROWS * I < rows {
                    parts[I] = load(turns, lane_row + ROWS * I);
                }
            });
            seq!(I in 0..4 {
                if lane_row + ROWS * I < rows {
                    store::<E>(turns, lane_row + ROWS * I, &parts[I]);
                }
            });
        }
        first += special::grid_x() * TURNING_WARPS * ROWS * AHEAD;
    }
}

#[inline(always)]
unsafe fn load(turns: &Turns, row: u32) -> Part {
    let (token, head) = (row / turns.heads, row % turns.heads);
    let (request, index) = (token / turns.tokens_per_request, token % turns.tokens_per_request);
    // SAFETY: the caller's promise.
    unsafe {
        let from =
            element(turns.from, [turns.from_stride_token, turns.from_stride_head], [token, head]);
        let elements = global::load_u32x4(from as *const u32);
        let length = global::load_i32((turns.lengths as *const i32).wrapping_add(request as usize));
        // A request with more new tokens than tokens has negative positions, which are large here.
        let position = (length as u32).wrapping_sub(turns.tokens_per_request - index);
        if position >= turns.positions {
            return Part::default();
        }
        let pair = u64::from(position) * 32 + u64::from(special::lane() % 8 * 4);
        let pairs = (turns.rotations + 8 * pair) as *const u32;
        let table = [global::load_u32x4(pairs), global::load_u32x4(pairs.wrapping_add(4))];
        Part { elements, turns: table }
    }
}

#[inline(always)]
unsafe fn store<E: Element>(turns: &Turns, row: u32, part: &Part) {
    let (token, head) = (row / turns.heads, row % turns.heads);
    let mut turned = [0; 4];
    seq!(PAIR in 0..4 {
        let [x, y] = E::unpack(part.elements[PAIR]);
        let cos = f32::from_bits(part.turns[PAIR / 2][PAIR % 2 * 2]);
        let sin = f32::from_bits(part.turns[PAIR / 2][PAIR % 2 * 2 + 1]);
        turned[PAIR] = E::pack(math::fma(x, cos, -(y * sin)), math::fma(x, sin, y * cos));
    });
    let to = element(turns.to, [turns.to_stride_token, turns.to_stride_head], [token, head]);
    // SAFETY: the caller's promise.
    unsafe { global::store_u32x4(to as *mut u32, turned) };
}

/// Address of this lane's eight elements of a row.
#[inline(always)]
fn element(base: u64, strides: [u64; 2], [token, head]: [u32; 2]) -> u64 {
    let row = u64::from(token) * strides[0] + u64::from(head) * strides[1];
    base + 2 * (row + u64::from(special::lane() % 8 * 8))
}
