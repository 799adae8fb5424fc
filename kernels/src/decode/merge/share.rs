//! A CTA's share of a tile.

use seq_macro::seq;

use super::sums::Sums;
use super::task::Task;
use super::{SUMS, WARPS};
use crate::abi::DenseDecodeParams;
use crate::attention::epilogue::{self, CHUNK, PAIRS};
use crate::attention::quad;
use crate::attention::rows::Tile;
use crate::attention::sink::Sinks;
use crate::decode::dense::config::MERGE_GROUP;
use crate::ptx::{barrier, global, special};
use crate::tile::element::Element;

/// Up to so many CTAs, each has so many units that every warp takes four at a time.
const FEW_PARTS: u32 = 4;

/// A task, and what it needs.
pub struct Share<'a> {
    pub params: &'a DenseDecodeParams,
    pub tile: &'a Tile,
    /// Scores beside those of the pieces.
    pub sinks: Sinks,
    pub task: Task,
    /// Shared memory through which teams exchange their sums.
    pub scratch: u32,
}

impl Share<'_> {
    /// Merges the units of this CTA.
    ///
    /// Few CTAs have many units each: every warp takes four at a time. Many have few: one at a time, and where
    /// there are fewer units than warps, the warps of a team take turns with the pieces of one. (With pieces of
    /// a fixed length the order of the sum must not depend on how many CTAs there are: one at a time, and no
    /// teams.)
    #[inline(always)]
    pub unsafe fn merge<E: Element>(&self) {
        let Task { parts, index, .. } = self.task;
        let units = self.tile.count().div_ceil(16) * PAIRS;
        let fixed = self.params.cut.is_fixed();
        // SAFETY: eight converged warps, as the caller promises.
        unsafe {
            if parts <= FEW_PARTS && !fixed {
                let mut unit = 4 * (index + parts * special::warp());
                while unit < units {
                    let sums = self.add_up::<E, 4, 2>(unit, 0, 1);
                    seq!(U in 0..4 { self.store::<E, 4>(unit + U, &sums, U); });
                    unit += 4 * parts * WARPS;
                }
                return;
            }
            let most = units.div_ceil(parts);
            let team = if fixed || most >= WARPS { 1 } else { WARPS / most.next_power_of_two() };
            let teams = WARPS / team;
            let mut round = 0;
            while round * teams < most {
                let unit = index + parts * (round * teams + special::warp() / team);
                self.merge_as_team::<E>(unit, unit < units, team);
                round += 1;
            }
        }
    }

    /// One unit, by a team of warps.
    #[inline(always)]
    unsafe fn merge_as_team<E: Element>(&self, unit: u32, exists: bool, team: u32) {
        let member = special::warp() % team;
        let mine = self.scratch + (special::warp() * SUMS * 32 + special::lane()) * 4;
        // SAFETY: eight converged warps; the scratch memory is theirs.
        unsafe {
            let mut sums = Sums::<1>::new();
            if exists {
                sums = self.add_up::<E, 1, 8>(unit, member, team);
            }
            if team > 1 {
                if member != 0 {
                    sums.store(mine);
                }
                barrier::sync::<MERGE_GROUP, { 32 * WARPS }>();
                if member == 0 {
                    let mut other = 1;
                    while other < team {
                        sums.add(&Sums::load(mine + other * SUMS * 32 * 4));
                        other += 1;
                    }
                }
                barrier::sync::<MERGE_GROUP, { 32 * WARPS }>();
            }
            if exists && member == 0 {
                self.store::<E, 1>(unit, &sums, 0);
            }
        }
    }

    /// Sums of every `team`-th piece of `N` units, from piece `member` on, `AHEAD` of them loaded at a time.
    #[inline(always)]
    unsafe fn add_up<E: Element, const N: usize, const AHEAD: usize>(
        &self,
        unit: u32,
        member: u32,
        team: u32,
    ) -> Sums<N> {
        let (row, pair) = place(unit);
        let thread = row / 16 * 32 + special::lane();
        let mut sums = Sums::new();
        let mut piece = member;
        while piece < self.task.pieces {
            let mut lse = [[f32::NEG_INFINITY; 2]; AHEAD];
            let mut words = [[[0; 4]; N]; AHEAD];
            seq!(I in 0..8 {
                if I < AHEAD && piece + I * team < self.task.pieces {
                    let slot = self.task.slots.of(piece + I * team);
                    let at = epilogue::partial_pair(self.params, self.tile, slot, pair, thread);
                    // SAFETY: the piece has arrived.
                    unsafe {
                        seq!(U in 0..4 {
                            if U < N {
                                let at = at.wrapping_add(U * 128 * 8);
                                words[I % AHEAD][U % N] = global::load_b16x8_coherent(at);
                            }
                        });
                        lse[I % AHEAD] = self.lse(slot, row);
                    }
                }
            });
            sums.add_pieces::<E, AHEAD>(&lse, &words);
            piece += AHEAD as u32 * team;
        }
        sums
    }

    /// LSE of this lane's two rows of a piece, base 2.
    #[inline(always)]
    unsafe fn lse(&self, slot: u32, row: u32) -> [f32; 2] {
        let row = row + special::lane() / 4;
        [row, row + 8].map(|row| {
            if self.tile.contains(row) {
                let at = epilogue::partial_lse(self.params, self.tile, slot, row);
                // SAFETY: an existing row of a piece that has arrived.
                unsafe { global::load_f32_coherent(at) }
            } else {
                f32::NEG_INFINITY
            }
        })
    }

    /// Writes a unit: `which` of those of `sums`.
    #[inline(always)]
    unsafe fn store<E: Element, const N: usize>(&self, unit: u32, sums: &Sums<N>, which: usize) {
        let Self { params, tile, sinks, task, .. } = self;
        let (first_row, pair) = place(unit);
        let row = first_row + special::lane() / 4;
        let (factor, log2_sum) = sums.finish(sinks.of_rows(tile, [row, row + 8]));
        let lane = special::lane() % 4;
        let odd = !lane.is_multiple_of(2);
        // Two lanes exchange a word each, for 8 consecutive bytes of one chunk.
        let column = pair * 2 * CHUNK + if odd { CHUNK + 2 * (lane - 1) } else { 2 * lane };
        seq!(R in 0..2 {
            let row = first_row + special::lane() / 4 + 8 * R;
            let [a, b, c, d] = sums.values[which % N][R].map(|value| value * factor[R]);
            let (first, second) = quad::exchange::<1>(E::pack(a, b), E::pack(c, d), odd);
            if tile.contains(row) {
                let out = epilogue::output_row(params, tile, task.request, row);
                // SAFETY: columns of an existing row, and its LSE.
                unsafe {
                    global::store_b16x4(out.wrapping_add(column as usize), [first, second]);
                    if pair == 0 && lane == 0 {
                        let lse = epilogue::lse_address(params, tile, task.request, row);
                        global::store_f32(lse, log2_sum[R] * core::f32::consts::LN_2);
                    }
                }
            }
        });
    }
}

/// First row and pair of chunks of a unit.
#[inline(always)]
fn place(unit: u32) -> (u32, u32) {
    (unit / PAIRS * 16, unit % PAIRS)
}
