//! The converter: codes and scales become the 16-bit tiles that the tensor cores multiply, where they lie.
//!
//! A load unit is 64 tokens × 256 codes, 16 KB, in the upper half of the 32 KB that its four tiles take. The codes of
//! the first two tiles are converted into the lower half, where nothing is. Those of the last two are in the place of
//! their own results: all threads read them before any writes.
//!
//! A group, 64 tokens × 128 codes, is 512 chunks of 16 codes, each of which becomes two chunks of 16-bit elements. Eight
//! threads next to each other take, of an even token, the four chunks of one tile and, of the odd one behind it, the
//! four of the other: so they read from all banks, and write to all banks. 96 threads are 12 tokens further in every
//! round; the sixth is one warp's.
//!
//! The rope tile lands as bf16. Where the others are of another type it becomes one of it, a chunk of 8 at a time.

use seq_macro::seq;

use super::config::*;
use super::source;
use crate::decode::dense::barriers::{Ring, release};
use crate::decode::dense::config::{LEFT_FULL, LEFT_HEADERS, QK_TILES, RIGHT_FULL, TILE};
use crate::decode::header::Header;
use crate::ptx::{barrier, fence, math, mbarrier, shared as memory, special};
use crate::tile::element::{Bf16, Element};
use crate::tile::swizzle::{self, CHUNK_BYTES, TILE_BYTES};

/// Threads for both tiles of two tokens.
const PAIR_THREADS: u32 = 16;
/// Tokens from one round to the next.
const ROUND: u32 = 2 * CONVERTER / PAIR_THREADS;
/// Rounds that all threads take part in.
const ROUNDS: usize = (TILE / ROUND) as usize;
/// What the swizzle of one round and that of the next differ in.
const ATOM_HALF: u32 = 4 * CHUNK_BYTES;
const _: () =
    assert!(ROUND % 8 == 4 && TILE - ROUNDS as u32 * ROUND == 2 * 32 / PAIR_THREADS && ROUNDS == 5);
/// Codes of one tile, in a group.
const TILE_CODES: u32 = 64;

/// A thread's codes of a group, four to a word, for each round.
type Codes = [[u32; 4]; ROUNDS + 1];

/// Runs the converter, until the producer says that there is no more.
///
/// # Safety
/// The three warps of the converter call it, converged.
#[inline(always)]
pub unsafe fn run<E: Element>(shared: u32) {
    let place = Place::new();
    let mut ring = Ring::new();
    // SAFETY: the warps are converged, and every wait stands before the use it protects.
    unsafe {
        loop {
            mbarrier::wait(ring.barrier(shared, LEFT_LANDED), ring.parity);
            if Header::load(ring.header(shared, LEFT_HEADERS)).is_end() {
                hand_over(ring.barrier(shared, LEFT_FULL));
                mbarrier::wait(ring.barrier(shared, RIGHT_LANDED), ring.parity);
                hand_over(ring.barrier(shared, RIGHT_FULL));
                return;
            }
            place.convert::<E>(&ring, shared, 0);
            hand_over(ring.barrier(shared, LEFT_FULL));
            mbarrier::wait(ring.barrier(shared, RIGHT_LANDED), ring.parity);
            place.convert::<E>(&ring, shared, 1);
            if !E::IS_BF16 {
                convert_rope::<E>(ring.tile(shared, QK_TILES - 1));
            }
            hand_over(ring.barrier(shared, RIGHT_FULL));
            ring.advance();
        }
    }
}

/// Tells the multiplying warpgroups that this warp's share of a load unit is there.
///
/// # Safety
/// All lanes of the warp call it, converged; `barrier` counts an arrival of each warp of the converter.
#[inline(always)]
pub unsafe fn hand_over(barrier: u32) {
    fence::proxy_async_shared();
    // SAFETY: the barrier counts one arrival of each warp.
    unsafe { release(barrier) };
}

/// Where a thread's share of the first round lies.
struct Place {
    token: u32,
    /// Offset of its codes, from those of the group.
    source: u32,
    /// Offset of what becomes of them, from the tiles of the group.
    target: u32,
    /// Whether it takes part in the last round.
    is_last_warp: bool,
}

impl Place {
    #[inline(always)]
    fn new() -> Self {
        let thread = special::thread_index() - CONVERTER_WARP * 32;
        let odd = thread / 4 % 2;
        let token = 2 * (thread / PAIR_THREADS) + odd;
        let (tile, chunk) = ((thread / 8 + odd) % 2, thread % 4);
        Self {
            token,
            source: token * UNIT_CODES + tile * TILE_CODES + chunk * CHUNK_BYTES,
            target: tile * TILE_BYTES + swizzle::chunk_offset(token, 2 * chunk),
            is_last_warp: special::warp() == CONVERTER_WARP,
        }
    }

