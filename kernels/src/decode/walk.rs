//! A warp's walk over its part of the schedule.

use core::marker::PhantomData;
use core::ops::Range;

use seq_macro::seq;

use super::schedule::{self, Schedule, Split};
use crate::abi::DenseDecodeParams;
use crate::attention::limits::Limits;
use crate::ptx::{global, special, warp};

/// A batch of requests, whose lengths are on the device.
pub trait Requests: Copy {
    /// Results, and how the batch is divided.
    fn decode(&self) -> &DenseDecodeParams;

    /// Tokens of `request`.
    ///
    /// # Safety
    /// The request is one of the batch.
    unsafe fn length(&self, request: u32) -> i32;

    /// The blocks of a request of `length` tokens that some query token sees.
    #[inline(always)]
    fn visible(&self, length: i32) -> Range<u32> {
        0..schedule::blocks(length)
    }
}

/// Requests with consecutive tokens, whose scores are limited by `L`.
pub struct Cached<'a, L> {
    params: &'a DenseDecodeParams,
    limits: PhantomData<L>,
}

impl<'a, L> Cached<'a, L> {
    /// Those of a launch.
    #[inline(always)]
    pub const fn new(params: &'a DenseDecodeParams) -> Self {
        Self { params, limits: PhantomData }
    }
}

impl<L> Copy for Cached<'_, L> {}

impl<L> Clone for Cached<'_, L> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<L: Limits> Requests for Cached<'_, L> {
    #[inline(always)]
    fn decode(&self) -> &DenseDecodeParams {
        self.params
    }

    #[inline(always)]
    unsafe fn length(&self, request: u32) -> i32 {
        let lengths = self.params.lengths as *const i32;
        // SAFETY: the caller's promise.
        unsafe { global::load_i32(lengths.wrapping_add(request as usize)) }
    }

    #[inline(always)]
    fn visible(&self, length: i32) -> Range<u32> {
        if L::LIMITED { self.params.reach.visible(length) } else { 0..schedule::blocks(length) }
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
#[derive(Clone)]
pub struct Walk<R> {
    requests: R,
    schedule: Schedule,
    part: u32,
    /// The current request, and where it begins on the line.
    request: u32,
    start: u32,
    /// First of its visible blocks that has not been given out.
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

impl<R: Requests> Walk<R> {
    /// Finds the first request of `part`.
    ///
    /// # Safety
    /// All lanes of the warp call it, converged; the lengths of all requests are readable.
    #[inline(always)]
    pub unsafe fn new(requests: R, part: u32) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let schedule = cut(&requests);
            let (request, start) = find(&requests, schedule.start(part));
            Self { requests, schedule, part, request, start, block: 0 }
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
            let length = unsafe { same_length(&self.requests, self.request) };
            let visible = self.requests.visible(length);
            let total = visible.end - visible.start;
            let share = self.schedule.share_of(self.part, self.start, total);
            let first = share.start.max(self.block);
            if first < share.end {
                self.block = self.schedule.piece_end(first, share.end);
                let slot = self.schedule.slot(self.part, self.start, total, &(first..self.block));
                let blocks = visible.start + first..visible.start + self.block;
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
            let length = unsafe { same_length(&self.requests, request) };
            let visible = self.requests.visible(length);
            let total = visible.end - visible.start;
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
        self.request < self.requests.decode().batch
            && self.start < self.schedule.start(self.part + 1)
    }

    /// Goes on behind the current request, of `blocks` visible blocks.
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
unsafe fn cut(requests: &impl Requests) -> Schedule {
    let params = requests.decode();
    let (mut total, mut first) = (0, 0);
    while first < params.batch {
        // SAFETY: the caller's promise.
        let [a, b, c, d] = unsafe { lane_costs(requests, first) };
        total += warp::sum(a + b + c + d);
        first += CHUNK;
    }
    Schedule::new(params.cut, total, params.parts)
}

/// The request that contains `position` of the cost line, and where it begins; `batch` or more if there is none.
///
/// # Safety
/// As for [`Walk::new`].
#[inline(always)]
unsafe fn find(requests: &impl Requests, position: u32) -> (u32, u32) {
    let (mut first, mut start) = (0, 0);
    while first < requests.decode().batch {
        // SAFETY: the caller's promise.
        let [a, b, c, d] = unsafe { lane_costs(requests, first) };
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
unsafe fn lane_costs(requests: &impl Requests, first: u32) -> [u32; 4] {
    let params = requests.decode();
    let request = first + 4 * special::lane();
    [0, 1, 2, 3].map(|i| {
        if request + i < params.batch {
            // SAFETY: inside the batch.
            let length = unsafe { requests.length(request + i) };
            let visible = requests.visible(length);
            params.cut.cost(visible.end - visible.start)
        } else {
            0
        }
    })
}

/// Tokens of a request that all lanes ask for. Handed around, so that the compiler knows the value to be
/// the same in all of them: branches on it do not diverge.
#[inline(always)]
pub unsafe fn same_length(requests: &impl Requests, request: u32) -> i32 {
    // SAFETY: the caller's promise.
    warp::broadcast(unsafe { requests.length(request) } as u32, 0) as i32
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
