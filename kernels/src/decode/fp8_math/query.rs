//! Codes of Q: e4m3 with a power of two as scale for each row, and its rope part divided by that.
//!
//! Q lands as in the dense kernel, in eight tiles of 64 latent dimensions and a rope tile. Two threads have a row, each
//! half of every tile's chunks. Codes take half of the place: those of tiles `2 i` and `2 i + 1` become tile `i`, which
//! has been read by then.

use seq_macro::seq;

use super::config::*;
use crate::attention::rows;
use crate::cache::fp8::{finite, inverse, scale_of};
use crate::ptx::{barrier, fence, math, registers, shared as memory, special, warp};
use crate::tile::element::{Bf16, Element};
use crate::tile::swizzle::{self, TILE_BYTES};

/// Chunks of a row of a tile that a thread has.
const CHUNKS: u32 = 4;

/// Makes codes of Q, which has landed, and stores their scales.
///
/// # Safety
/// The four warps of the left warpgroup call it, converged.
#[inline(always)]
pub unsafe fn quantise<E: Element>(shared: u32) {
    // Hidden from the compiler, which would keep what follows from it in registers from piece to piece.
    let thread = registers::opaque(special::thread_index());
    let (q, row, first) = (shared + Q, thread / 2, thread % 2 * CHUNKS);
    // SAFETY: inside Q, where the other thread of the row is in the same warp.
    unsafe {
        let scale = scale_of(row_maximum::<E>(q, row, first), true);
        let factor = inverse(scale);
        let mut tile = 0;
        while tile < CODE_TILES {
            quantise_tile::<E>(q, row, first, tile, factor);
            tile += 1;
        }
        divide_rope::<E>(q + Q_ROPE_TILE * TILE_BYTES, row, first, factor);
        if first == 0 {
            memory::store_f32(shared + QUERY_SCALES + 4 * row, scale);
        }
        fence::proxy_async_shared();
        barrier::sync::<LEFT_GROUP, WARPGROUP>();
    }
}

/// The scales of this thread's two rows of an accumulator. (They are not kept: there are no registers for them.)
///
/// # Safety
/// The left warpgroup has made codes of Q.
#[inline(always)]
pub unsafe fn scales(shared: u32) -> [f32; 2] {
    // SAFETY: the rows are below 64.
    rows::fragment_rows().map(|row| unsafe { memory::load_f32(shared + QUERY_SCALES + 4 * row) })
}

/// The largest magnitude of the row's latent part that is a number.
#[inline(always)]
unsafe fn row_maximum<E: Element>(q: u32, row: u32, first: u32) -> f32 {
    let mut amax = 0.0;
    let mut tile = q;
    while tile < q + Q_ROPE_TILE * TILE_BYTES {
        seq!(I in 0..4 {
            // SAFETY: inside the tile, 16-byte aligned.
            let chunk = unsafe { memory::load_u32x4(tile + swizzle::chunk_offset(row, first + I)) };
            seq!(J in 0..4 {
                let [low, high] = E::unpack(chunk[J]).map(|x| finite(x).abs());
                amax = math::max(amax, math::max(low, high));
            });
        });
        tile += TILE_BYTES;
    }
    math::max(amax, warp::butterfly::<1>(amax))
}

/// Makes tile `tile` of codes of the two tiles that have its dimensions.
#[inline(always)]
unsafe fn quantise_tile<E: Element>(q: u32, row: u32, first: u32, tile: u32, factor: f32) {
    let from = q + 2 * tile * TILE_BYTES;
    // SAFETY: inside the tiles, 16-byte aligned. What is overwritten has been read: by the other thread of the row before
    // the lanes meet, or for an earlier tile.
    unsafe {
        let mut codes = [[0; 4]; CHUNKS as usize];
        seq!(I in 0..8 {
            let chunk = swizzle::chunk_offset(row, first + I % CHUNKS);
            let [a, b] = quantise_chunk::<E>(from + I / CHUNKS * TILE_BYTES + chunk, factor);
            codes[I / 2][I % 2 * 2] = a;
            codes[I / 2][I % 2 * 2 + 1] = b;
        });
        warp::sync();
        seq!(I in 0..4 {
            let chunk = swizzle::chunk_offset(row, first / 2 + I / 2 * CHUNKS + I % 2);
            memory::store_u32x4(q + tile * TILE_BYTES + chunk, codes[I]);
        });
        warp::sync();
    }
}

/// Codes of the eight elements at `address`.
#[inline(always)]
unsafe fn quantise_chunk<E: Element>(address: u32, factor: f32) -> [u32; 2] {
    // SAFETY: the caller's promise.
    let [a, b, c, d] = unsafe { memory::load_u32x4(address) }
        .map(|pair| E::unpack(pair).map(|x| finite(x) * factor));
    [math::pack_e4m3([a[0], a[1], b[0], b[1]]), math::pack_e4m3([c[0], c[1], d[0], d[1]])]
}

/// Multiplies the thread's share of the rope tile by `factor`, and makes bf16 of it.
#[inline(always)]
unsafe fn divide_rope<E: Element>(tile: u32, row: u32, first: u32, factor: f32) {
    seq!(I in 0..4 {
        // SAFETY: inside the tile, 16-byte aligned, and no other thread's.
        unsafe {
            let address = tile + swizzle::chunk_offset(row, first + I);
            let chunk = memory::load_u32x4(address);
            memory::store_u32x4(address, chunk.map(|pair| {
                let [low, high] = E::unpack(pair).map(|x| x * factor);
                Bf16::pack(low, high)
            }));
        }
    });
}
