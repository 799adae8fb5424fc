//! Device memory full of words that are known.

use anyhow::ensure;
use oxmla::backend::cuda::{CudaBuffer, CudaDevice};
use oxmla::{DType, Location, Result, TensorRef};
use oxmla_kernels::decode::dense::config::{D_QK, TILE};
use rand_chacha::rand_core::{Rng as _, SeedableRng};

use crate::elements::Rng;

/// Words that are random; they repeat after that: 16 MB.
const PERIOD: usize = 4 << 20;
/// Bytes of a word.
const WORD: usize = 4;
/// Words of a cached row.
const ROW_WORDS: usize = D_QK as usize / 2;
/// Bytes of a block of the cache that the memory can be seen as.
pub const BLOCK_BYTES: usize = (TILE * D_QK) as usize * 2;

/// Words that repeat.
struct Words(Vec<u32>);

impl Words {
    /// `period` random words.
    fn random(period: usize) -> Self {
        let mut rng = Rng::seed_from_u64(0);
        Self((0..period).map(|_| rng.next_u32()).collect())
    }

    /// Word number `index` of all.
    fn at(&self, index: usize) -> u32 {
        self.0[index % self.0.len()]
    }

    /// Sum of the first `count`, modulo 2³².
    fn sum(&self, count: usize) -> u32 {
        let (periods, rest) = (count / self.0.len(), count % self.0.len());
        sum(&self.0).wrapping_mul(periods as u32).wrapping_add(sum(&self.0[..rest]))
    }

    /// Word number `word` of row `row` of block `block`, as they are a cache `[blocks, 64, 1, 576]` of 16-bit
    /// elements.
    fn cached(&self, block: u32, row: u32, word: u32) -> u32 {
        let row = block as usize * TILE as usize + row as usize;
        self.at(row * ROW_WORDS + word as usize)
    }
}

/// Memory that begins with a period of random words and goes on with them.
pub struct Pattern {
    words: Words,
    memory: CudaBuffer,
}

impl Pattern {
    /// Allocates and fills `bytes`, a multiple of 4.
    pub fn new(device: &CudaDevice, bytes: usize) -> Result<Self> {
        let words = Words::random(PERIOD.min(bytes / WORD));
        let mut memory = device.alloc(bytes)?;
        memory.write(0, bytemuck::cast_slice(&words.0))?;
        let mut filled = words.0.len() * WORD;
        while filled < bytes {
            let more = filled.min(bytes - filled);
            memory.copy_within(0, filled, more)?;
            filled += more;
        }
        Ok(Self { words, memory })
    }

    /// The memory.
    pub fn memory(&self) -> &CudaBuffer {
        &self.memory
    }

    /// The memory, to write to.
    pub fn memory_mut(&mut self) -> &mut CudaBuffer {
        &mut self.memory
    }

    /// Sum of the first `bytes`, in words, modulo 2³².
    pub fn sum(&self, bytes: usize) -> u32 {
        self.words.sum(bytes / WORD)
    }

    /// The first `blocks` blocks of the memory as a cache `[blocks, 64, 1, 576]`.
    pub fn cache(&self, device: &CudaDevice, blocks: u32) -> Result<TensorRef<'_>> {
        let shape = [blocks as usize, TILE as usize, 1, D_QK as usize];
        let strides = [BLOCK_BYTES / 2, D_QK as usize, D_QK as usize, 1];
        let location = Location::Cuda { ordinal: device.ordinal() };
        debug_assert!(blocks as usize * BLOCK_BYTES <= self.memory.len());
        // SAFETY: inside the memory, which `self` keeps.
        unsafe {
            TensorRef::from_raw(self.memory.address(), DType::Bf16, &shape, &strides, location)
        }
    }

    /// Word number `word` of row `row` of block `block` of the cache.
    pub fn cached_word(&self, block: u32, row: u32, word: u32) -> u32 {
        self.words.cached(block, row, word)
    }

    /// Makes sure that `bytes` at `to` of the memory are a copy of what was at `from` in the beginning.
    pub fn ensure_copied(&self, from: usize, to: usize, bytes: usize) -> anyhow::Result<()> {
        let mut found = vec![0u32; bytes / WORD];
        self.memory.read(to, bytemuck::cast_slice_mut(&mut found))?;
        let is_copy =
            (from / WORD..).zip(&found).all(|(index, &word)| word == self.words.at(index));
        ensure!(is_copy, "the copy at byte {to} differs from the original at byte {from}");
        Ok(())
    }
}

/// Sum modulo 2³².
pub fn sum(words: &[u32]) -> u32 {
    words.iter().fold(0, |sum, word| sum.wrapping_add(*word))
}

/// The content of a buffer of `count` words.
pub fn read_words(buffer: &CudaBuffer, count: usize) -> Result<Vec<u32>> {
    let mut words = vec![0; count];
    buffer.read(0, bytemuck::cast_slice_mut(&mut words))?;
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_go_over_the_period() {
        let words = Words::random(10);
        let all: Vec<u32> = (0..37).map(|index| words.at(index)).collect();
        assert_eq!(all[..10], all[20..30]);
        for count in [0, 3, 10, 29, 37] {
            assert_eq!(words.sum(count), sum(&all[..count]));
        }
    }

    /// Row 2 of block 1 is row 66 of the cache.
    #[test]
    fn rows_of_blocks_follow_each_other() {
        let words = Words::random(100_000);
        assert_eq!(words.cached(1, 2, 5), words.0[66 * 288 + 5]);
    }
}
