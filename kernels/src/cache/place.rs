//! Where a row belongs.

use super::abi::{AppendParams, GatherParams, Pages};
use crate::ptx::{global, special, warp};

/// The request whose rows, from `offsets[request]` to `offsets[request + 1]`, have `row` among them; `batch` if
/// none has.
///
/// Each step compares with 32 ends, one a lane: a load and a vote for up to 32 requests, two of each for up to
/// 1,024.
///
/// # Safety
/// All lanes call it, converged; `offsets` points to `batch + 1` readable `i32`; `batch` is at most 2^30.
#[inline(always)]
pub unsafe fn request_of(offsets: *const i32, batch: u32, row: u32) -> u32 {
    let mut stride = 1;
    while 32 * stride < batch {
        stride *= 32;
    }
    let mut request = 0;
    while stride > 0 {
        let last = request + stride * (special::lane() + 1) - 1;
        // SAFETY: `last + 1` is at most `batch`.
        let passed = last < batch
            && unsafe { global::load_i32(offsets.add(last as usize + 1)) } <= row as i32;
        request += stride * warp::ballot(passed).count_ones();
        stride /= 32;
    }
    request
}

/// Request and position of a new row, if table and rotations have them.
///
/// # Safety
/// All lanes call it, converged; the parameters are as [`AppendParams`] says; the row exists.
#[inline(always)]
pub unsafe fn appended(params: &AppendParams, row: u32) -> Option<(u32, u32)> {
    let offsets = params.offsets as *const i32;
    // SAFETY: `request` is less than `batch` where it is used.
    unsafe {
        let (request, end) = if offsets.is_null() {
            let request = row.checked_div(params.rows_per_request)?;
            (request, (request + 1) * params.rows_per_request)
        } else {
            let request = request_of(offsets, params.batch, row);
            let next = (request + 1).min(params.batch);
            (request, global::load_i32(offsets.add(next as usize)) as u32)
        };
        if request >= params.batch {
            return None;
        }
        let length = global::load_i32((params.lengths as *const i32).add(request as usize));
        // A request with more new rows than tokens has negative positions, which are large here.
        let position = (length as u32).wrapping_sub(end.wrapping_sub(row));
        let rotated = params.rotations == 0 || position < params.positions;
        (params.pages.reaches(position) && rotated).then_some((request, position))
    }
}

/// Request and position of a row to gather, if the table has them.
///
/// # Safety
/// All lanes call it, converged; the parameters are as [`GatherParams`] says.
#[inline(always)]
pub unsafe fn gathered(params: &GatherParams, row: u32) -> Option<(u32, u32)> {
    let offsets = params.offsets as *const i32;
    // SAFETY: `request` is less than `batch` where it is used.
    unsafe {
        let request = request_of(offsets, params.batch, row);
        if request >= params.batch {
            return None;
        }
        // Before the first offset, positions are negative, which are large here.
        let position = row.wrapping_sub(global::load_i32(offsets.add(request as usize)) as u32);
        params.pages.reaches(position).then_some((request, position))
    }
}

impl Pages {
    /// Whether the table has room for `position`.
    #[inline(always)]
    pub fn reaches(&self, position: u32) -> bool {
        position >> self.block_log2 < self.columns
    }

    /// Which token of its block `position` is.
    #[inline(always)]
    pub fn token(&self, position: u32) -> u32 {
        position & (self.block_size - 1)
    }

    /// The address of the block that has `position` of `request`, if the table names one that exists.
    ///
    /// # Safety
    /// The table [reaches](Self::reaches) the position and has a row for the request.
    #[inline(always)]
    pub unsafe fn block(&self, request: u32, position: u32) -> Option<u64> {
        let column = u64::from(position >> self.block_log2);
        let index = u64::from(request) * self.table_stride + column;
        // SAFETY: inside the table.
        let block = unsafe { global::load_i32((self.table as *const i32).add(index as usize)) };
        let address = self.cache + u64::from(block as u32) * self.block_stride;
        ((block as u32) < self.blocks).then_some(address)
    }

    /// The cached row of `position` in `request`, as [`block`](Self::block).
    ///
    /// # Safety
    /// As for [`block`](Self::block).
    #[inline(always)]
    pub unsafe fn row(&self, request: u32, position: u32) -> Option<u64> {
        let token = u64::from(self.token(position));
        // SAFETY: the caller's promise.
        unsafe { self.block(request, position) }.map(|block| block + token * self.token_stride)
    }
}