    /// Converts load unit `unit` of the ring's current block.
    ///
    /// # Safety
    /// All threads of the converter call it, converged; the codes and the scales have landed.
    #[inline(always)]
    unsafe fn convert<E: Element>(&self, ring: &Ring, shared: u32, unit: u32) {
        let (tiles, codes) = (source::tiles(ring, shared, unit), source::codes(ring, shared, unit));
        let scales = source::scales(ring, shared) + unit * (TOKEN_SCALE_BYTES / 2);
        // SAFETY: the caller's promise. Nothing is in the first two tiles; the others hold codes that all threads have
        // read by the barrier.
        unsafe {
            let first = self.load(codes);
            self.store::<E>(tiles, &first, scales);
            let second = self.load(codes + GROUP_CODES);
            barrier::sync::<CONVERTER_GROUP, CONVERTER>();
            self.store::<E>(tiles + 2 * TILE_BYTES, &second, scales + 4);
        }
    }

    /// The thread's codes of the group whose codes begin at `group`.
    #[inline(always)]
    unsafe fn load(&self, group: u32) -> Codes {
        let first = group + self.source;
        let mut codes = [[0; 4]; ROUNDS + 1];
        // SAFETY: inside the unit, 16-byte aligned.
        unsafe {
            seq!(I in 0..5 {
                codes[I] = memory::load_u32x4(first + I * ROUND * UNIT_CODES);
            });
            if self.is_last_warp {
                codes[ROUNDS] = memory::load_u32x4(first + ROUNDS as u32 * ROUND * UNIT_CODES);
            }
        }
        codes
    }

    /// Stores what becomes of them, in the two tiles from `tiles` on. `scales` is the address of the group's first scale.
    #[inline(always)]
    unsafe fn store<E: Element>(&self, tiles: u32, codes: &Codes, scales: u32) {
        // SAFETY: rounds that the thread takes part in.
        unsafe {
            seq!(I in 0..5 {
                self.store_round::<E, I>(tiles, codes[I], scales);
            });
            if self.is_last_warp {
                self.store_round::<E, { ROUNDS as u32 }>(tiles, codes[ROUNDS], scales);
            }
        }
    }

    #[inline(always)]
    unsafe fn store_round<E: Element, const I: u32>(
        &self,
        tiles: u32,
        codes: [u32; 4],
        scales: u32,
    ) {
        let token = self.token + I * ROUND;
        // 12 tokens further, the swizzle is that of 4 further.
        let flipped = self.target ^ (I % 2 * ATOM_HALF);
        let target = tiles + flipped + I * ROUND * swizzle::ROW_BYTES;
        // SAFETY: inside the tile, 16-byte aligned. An odd chunk has its place beside the even one before it.
        unsafe {
            let scale = memory::load_f32(scales + token * TOKEN_SCALE_BYTES);
            let [low, high] = dequantise::<E>(codes, scale);
            memory::store_u32x4(target, low);
            memory::store_u32x4(target ^ CHUNK_BYTES, high);
        }
    }
}

/// Makes elements of type `E` of the bf16 rope tile at `tile`, each rounded once.
///
/// # Safety
/// All threads of the converter call it; the tile has landed.
#[inline(always)]
unsafe fn convert_rope<E: Element>(tile: u32) {
    let mut offset = (special::thread_index() - CONVERTER_WARP * 32) * CHUNK_BYTES;
    while offset < TILE_BYTES {
        // SAFETY: inside the tile, 16-byte aligned, and no other thread's.
        unsafe {
            let chunk = memory::load_u32x4(tile + offset);
            memory::store_u32x4(tile + offset, chunk.map(from_bf16::<E>));
        }
        offset += CONVERTER * CHUNK_BYTES;
    }
}

/// Two packed bf16 as elements of type `E`.
#[inline(always)]
fn from_bf16<E: Element>(packed: u32) -> u32 {
    let [low, high] = Bf16::unpack(packed);
    E::pack(low, high)
}

/// 16 codes times their scale, each rounded once.
#[inline(always)]
pub fn dequantise<E: Element>(codes: [u32; 4], scale: f32) -> [[u32; 4]; 2] {
    let mut values = [[0; 4]; 2];
    seq!(I in 0..4 {
        let [a, b, c, d] = math::unpack_e4m3(codes[I]);
        values[I / 2][2 * (I % 2)] = E::pack(a * scale, b * scale);
        values[I / 2][2 * (I % 2) + 1] = E::pack(c * scale, d * scale);
    });
    values
}
