//! Where a row belongs.

use super::abi::Pages;
use crate::decode::schedule::BLOCK_TOKENS;
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

impl Pages {
    /// Whether the table has room for `position`.
    #[inline(always)]
    pub fn reaches(&self, position: u32) -> bool {
        position / BLOCK_TOKENS < self.columns
    }

    /// The cached row of `position` in `request`, if the table names a block that exists.
    ///
    /// # Safety
    /// The table [reaches](Self::reaches) the position and has a row for the request.
    #[inline(always)]
    pub unsafe fn row(&self, request: u32, position: u32) -> Option<u64> {
        let column = u64::from(position / BLOCK_TOKENS);
        let index = u64::from(request) * self.table_stride + column;
        // SAFETY: inside the table.
        let block = unsafe { global::load_i32((self.table as *const i32).add(index as usize)) };
        let token = u64::from(position % BLOCK_TOKENS);
        let element = u64::from(block as u32) * self.block_stride + token * self.token_stride;
        ((block as u32) < self.blocks).then(|| self.cache + 2 * element)
    }
}
