//! A cache and the table of a batch.

use oxmla::cache::{BLOCK_SIZE, CacheLayout, LatentCache};
use oxmla::{Buffer, DType, Device, MlaDims, Result, TensorRef};

/// Elements of a cached row.
pub const ROW: usize = 576;
/// Bytes of a cached row.
pub const ROW_BYTES: usize = 2 * ROW;

/// Requests of one length, their blocks all over the cache.
pub struct Pages {
    pub cache: LatentCache,
    table: Buffer,
    batch: usize,
    columns: usize,
}

impl Pages {
    /// Memory for `batch` requests of `length` tokens; zeros.
    pub fn new(device: &Device, batch: usize, length: usize) -> Result<Self> {
        let columns = length.div_ceil(BLOCK_SIZE);
        let blocks = batch * columns;
        let layout = CacheLayout::new(MlaDims::deepseek_v3(), DType::Bf16, BLOCK_SIZE)?;
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
