//! A cache and the table of a batch.

use oxmla::cache::{BLOCK_SIZE, CacheLayout, Fp8Format, LatentCache};
use oxmla::{Buffer, DType, Device, MlaDims, Result, TensorRef};

/// A kind of cache, and what the benchmarks of it are called.
pub struct Kind {
    pub append: &'static str,
    pub gather: &'static str,
    fp8: Option<Fp8Format>,
}

/// bf16.
pub const BF16: Kind = Kind { append: "append", gather: "gather", fp8: None };
/// All kinds.
pub const KINDS: [Kind; 4] = [
    BF16,
    Kind { append: "append_fp8_656", gather: "gather_fp8_656", fp8: Some(Fp8Format::Token656) },
    Kind { append: "append_fp8_584", gather: "gather_fp8_584", fp8: Some(Fp8Format::Paged584) },
    Kind { append: "append_fp8_644", gather: "gather_fp8_644", fp8: Some(Fp8Format::Planar644) },
];

impl Kind {
    pub fn layout(&self) -> Result<CacheLayout> {
        match self.fp8 {
            Some(format) => CacheLayout::fp8(format, BLOCK_SIZE),
            None => CacheLayout::new(MlaDims::deepseek_v3(), DType::Bf16, BLOCK_SIZE),
        }
    }
}

/// Requests of one length, their blocks all over the cache.
pub struct Pages {
    pub cache: LatentCache,
    table: Buffer,
    batch: usize,
    columns: usize,
}

impl Pages {
    /// Memory for `batch` requests of `length` tokens; zeros.
    pub fn new(device: &Device, layout: CacheLayout, batch: usize, length: usize) -> Result<Self> {
        let columns = length.div_ceil(BLOCK_SIZE);
        let blocks = batch * columns;
        let memory = device.alloc_zeroed(blocks * layout.bytes_per_block())?;
        let cache = LatentCache::from_buffer(layout, blocks, memory)?;
        // A permutation, for the step is prime and larger than any number of blocks here has as a factor.
        let ids: Vec<i32> = (0..blocks).map(|block| (block * 1_000_003 % blocks) as i32).collect();
        Ok(Self { cache, table: device.upload(&ids)?, batch, columns })
    }

    /// Block ids: `[batch, columns]`.
    pub fn table(&self) -> Result<TensorRef<'_>> {
        table(&self.table, self.batch, self.columns)
    }

    /// The cache to write, and the block ids.
    pub fn split(&mut self) -> Result<(&mut LatentCache, TensorRef<'_>)> {
        Ok((&mut self.cache, table(&self.table, self.batch, self.columns)?))
    }
}

fn table(ids: &Buffer, batch: usize, columns: usize) -> Result<TensorRef<'_>> {
    ids.view(DType::I32, &[batch, columns])
}

/// Offsets of requests with `each` rows: `[batch + 1] i32`.
pub fn offsets(device: &Device, batch: usize, each: usize) -> Result<Buffer> {
    let offsets: Vec<i32> = (0..=batch).map(|request| (request * each) as i32).collect();
    device.upload(&offsets)
}
