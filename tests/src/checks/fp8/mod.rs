//! Caches of the FP8 formats: what goes in, what comes out, bit by bit as on the CPU, and attention over them.

mod append;
mod blocks;
mod decode;
mod step;

pub use append::{new_rows, rows_without_a_place};
pub use blocks::{copied_blocks, gathered_rows};
pub use decode::decoded;

use oxmla::cache::Fp8Format;

use crate::layout::Layout;

/// Both formats.
const FORMATS: [Fp8Format; 2] = [Fp8Format::Token656, Fp8Format::Paged584];

/// A cache of `blocks` blocks of `block_size` tokens with gaps between them: those of `Paged584` begin at multiples of 576 bytes, as FlashMLA
/// asks for.
const fn with_gaps(format: Fp8Format, blocks: usize, block_size: usize) -> Layout<4> {
    let width = format.bytes_per_token() as usize;
    let stride = match format {
        Fp8Format::Token656 => block_size * width + 80,
        Fp8Format::Paged584 => (block_size * width).next_multiple_of(576),
    };
    Layout { shape: [blocks, block_size, 1, width], strides: [stride, width, width, 1] }
}
