//! A warp's walk over its part of the schedule.

use core::ops::Range;

use super::schedule::{self, Schedule};
use crate::abi::DenseDecodeParams;
use crate::attention::epilogue::Destination;
use crate::ptx::{global, special, warp};

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

impl Piece {
    /// Where its result goes.
    pub fn destination(&self) -> Destination {
        match self.slot {
            Some(slot) => Destination::Partial { slot },
            None => Destination::Output { request: self.request },
        }
    }
}

/// Iterator over the pieces of one part.
pub struct Walk {
    lengths: *const i32,
    batch: u32,
    schedule: Schedule,
    part: u32,
    request: u32,
    start: u32,
}

impl Walk {
    /// Finds the first request of `part`.
    ///
    /// # Safety
    /// All lanes of the warp call it, converged; `params.lengths` points to `params.batch` readable `i32`.
    #[inline(always)]
    pub unsafe fn new(params: &DenseDecodeParams, part: u32) -> Self {
        let lengths = params.lengths as *const i32;
        let batch = params.batch;
        // SAFETY: the caller's promise.
        let schedule = unsafe { cut(params) };
        let begin = schedule.start(part);
        let (mut first, mut start) = (0, 0);
        while first < batch {
            // SAFETY: the caller's promise.
            let cost = unsafe { lane_cost(lengths, batch, first) };
            let chunk = warp::sum(cost);
            if start + chunk > begin {
                let through = inclusive_scan(cost);
                let lane = warp::ballot(start + through > begin).trailing_zeros();
                first += lane;
                start += warp::broadcast(through - cost, lane);
                break;
            }
            first += 32;
            start += chunk;
        }
        Self { lengths, batch, schedule, part, request: first, start }
    }

    /// The next piece, or `None` at the end of the part.
    ///
    /// # Safety
    /// As for [`Walk::new`].
    #[inline(always)]
    pub unsafe fn next(&mut self) -> Option<Piece> {
        while self.request < self.batch && self.start < self.schedule.start(self.part + 1) {
            let request = self.request;
            // SAFETY: `request < batch`.
            let length = unsafe { global::load_i32(self.lengths.add(request as usize)) };
            let total = schedule::blocks(length);
            let blocks = self.schedule.piece(self.part, self.start, total);
            self.request += 1;
            self.start += schedule::cost(total);
            if !blocks.is_empty() {
                let whole = blocks.start == 0 && blocks.end == total;
                let slot = schedule::slot(self.part, blocks.start == 0);
                return Some(Piece { request, length, blocks, slot: (!whole).then_some(slot) });
            }
        }
        None
    }
}

/// The cut of the whole batch.
///
/// # Safety
/// As for [`Walk::new`].
#[inline(always)]
unsafe fn cut(params: &DenseDecodeParams) -> Schedule {
    // SAFETY: the caller's promise.
    let total = unsafe { cost_before(params, params.batch) };
    Schedule::new(total, params.parts)
}

/// Cost of the first `end` requests.
///
/// # Safety
/// As for [`Walk::new`]; `end` is at most `params.batch`.
#[inline(always)]
unsafe fn cost_before(params: &DenseDecodeParams, end: u32) -> u32 {
    let (mut total, mut first) = (0, 0);
    while first < end {
        // SAFETY: the caller's promise.
        total += warp::sum(unsafe { lane_cost(params.lengths as *const i32, end, first) });
        first += 32;
    }
    total
}

/// The cut, and where `request` begins on the cost line.
///
/// # Safety
/// As for [`Walk::new`]; `request` is less than `params.batch`.
#[inline(always)]
pub unsafe fn locate(params: &DenseDecodeParams, request: u32) -> (Schedule, u32) {
    // SAFETY: the caller's promise.
    unsafe { (cut(params), cost_before(params, request)) }
}

/// Cost of request `first + lane`, zero from `end` on.
#[inline(always)]
unsafe fn lane_cost(lengths: *const i32, end: u32, first: u32) -> u32 {
    let request = first + special::lane();
    if request < end {
        // SAFETY: `request` is inside the batch.
        schedule::cost(schedule::blocks(unsafe { global::load_i32(lengths.add(request as usize)) }))
    } else {
        0
    }
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
