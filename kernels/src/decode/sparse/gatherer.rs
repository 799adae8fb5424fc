//! The gatherers: bring the rows of a block from wherever they are into the tiles that the tensor cores multiply.
//!
//! Eight threads next to each other copy the eight chunks, 16 bytes each, of a row of a tile: whole cache lines of global
//! memory, and in shared memory, swizzled, all banks. A warp has four rows at a time, the three warps 12; a thread keeps to
//! the same chunk of its rows through all tiles. After five rounds four rows are left for one warp.

use seq_macro::seq;

use super::abi::SparseParams;
use super::config::*;
use super::lists::{Lists, Section};
use super::order::Orders;
use crate::decode::dense::barriers::Ring;
use crate::decode::dense::config::{LEFT_EMPTY, LEFT_TILES, RIGHT_EMPTY, TILE};
use crate::ptx::{cp_async, mbarrier, special};
use crate::tile::swizzle::{self, CHUNK_BYTES, ROW_BYTES, ROW_CHUNKS, TILE_BYTES};

/// Rows from one round to the next.
const ROUND: u32 = GATHERERS / ROW_CHUNKS;
/// Rounds, the last of which is one warp's.
const ROUNDS: usize = (TILE as usize).div_ceil(ROUND as usize);
/// What the swizzle of one round and that of the next differ in.
const ATOM_HALF: u32 = 4 * CHUNK_BYTES;
const _: () = assert!(ROUND % 8 == 4 && ROUNDS == 6 && TILE - 5 * ROUND == 32 / ROW_CHUNKS);

/// Indices of a thread's rows of a block.
type Indices = [i32; ROUNDS];

/// A thread's rows of a block.
struct Rows {
    /// Where they begin.
    addresses: [u64; ROUNDS],
    /// A bit for each row that exists, shifted by [`EXISTS`].
    exist: u32,
}

/// Bytes of a chunk are its bit, moved to the place of the first row's.
const EXISTS: u32 = CHUNK_BYTES.ilog2();

impl Rows {
    /// Those that indices of a section name.
    #[inline(always)]
    fn named(section: &Section, indices: Indices) -> Self {
        let mut exist = 0;
        seq!(R in 0..6 { exist |= u32::from(section.names(indices[R])) << (EXISTS + R); });
        Self { addresses: indices.map(|index| section.row(index)), exist }
    }

    /// Bytes to copy of every chunk of row `row`: all, or none.
    #[inline(always)]
    fn bytes(&self, row: u32) -> u32 {
        self.exist >> row & CHUNK_BYTES
    }
}

/// Runs gatherer `warp` of three.
///
/// # Safety
/// All lanes of the warp call it, converged; the parameters are valid for the launch.
#[inline(always)]
pub unsafe fn run<const D_QK: u32>(params: &SparseParams, warp: u32, shared: u32) {
    let place = Place::new(warp);
    let (mut orders, mut ring) = (Orders::new(), Ring::new());
    // SAFETY: the warp is converged; parities follow the same order of blocks as those of all others.
    unsafe {
        loop {
            let order = orders.take(shared);
            if order.is_end() {
                break;
            }
            let lists = Lists::new(params, order.request, order.counts);
            let [mut block, end] = order.blocks;
            let mut indices = place.indices(&lists, block);
            while block < end {
                let rows = Rows::named(&lists.section(block), indices);
                block += 1;
                if block < end {
                    // On their way while the rows are.
                    indices = place.indices(&lists, block);
                }
                mbarrier::wait(ring.barrier(shared, LEFT_EMPTY), ring.parity ^ 1);
                place.copy::<0, LEFT_TILES>(&rows, ring.tile(shared, 0));
                cp_async::arrive(ring.barrier(shared, LEFT_LANDED));
                mbarrier::wait(ring.barrier(shared, RIGHT_EMPTY), ring.parity ^ 1);
                if const { D_QK == 512 } {
                    place.copy::<LEFT_TILES, { tiles(512) }>(&rows, ring.tile(shared, 0));
                } else {
                    place.copy::<LEFT_TILES, { tiles(576) }>(&rows, ring.tile(shared, 0));
                }
                cp_async::arrive(ring.barrier(shared, RIGHT_LANDED));
                ring.advance();
            }
        }
        cp_async::wait_all();
    }
}

/// A thread's place.
struct Place {
    /// Its row of the first round.
    row: u32,
    /// Offset of its chunk in a row of a tile of global memory.
    source: u32,
    /// Offset of the same in a tile of shared memory, in the first round.
    target: u32,
    /// Whether it takes part in the last round.
    is_first_warp: bool,
}

impl Place {
    #[inline(always)]
    fn new(warp: u32) -> Self {
        let (row, chunk) =
            (warp * (32 / ROW_CHUNKS) + special::lane() / ROW_CHUNKS, special::lane() % ROW_CHUNKS);
        let target = swizzle::chunk_offset(row, chunk);
        Self { row, source: chunk * CHUNK_BYTES, target, is_first_warp: warp == 0 }
    }

    /// Indices of the thread's rows of block `block`.
    #[inline(always)]
    unsafe fn indices(&self, lists: &Lists, block: u32) -> Indices {
        let section = lists.section(block);
        // A row past the last round's is past the block, and never copied.
        let mut indices = [0; ROUNDS];
        // SAFETY: a list of the query token.
        seq!(R in 0..6 { indices[R] = unsafe { section.index(self.row + R * ROUND) }; });
        indices
    }

    /// Copies the thread's chunks of tiles `FIRST` to `END` of a block whose tiles begin at `tiles`.
    ///
    /// # Safety
    /// The tiles are free; `rows` are what the list names.
    #[inline(always)]
    unsafe fn copy<const FIRST: u32, const END: u32>(&self, rows: &Rows, tiles: u32) {
        // SAFETY: the caller's promise.
        unsafe {
            seq!(R in 0..5 { self.copy_row::<R, FIRST, END>(rows, tiles); });
            if self.is_first_warp {
                self.copy_row::<5, FIRST, END>(rows, tiles);
            }
        }
    }

    #[inline(always)]
    unsafe fn copy_row<const R: u32, const FIRST: u32, const END: u32>(
        &self,
        rows: &Rows,
        tiles: u32,
    ) {
        // 12 rows further, the swizzle is that of 4 further.
        let flipped = self.target ^ (R % 2 * ATOM_HALF);
        let target = tiles + flipped + R * ROUND * ROW_BYTES;
        let source = rows.addresses[R as usize] + u64::from(self.source);
        let bytes = rows.bytes(R);
        seq!(T in 0..9 {
            if (FIRST..END).contains(&T) {
                let (to, from) = (target + T * TILE_BYTES, source + (T * ROW_BYTES) as u64);
                // SAFETY: a chunk of the tile, and the same of the row.
                unsafe { cp_async::copy_16(to, from, bytes) };
            }
        });
    }
}
