//! A warp's walk over its part of the schedule.

use core::ops::Range;

use seq_macro::seq;

use super::schedule::{self, Schedule, Split};
use crate::abi::DenseDecodeParams;
use crate::ptx::{global, special, warp};

/// A batch of requests, whose lengths are on the device.
pub trait Lengths {
    /// Its size, and how it is divided.
    fn decode(&self) -> &DenseDecodeParams;

    /// Tokens of `request`.
    ///
    /// # Safety
    /// The request is one of the batch.
    unsafe fn of(&self, request: u32) -> i32;
}

impl Lengths for DenseDecodeParams {
    #[inline(always)]
    fn decode(&self) -> &DenseDecodeParams {
        self
    }

    #[inline(always)]
    unsafe fn of(&self, request: u32) -> i32 {
        // SAFETY: the caller's promise.
        unsafe { global::load_i32((self.lengths as *const i32).wrapping_add(request as usize)) }
    }
}

/// Consecutive blocks of one request, for one CTA to attend to.
pub struct Piece {
    /// Index of the request in the batch.
    pub request: u32,
    /// Cached tokens of the request.
    pub length: i32,
    /// The blocks, counted from the beginning of the request; never empty.
    pub blocks: Range<u32>,
    /// Where the partial result goes, or `None` if the piece is the whole request.
    pub slot: Option<u32>,
}

/// A walk over the requests that a part has blocks of. It lives in the registers of warps that have none to spare:
/// what can be loaded or computed again is not kept.
pub struct Walk<'a, P> {
    params: &'a P,
    schedule: Schedule,
    part: u32,
    /// The current request, and where it begins on the line.
    request: u32,
    start: u32,
    /// First block of it that has not been given out.
    block: u32,
}

/// What a part shares of a split request.
pub struct Shared {
    /// Index of the request in the batch.
    pub request: u32,
    /// Which of the parts that share it this is.
    pub index: u32,
    /// How it is split.
    pub split: Split,
}

impl<P> Clone for Walk<'_, P> {
    #[inline(always)]
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'a, P: Lengths> Walk<'a, P> {
    /// Finds the first request of `part`.
    ///
    /// # Safety
    /// All lanes of the warp call it, converged; the lengths of all requests are readable.
    #[inline(always)]
    pub unsafe fn new(params: &'a P, part: u32) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let schedule = cut(params);
            let (request, start) = find(params, schedule.start(part));
            Self { params, schedule, part, request, start, block: 0 }
        }
    }

    /// The next piece, or `None` at the end of the part.
    ///
    /// # Safety
    /// As for [`Walk::new`].
    #[inline(always)]
    pub unsafe fn next(&mut self) -> Option<Piece> {
        while self.inside() {
            // SAFETY: inside the batch.
            let length = unsafe { same_length(self.params, self.request) };
            let total = schedule::blocks(length);
            let share = self.schedule.share_of(self.part, self.start, total);
            let first = share.start.max(self.block);
            if first < share.end {
                self.block = self.schedule.piece_end(first, share.end);
                let blocks = first..self.block;
                let slot = self.schedule.slot(self.part, self.start, total, &blocks);
                return Some(Piece { request: self.request, length, blocks, slot });
            }
            self.advance(total);
        }
        None
    }

    /// The next split request that the part has pieces of, or `None` at its end.
    ///
    /// # Safety
    /// As for [`Walk::new`].
    #[inline(always)]
    pub unsafe fn next_shared(&mut self) -> Option<Shared> {
        while self.inside() {
            let (request, start) = (self.request, self.start);
            // SAFETY: inside the batch.
            let total = schedule::blocks(unsafe { same_length(self.params, request) });
            let share = self.schedule.share_of(self.part, start, total);
            self.advance(total);
            if share.is_empty() {
                continue;
            }
            if let Some(split) = self.schedule.split(start, total) {
                return Some(Shared { request, index: self.part - split.first_part, split });
            }
        }
        None
    }

    /// Whether the current request reaches into the part.
    #[inline(always)]
    fn inside(&self) -> bool {
        self.request < self.params.decode().batch && self.start < self.schedule.start(self.part + 1)
    }

    /// Goes on behind the current request, of `blocks` blocks.
    #[inline(always)]
    fn advance(&mut self, blocks: u32) {
        self.request += 1;
        self.start += self.schedule.cut.cost(blocks);
        self.block = 0;
    }
}

/// Requests that a warp looks at together: all loads of a batch of this size are under way at once.
const CHUNK: u32 = 4 * 32;

/// The cut of the whole batch.
///
/// # Safety
/// As for [`Walk::new`].
#[inline(always)]
unsafe fn cut<P: Lengths>(params: &P) -> Schedule {
    let decode = params.decode();
    let (mut total, mut first) = (0, 0);
    while first < decode.batch {
        // SAFETY: the caller's promise.
        let [a, b, c, d] = unsafe { lane_costs(params, first) };
        total += warp::sum(a + b + c + d);
        first += CHUNK;
    }
    Schedule::new(decode.cut, total, decode.parts)
}

/// The request that contains `position` of the cost line, and where it begins; `batch` or more if there is none.
///
/// # Safety
/// As for [`Walk::new`].
#[inline(always)]
unsafe fn find<P: Lengths>(params: &P, position: u32) -> (u32, u32) {
    let (mut first, mut start) = (0, 0);
    while first < params.decode().batch {
        // SAFETY: the caller's promise.
        let [a, b, c, d] = unsafe { lane_costs(params, first) };
        let mine = a + b + c + d;
        let chunk = warp::sum(mine);
        if start + chunk > position {
            let through = inclusive_scan(mine);
            let lane = warp::ballot(start + through > position).trailing_zeros();
            let (mut begin, mut request) = (start + through - mine, first + 4 * special::lane());
            let ends = [begin + a, begin + a + b, begin + a + b + c];
            seq!(I in 0..3 {
                if ends[I] <= position {
                    begin = ends[I];
                    request += 1;
                }
            });
            return (warp::broadcast(request, lane), warp::broadcast(begin, lane));
        }
        first += CHUNK;
        start += chunk;
    }
    (first, start)
}

/// Costs of the four requests from `first + 4 · lane` on, zero past the end of the batch.
#[inline(always)]
unsafe fn lane_costs<P: Lengths>(params: &P, first: u32) -> [u32; 4] {
    let DenseDecodeParams { batch, cut, .. } = params.decode();
    let request = first + 4 * special::lane();
    [0, 1, 2, 3].map(|i| {
        if request + i < *batch {
            // SAFETY: inside the batch.
            cut.cost(schedule::blocks(unsafe { params.of(request + i) }))
        } else {
            0
        }
    })
}

/// Tokens of a request that all lanes ask for. Handed around, so that the compiler knows the value to be
/// the same in all of them: branches on it do not diverge.
#[inline(always)]
pub unsafe fn same_length<P: Lengths>(params: &P, request: u32) -> i32 {
    // SAFETY: the caller's promise.
    warp::broadcast(unsafe { params.of(request) } as u32, 0) as i32
}

/// Sum of `value` over this lane and those below it.
#[inline(always)]
fn inclusive_scan(value: u32) -> u32 {
    let mut sum = value;
    sum += warp::up_or_zero::<1>(sum);
    sum += warp::up_or_zero::<2>(sum);
    sum += warp::up_or_zero::<4>(sum);
    sum += warp::up_or_zero::<8>(sum);
    sum += warp::up_or_zero::<16>(sum);
    sum
}
