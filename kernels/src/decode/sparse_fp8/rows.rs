//! The rows of a block that a list names, as the producer copies them.

use seq_macro::seq;

use super::config::*;
use crate::cache::fp8::Layout;
use crate::decode::dense::config::TILE;
use crate::decode::sparse::lists::Section;
use crate::ptx::{cp_async, registers, special, warp};
use crate::tile::swizzle::{self, CHUNK_BYTES, ROW_BYTES, ROW_CHUNKS};

/// What the swizzle of a row and that of the fourth behind it differ in.
const ATOM_HALF: u32 = 4 * CHUNK_BYTES;
/// Of what tokens begin at multiples.
const UNIT: u64 = CHUNK_BYTES as u64;
/// Tokens that a lane knows about: the one of its number, and the one 32 behind it.
const PER_LANE: usize = TILE as usize / 32;

/// Where the 64 tokens of a block are.
pub struct Rows {
    /// Address of the cache.
    cache: u64,
    /// Where the lane's tokens are in it, in units of 16 bytes, in which 2^32 are 64 GiB; 0 for those that do not count.
    tokens: [u32; PER_LANE],
    /// Which tokens of their blocks they are, and how many a block has.
    places: [u32; PER_LANE],
    block_size: u32,
    /// Which of all tokens count, a bit for each; the same in all lanes.
    mask: [u32; PER_LANE],
}

impl Rows {
    /// Those that `indices` name, what [`Section::load`] gave for the lane's two.
    ///
    /// All lanes of the warp call it, converged.
    #[inline(always)]
    pub fn new<F: Codes>(section: &Section, indices: [i32; PER_LANE]) -> Self {
        let (cache, block_size) = (section.cache(), section.block_size());
        let mut rows = Self { cache, tokens: [0; 2], places: [0; 2], block_size, mask: [0; 2] };
        seq!(HALF in 0..2 {
            let index = section.counted(special::lane() + 32 * HALF, indices[HALF]);
            let (block, place) = section.place(index);
            let token = block + u64::from(place) * u64::from(F::LAYOUT.token_stride);
            rows.tokens[HALF] = ((token - cache) / UNIT) as u32;
            rows.places[HALF] = place;
            rows.mask[HALF] = warp::ballot(section.names(index));
        });
        rows
    }

    /// Which of the tokens count, a bit for each.
    #[inline(always)]
    pub fn mask(&self) -> [u32; PER_LANE] {
        self.mask
    }

    /// How many count.
    #[inline(always)]
    pub fn count(&self) -> i32 {
        (self.mask[0].count_ones() + self.mask[1].count_ones()) as i32
    }

    /// Issues the copies of the codes of `count` tiles, at most four, from the token's tile `first` on, to `to`, tile by tile.
    /// An instruction copies of eight tokens what becomes the row of a tile, 64 bytes, and writes to all banks; those that
    /// follow take the bytes behind, for which an address is worked out once.
    ///
    /// # Safety
    /// All lanes of the warp call it, converged; the place is free.
    #[inline(always)]
    pub unsafe fn copy_codes(&self, first: u32, count: u32, to: u32) {
        let lane = lane();
        let (token, piece) = (lane / ROW_PIECES, lane % ROW_PIECES);
        let from = u64::from(first * TILE_CODES + piece * CHUNK_BYTES);
        let to = registers::opaque(to + lane * CHUNK_BYTES);
        seq!(I in 0..8 {
            let (address, bytes) = self.token::<{ I / 4 }>(token, I % 4 * 8);
            seq!(T in 0..4 {
                if T < count {
                    let place = to + I * 8 * TILE_CODES + T * TILE_CODE_BYTES;
                    // SAFETY: codes of a token, 16-byte aligned, and their place.
                    unsafe { copy(place, address + from + u64::from(T * TILE_CODES), bytes) };
                }
            });
        });
    }

    /// Issues the copies of the rope parts to the tile at `tile`, where they stay. An instruction copies of four tokens 128
    /// bytes each.
    ///
    /// # Safety
    /// All lanes of the warp call it, converged; the tile is free.
    #[inline(always)]
    pub unsafe fn copy_rope<F: Codes>(&self, tile: u32) {
        let lane = lane();
        let (token, chunk) = (lane / ROW_CHUNKS, lane % ROW_CHUNKS);
        let from = F::LAYOUT.rope(0) + u64::from(chunk * CHUNK_BYTES);
        let to = registers::opaque(tile + swizzle::chunk_offset(token, chunk));
        seq!(I in 0..16 {
            let (address, bytes) = self.token::<{ I / 8 }>(token, I % 8 * 4);
            // Four tokens further the swizzle is another, eight further the same.
            let place = (to ^ (I % 2 * ATOM_HALF)) + I * 4 * ROW_BYTES;
            // SAFETY: a chunk of a token's rope part, 16-byte aligned, and its place.
            unsafe { copy(place, address + from, bytes) };
        });
    }

    /// Issues the copies of the scales to `to`, token by token.
    ///
    /// # Safety
    /// All lanes of the warp call it, converged; the place is free.
    #[inline(always)]
    pub unsafe fn copy_scales<F: Codes>(&self, to: u32) {
        let lane = lane();
        seq!(HALF in 0..2 {
            let place = to + (32 * HALF + lane) * F::TOKEN_SCALE_BYTES;
            let counts = self.mask[HALF] >> lane & 1;
            // SAFETY: scales of a token, aligned as they are long, and their place.
            unsafe {
                match F::TOKEN_SCALE_BYTES {
                    16 => copy(place, self.scales::<F, HALF>(), 16 * counts),
                    _ => cp_async::copy_8(place, self.scales::<F, HALF>(), 8 * counts),
                }
            }
        });
    }

    /// Address of the lane's token of the half.
    #[inline(always)]
    fn own<const HALF: usize>(&self) -> u64 {
        self.cache + UNIT * u64::from(self.tokens[HALF])
    }

    /// Address of its scales.
    #[inline(always)]
    fn scales<F: Codes, const HALF: usize>(&self) -> u64 {
        let place = u64::from(self.places[HALF]);
        let Layout { token_stride, scale_stride, .. } = F::LAYOUT;
        let block = self.own::<HALF>() - place * u64::from(token_stride);
        block + F::LAYOUT.scales(u64::from(self.block_size)) + place * u64::from(scale_stride)
    }

    /// Address of token `token + further` of the half, which is another lane's perhaps, and bytes of every 16 to copy. All
    /// lanes call it, converged.
    #[inline(always)]
    fn token<const HALF: usize>(&self, token: u32, further: u32) -> (u64, u32) {
        let offset = warp::broadcast(self.tokens[HALF], token + further);
        let counts = self.mask[HALF] >> token >> further & 1;
        (self.cache + UNIT * u64::from(offset), 16 * counts)
    }
}

/// This lane. Hidden from the compiler, which would keep what follows from it from block to block.
#[inline(always)]
fn lane() -> u32 {
    registers::opaque(special::lane())
}

/// Copies 16 bytes, of which those from `bytes` on are zero.
#[inline(always)]
unsafe fn copy(to: u32, from: u64, bytes: u32) {
    // SAFETY: the caller's promise.
    unsafe { cp_async::copy_16(to, from, bytes) };
}
