//! From accumulators to the output: transposed on the way into shared memory, and from there by TMA, which leaves out
//! what is beyond the ends of the tensor.

use seq_macro::seq;

use super::abi::Shape;
use super::config::*;
use super::tiles::Item;
use super::width::Width;
use crate::ptx::tma::{self, TensorMapAddress};
use crate::ptx::{barrier, bulk, fence, matrix, registers, special};
use crate::tile::element::Element;
use crate::tile::swizzle::{self, TILE_BYTES};

/// A warpgroup's place for tiles on their way out.
pub struct Output {
    group: u32,
    /// Addresses of its tiles: the next one, then the others.
    next: u32,
    other: u32,
}

impl Output {
    /// Nothing under way yet.
    #[inline(always)]
    pub fn new(shared: u32, group: u32) -> Self {
        let next = shared + OUTPUT + group * OUTPUT_SLOTS * TILE_BYTES;
        Self { group, next, other: next + TILE_BYTES }
    }

    /// Stores the warpgroup's 64 columns of a tile, the first of which exists, 64 rows at a time.
    ///
    /// # Safety
    /// All threads of the warpgroup call it, converged; the map is valid for the launch.
    #[inline(always)]
    pub unsafe fn store<E: Element, W: Width>(
        &mut self,
        y: TensorMapAddress,
        shape: &Shape,
        item: &Item,
        acc: &W::Acc,
    ) {
        let column = item.column + self.group * TILE;
        seq!(CHUNK in 0..4 {
            let row = item.row + CHUNK * TILE;
            if CHUNK * TILE < W::ROWS && row < shape.m {
                // SAFETY: the warpgroup is converged, for all its threads have the same item.
                unsafe {
                    self.make_room();
                    write_tile::<E, W>(self.next, acc, 8 * CHUNK);
                    fence::proxy_async_shared();
                    self.sync();
                    if is_issuer() {
                        tma::store_4d(y, self.next, [column, row, item.batch, 0]);
                        bulk::commit();
                    }
                }
                core::mem::swap(&mut self.next, &mut self.other);
            }
        });
    }

    /// Waits until shared memory has been read, as it must be before the CTA ends.
    ///
    /// # Safety
    /// As for [`store`](Self::store).
    #[inline(always)]
    pub unsafe fn drain(&self) {
        if is_issuer() {
            // SAFETY: waits for what the thread has issued.
            unsafe { bulk::wait_read::<0>() };
        }
    }

    /// Waits until the next tile has been read, which all but the latest store have.
    #[inline(always)]
    unsafe fn make_room(&self) {
        // SAFETY: the caller's promise.
        unsafe {
            if is_issuer() {
                bulk::wait_read::<{ OUTPUT_SLOTS - 1 }>();
            }
            self.sync();
        }
    }

    #[inline(always)]
    unsafe fn sync(&self) {
        // SAFETY: all threads of the warpgroup, which has a barrier of its own.
        unsafe {
            if self.group == 0 {
                barrier::sync::<1, WARPGROUP>();
            } else {
                barrier::sync::<2, WARPGROUP>();
            }
        }
    }
}

/// The thread of a warpgroup that talks to TMA.
#[inline(always)]
fn is_issuer() -> bool {
    special::thread_index().is_multiple_of(WARPGROUP)
}

/// Writes 64 tokens of 64 outputs, accumulators `4 first_column…`, as a swizzled tile whose rows are tokens.
///
/// A thread has two neighbouring tokens of an output where a row of the tile wants neighbouring outputs of a token:
/// `stmatrix` transposes each 8 × 8 of them.
#[inline(always)]
unsafe fn write_tile<E: Element, W: Width>(tile: u32, acc: &W::Acc, first_column: usize) {
    // Hidden from the compiler, or it would keep the offsets in registers while it multiplies.
    let lane = registers::opaque(special::lane());
    // 16 outputs a warp, two chunks of 8.
    let chunk = special::warp() % (WARPGROUP / 32) * 2 + lane / 8 % 2;
    let token = lane / 16 * 8 + lane % 8;
    seq!(PAIR in 0..4 {
        let [a, b, c, d] = W::four(acc, first_column + 2 * PAIR);
        let [e, f, g, h] = W::four(acc, first_column + 2 * PAIR + 1);
        let words = [E::pack(a, b), E::pack(c, d), E::pack(e, f), E::pack(g, h)];
        let offset = swizzle::chunk_offset(16 * PAIR + token, chunk);
        // SAFETY: inside the tile, 16-byte aligned.
        unsafe { matrix::store_x4_transposed(tile + offset, words) };
    });
}
