//! Merge of split requests, at the end of the decode kernel.
//!
//! A row is the sum of its partial outputs, weighted by 2^(their LSE − the common LSE). The CTAs that worked on a
//! tile of a request share its columns among each other: each waits until all partial results of the tile are
//! there, and merges its share of them. That is why the CTAs of a launch with split requests must all be on the
//! GPU together (a cooperative launch). Whoever comes last to the counter of arrivals clears it for the next launch.
//!
//! Pieces are added up in an order that does not depend on who comes when, so that two runs agree bit by bit.
//! Requests without tokens, which nobody visits, get their 0 and −∞ here.
//!
//! The producer waits and hands out *tasks*; eight warps do them. A *unit* of one is 16 rows of a pair of chunks.
//! Partial outputs lie in memory as a warpgroup's registers held them, so that a warp loads whole cache lines.

/// Warps that merge.
pub const WARPS: u32 = 8;
/// Bytes of shared memory of a task.
pub const TASK_BYTES: u32 = 32;
/// Bytes of shared memory that teams of warps exchange sums through.
pub const SCRATCH_BYTES: u32 = WARPS * SUMS * 32 * 4;
/// Numbers that a lane of a team hands over: reference and sum of two rows, and its columns.
const SUMS: u32 = 12;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::{clear_empty_requests, hand_out, run};

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use seq_macro::seq;

    use super::{SUMS, WARPS};
    use crate::abi::DenseDecodeParams;
    use crate::attention::epilogue::{self, CHUNK, PAIRS};
    use crate::attention::quad;
    use crate::attention::rows::Tile;
    use crate::decode::dense::config::{MERGE_GROUP, Q, TASK, TASK_EMPTY, TASK_FULL};
    use crate::decode::schedule::{self, Split};
    use crate::decode::walk::{Shared, Walk};
    use crate::ptx::{barrier, global, math, mbarrier, shared, special, warp};
    use crate::tile::element::Element;
    use crate::tile::uniform;

    /// Up to so many CTAs, each has so many units that every warp takes four at a time.
    const FEW_PARTS: u32 = 4;
    /// Below every real LSE, and finite: the difference of two of them is 0, not NaN.
    const NO_REFERENCE: f32 = -1.0e30;

    /// A CTA's share of a tile of a split request.
    #[derive(Clone, Copy)]
    struct Task {
        request: u32,
        /// Partial results of the tile.
        pieces: u32,
        /// CTAs that share it; 0 when there are no more tasks.
        parts: u32,
        /// Which of them this is.
        index: u32,
        /// Slots of the first piece and of those behind it, and how far they are apart.
        first_slot: u32,
        other_slots: u32,
        slot_stride: u32,
    }

    impl Task {
        /// No more tasks.
        const END: Self = Self {
            request: 0,
            pieces: 0,
            parts: 0,
            index: 0,
            first_slot: 0,
            other_slots: 0,
            slot_stride: 0,
        };

        /// What part `index` of those that share a request does.
        #[inline(always)]
        fn new(Shared { request, index, split }: &Shared) -> Self {
            let Split { pieces, parts, slots, .. } = *split;
            let (first_slot, other_slots, slot_stride) = slots.raw();
            let (request, index) = (*request, *index);
            Self { request, pieces, parts, index, first_slot, other_slots, slot_stride }
        }

        /// Writes it.
        #[inline(always)]
        unsafe fn store(&self, address: u32) {
            let Self { request, pieces, parts, index, .. } = *self;
            let slots = [self.first_slot, self.other_slots, self.slot_stride, 0];
            // SAFETY: the caller's promise.
            unsafe {
                shared::store_u32x4(address, [request, pieces, parts, index]);
                shared::store_u32x4(address + 16, slots);
            }
        }

        /// Reads it.
        #[inline(always)]
        unsafe fn load(address: u32) -> Self {
            // SAFETY: the caller's promise.
            let words = unsafe { [address, address + 16].map(|at| uniform::load_u32x4(at)) };
            let [[request, pieces, parts, index], [first_slot, other_slots, slot_stride, _]] =
                words;
            Self { request, pieces, parts, index, first_slot, other_slots, slot_stride }
        }

        #[inline(always)]
        fn slot(&self, piece: u32) -> u32 {
            if piece == 0 { self.first_slot } else { self.other_slots + piece * self.slot_stride }
        }
    }

    /// The producer's end: a task for each split request of `walk`, when all its pieces have arrived.
    ///
    /// # Safety
    /// One converged warp calls it; everything that the CTA itself contributes is under way.
    #[inline(always)]
    pub unsafe fn hand_out(params: &DenseDecodeParams, tile: &Tile, mut walk: Walk, shared: u32) {
        let mut parity = 0;
        // SAFETY: the counters are valid; a task is written when the one before it is done.
        unsafe {
            while let Some(share) = walk.next_shared() {
                let task = Task::new(&share);
                let arrivals = epilogue::arrivals(params, tile, task.request);
                let there = task.pieces * WARPS;
                if special::lane() == 0 {
                    global::wait_at_least(arrivals, there);
                    task.store(shared + TASK);
                    mbarrier::arrive(shared + TASK_FULL);
                }
                mbarrier::wait(shared + TASK_EMPTY, parity);
                parity ^= 1;
                // The last to leave clears the counter.
                if special::lane() == 0
                    && global::add_release_u32(arrivals, 1) + 1 == there + task.parts
                {
                    global::store_relaxed_u32(arrivals, 0);
                }
                warp::sync();
            }
            if special::lane() == 0 {
                Task::END.store(shared + TASK);
                mbarrier::arrive(shared + TASK_FULL);
            }
        }
    }

    /// Does the tasks.
    ///
    /// # Safety
    /// The first eight warps of the CTA call it, each converged, after they have written their results.
    #[inline(always)]
    pub unsafe fn run<E: Element>(params: &DenseDecodeParams, tile: &Tile, shared: u32) {
        let mut parity = 0;
        // SAFETY: whole warps, and all of them follow the same tasks.
        unsafe {
            loop {
                mbarrier::wait(shared + TASK_FULL, parity);
                parity ^= 1;
                let task = Task::load(shared + TASK);
                if task.parts == 0 {
                    return;
                }
                Share { params, tile, task, scratch: shared + Q }.merge::<E>();
                warp::sync();
                if special::lane() == 0 {
                    mbarrier::arrive(shared + TASK_EMPTY);
                }
            }
        }
    }

    /// Writes the results of requests without tokens, those of every `parts`-th group of 32 requests, as one of
    /// three warps.
    ///
    /// # Safety
    /// Three converged warps call it; the output is writable.
    #[inline(always)]
    pub unsafe fn clear_empty_requests<E: Element>(
        params: &DenseDecodeParams,
        tile: &Tile,
        part: u32,
        warp_index: u32,
    ) {
        let mut first = part * 32;
        while first < params.batch {
            let request = first + special::lane();
            let length = (params.lengths as *const i32).wrapping_add(request as usize);
            // SAFETY: inside the batch.
            let empty = request < params.batch
                && schedule::blocks(unsafe { global::load_i32(length) }) == 0;
            let mut left = warp::ballot(empty);
            while left != 0 {
                // SAFETY: the request exists.
                unsafe { clear::<E>(params, tile, first + left.trailing_zeros(), warp_index) };
                left &= left - 1;
            }
            first += params.parts * 32;
        }
    }

    /// Writes 0 with LSE −∞ for every third row of a request from `row` on.
    #[inline(always)]
    unsafe fn clear<E: Element>(
        params: &DenseDecodeParams,
        tile: &Tile,
        request: u32,
        mut row: u32,
    ) {
        while row < 64 && tile.contains(row) {
            let out = epilogue::output_row(params, tile, request, row);
            let out = out.wrapping_add(8 * special::lane() as usize);
            let zeros = [E::pack(0.0, 0.0); 4];
            // SAFETY: 512 columns of an existing row, 16 bytes a lane, and its LSE.
            unsafe {
                global::store_u32x4(out.cast(), zeros);
                global::store_u32x4(out.wrapping_add(8 * 32).cast(), zeros);
                if special::lane() == 0 {
                    let lse = epilogue::lse_address(params, tile, request, row);
                    global::store_f32(lse, f32::NEG_INFINITY);
                }
            }
            row += 3;
        }
    }

    /// A task, and what it needs.
    struct Share<'a> {
        params: &'a DenseDecodeParams,
        tile: &'a Tile,
        task: Task,
        scratch: u32,
    }

    impl Share<'_> {
        /// Merges the units of this CTA.
        ///
        /// Few CTAs have many units each: every warp takes four at a time. Many have few: one at a time, and where
        /// there are fewer units than warps, the warps of a team take turns with the pieces of one. (With pieces of
        /// a fixed length the order of the sum must not depend on how many CTAs there are: one at a time, and no
        /// teams.)
        #[inline(always)]
        unsafe fn merge<E: Element>(&self) {
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
                let team =
                    if fixed || most >= WARPS { 1 } else { WARPS / most.next_power_of_two() };
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
                        let slot = self.task.slot(piece + I * team);
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
        unsafe fn store<E: Element, const N: usize>(
            &self,
            unit: u32,
            sums: &Sums<N>,
            which: usize,
        ) {
            let Self { params, tile, task, .. } = self;
            let (first_row, pair) = place(unit);
            let (factor, log2_sum) = sums.finish();
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

    /// Weighted sums of pieces, of `N` units.
    struct Sums<const N: usize> {
        /// What weights are relative to, in powers of two: the largest LSE so far.
        reference: [f32; 2],
        /// Sum of the weights.
        weight: [f32; 2],
        /// `[unit][row][column]`: two columns of one chunk, two of the next.
        values: [[[f32; 4]; 2]; N],
    }

    impl<const N: usize> Sums<N> {
        #[inline(always)]
        fn new() -> Self {
            let values = [[[0.0; 4]; 2]; N];
            Self { reference: [NO_REFERENCE; 2], weight: [0.0; 2], values }
        }

        /// Adds pieces, one after the other, relative to the largest LSE among them and those before. `words` are
        /// as [`epilogue::partial_pair`] has them.
        #[inline(always)]
        fn add_pieces<E: Element, const PIECES: usize>(
            &mut self,
            lse: &[[f32; 2]; PIECES],
            words: &[[[u32; 4]; N]; PIECES],
        ) {
            seq!(R in 0..2 {
                let mut reference = self.reference[R];
                seq!(I in 0..8 {
                    if I < PIECES {
                        reference = math::max(reference, lse[I % PIECES][R]);
                    }
                });
                self.rescale::<R>(reference);
                seq!(I in 0..8 {
                    if I < PIECES {
                        let weight = math::exp2(lse[I % PIECES][R] - reference);
                        self.weight[R] += weight;
                        seq!(U in 0..4 {
                            if U < N {
                                let words = &words[I % PIECES][U % N];
                                let ([a, b], [c, d]) = (E::unpack(words[R]), E::unpack(words[R + 2]));
                                add_weighted(&mut self.values[U % N][R], weight, [a, b, c, d]);
                            }
                        });
                    }
                });
            });
        }

        /// Adds other sums.
        #[inline(always)]
        fn add(&mut self, other: &Self) {
            seq!(R in 0..2 {
                let reference = math::max(self.reference[R], other.reference[R]);
                self.rescale::<R>(reference);
                let factor = math::exp2(other.reference[R] - reference);
                self.weight[R] = math::fma(factor, other.weight[R], self.weight[R]);
                seq!(U in 0..4 {
                    if U < N {
                        add_weighted(&mut self.values[U % N][R], factor, other.values[U % N][R]);
                    }
                });
            });
        }

        #[inline(always)]
        fn rescale<const ROW: usize>(&mut self, reference: f32) {
            let factor = math::exp2(self.reference[ROW] - reference);
            self.reference[ROW] = reference;
            self.weight[ROW] *= factor;
            seq!(U in 0..4 {
                if U < N {
                    self.values[U % N][ROW] = self.values[U % N][ROW].map(|sum| sum * factor);
                }
            });
        }

        /// By what to multiply the values, and log2 of the sum of all weights: 0 and −∞ for a row that saw no
        /// token.
        #[inline(always)]
        fn finish(&self) -> ([f32; 2], [f32; 2]) {
            let (mut factor, mut log2_sum) = ([0.0; 2], [0.0; 2]);
            seq!(R in 0..2 {
                let weight = self.weight[R];
                factor[R] = if weight == 0.0 { 0.0 } else { math::recip(weight) };
                log2_sum[R] = self.reference[R] + math::log2(weight);
            });
            (factor, log2_sum)
        }
    }

    #[inline(always)]
    fn add_weighted(sums: &mut [f32; 4], weight: f32, values: [f32; 4]) {
        seq!(I in 0..4 { sums[I] = math::fma(weight, values[I], sums[I]); });
    }

    impl Sums<1> {
        /// Hands the sums to the team, each number 32 lanes after the other.
        #[inline(always)]
        unsafe fn store(&self, at: u32) {
            let Self { reference: [a, b], weight: [c, d], values: [[upper, lower]] } = *self;
            let ([e, f, g, h], [i, j, k, l]) = (upper, lower);
            let words = [a, b, c, d, e, f, g, h, i, j, k, l];
            // SAFETY: the caller's promise.
            seq!(I in 0..12 { unsafe { shared::store_f32(at + I * 32 * 4, words[I]) }; });
        }

        #[inline(always)]
        unsafe fn load(at: u32) -> Self {
            // SAFETY: the caller's promise.
            let word = |i: u32| unsafe { shared::load_f32(at + i * 32 * 4) };
            let [a, b, c, d] = [0, 1, 2, 3].map(word);
            let values = [[[4, 5, 6, 7].map(word), [8, 9, 10, 11].map(word)]];
            Self { reference: [a, b], weight: [c, d], values }
        }
    }
}
