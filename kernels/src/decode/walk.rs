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
        let (lengths, batch) = (params.lengths as *const i32, params.batch);
        // SAFETY: the caller's promise.
        unsafe {
            let schedule = cut(lengths, batch, params.parts);
            let (request, start) = find(lengths, batch, schedule.start(part));
            Self { lengths, batch, schedule, part, request, start }
        }
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

/// A request that several parts share.
pub struct Split {
    /// Index of the request in the batch.
    pub request: u32,
    /// Part that takes its first block.
    pub first: u32,
    /// Part that takes its last block.
    pub last: u32,
}

impl Split {
    /// How `schedule` splits a request of `length` tokens that begins at `start`, if it does.
    #[inline(always)]
    fn new(schedule: &Schedule, request: u32, length: i32, start: u32) -> Option<Self> {
        let blocks = schedule::blocks(length);
        if blocks == 0 {
            return None;
        }
        let (first, last) = schedule.parts_of(start, blocks);
        (last > first).then_some(Self { request, first, last })
    }
}

/// The parts that share `request`, if it is split.
///
/// # Safety
/// As for [`Walk::new`]; `request` is inside the batch.
#[inline(always)]
pub unsafe fn split_of_request(params: &DenseDecodeParams, request: u32) -> Option<Split> {
    let (lengths, batch) = (params.lengths as *const i32, params.batch);
    let (mut total, mut start, mut first) = (0, 0, 0);
    // SAFETY: the caller's promise.
    unsafe {
        while first < batch {
            let cost = lane_cost(lengths, batch, first);
            total += warp::sum(cost);
            start += warp::sum(if first + special::lane() < request { cost } else { 0 });
            first += 32;
        }
        let length = global::load_i32(lengths.add(request as usize));
        Split::new(&Schedule::new(total, params.parts), request, length, start)
    }
}

/// The split request whose first block `part` takes, if there is one. There cannot be two: it also contains
/// the end of the part's interval.
///
/// # Safety
/// As for [`Walk::new`].
#[inline(always)]
pub unsafe fn split_from_part(params: &DenseDecodeParams, part: u32) -> Option<Split> {
    let (lengths, batch) = (params.lengths as *const i32, params.batch);
    // SAFETY: the caller's promise; the request found is inside the batch.
    unsafe {
        let schedule = cut(lengths, batch, params.parts);
        let (request, start) = find(lengths, batch, schedule.start(part + 1));
        if request >= batch {
            return None;
        }
        let length = global::load_i32(lengths.add(request as usize));
        Split::new(&schedule, request, length, start).filter(|split| split.first == part)
    }
}

/// The cut of the whole batch.
///
/// # Safety
/// As for [`Walk::new`].
#[inline(always)]
unsafe fn cut(lengths: *const i32, batch: u32, parts: u32) -> Schedule {
    let (mut total, mut first) = (0, 0);
    while first < batch {
        // SAFETY: the caller's promise.
        total += warp::sum(unsafe { lane_cost(lengths, batch, first) });
        first += 32;
    }
    Schedule::new(total, parts)
}

/// The request that contains `position` of the cost line, and where it begins; `batch` or more if there is none.
///
/// # Safety
/// As for [`Walk::new`].
#[inline(always)]
unsafe fn find(lengths: *const i32, batch: u32, position: u32) -> (u32, u32) {
    let (mut first, mut start) = (0, 0);
    while first < batch {
        // SAFETY: the caller's promise.
        let cost = unsafe { lane_cost(lengths, batch, first) };
        let chunk = warp::sum(cost);
        if start + chunk > position {
            let through = inclusive_scan(cost);
            let lane = warp::ballot(start + through > position).trailing_zeros();
            return (first + lane, start + warp::broadcast(through - cost, lane));
        }
        first += 32;
        start += chunk;
    }
    (first, start)
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
