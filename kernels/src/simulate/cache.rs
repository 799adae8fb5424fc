//! The cache kernels over host memory.
//!
//! 16-bit floats are given as their bits. The cache and the block table are contiguous; that slices are as long as
//! their shapes say is for the machine to find out, as it checks every access.

use oxmla_simt::{Launch, Memory};

use super::{ElementType, Error, entry};
use crate::cache::abi::{AppendParams, CopyBlocksParams, GatherParams, Pages};
use crate::cache::{copy, ctas};
use crate::decode::dense::config::D_QK;
use crate::decode::schedule::BLOCK_TOKENS;
use crate::launch::{self, Kernel};

/// Elements of a block of one KV head.
const BLOCK: usize = (BLOCK_TOKENS * D_QK) as usize;

/// New tokens into the cache.
pub struct AppendRows<'a> {
    /// Element type of everything with 16 bits.
    pub element: ElementType,
    /// Rows in all.
    pub rows: u32,
    /// `[rows, 512]`, 16-byte aligned.
    pub latent: &'a [u16],
    /// Elements from one row of `latent` to the next.
    pub latent_stride: usize,
    /// `[rows, 64]`, 4-byte aligned.
    pub rope: &'a [u16],
    /// Elements from one row of `rope` to the next.
    pub rope_stride: usize,
    /// `[512]`, 16-byte aligned: weights of the normalisation, if there is one.
    pub weight: Option<&'a [u16]>,
    /// Added to the mean square.
    pub eps: f32,
    /// `[positions, 32, 2]`, 8-byte aligned: cosines and sines, if there is a rotation.
    pub rotations: Option<&'a [f32]>,
    /// `[batch]`: tokens of each request, the new ones included.
    pub lengths: &'a [i32],
    /// `[batch + 1]`: where each request's rows begin; without, all have the same number.
    pub offsets: Option<&'a [i32]>,
    /// `[batch, blocks per request]`.
    pub block_table: &'a [i32],
    /// `[blocks, 64, 1, 576]`, 16-byte aligned.
    pub kv_cache: &'a mut [u16],
}

/// Cached tokens as rows.
pub struct GatherRows<'a> {
    /// Rows in all.
    pub rows: u32,
    /// `[blocks, 64, 1, 576]`, 16-byte aligned.
    pub kv_cache: &'a [u16],
    /// `[batch, blocks per request]`.
    pub block_table: &'a [i32],
    /// `[batch + 1]`: where each request's rows begin.
    pub offsets: &'a [i32],
    /// `[rows, 576]`, 16-byte aligned.
    pub out: &'a mut [u16],
}

/// Copies of whole blocks.
pub struct CopyBlocks<'a> {
    /// KV heads.
    pub h_k: u32,
    /// `[copies, 2]`: from and to.
    pub pairs: &'a [i32],
    /// `[blocks, 64, h_k, 576]`, 16-byte aligned.
    pub kv_cache: &'a mut [u16],
}

impl AppendRows<'_> {
    /// Runs the kernel, its launch changed by `configure`.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    pub fn run(self, configure: impl Fn(Launch) -> Launch) -> Result<(), Error> {
        let batch = self.lengths.len();
        let mut memory = Memory::new();
        let blocks = self.kv_cache.len() / BLOCK;
        let cache = memory.read_write(self.kv_cache);
        let params = AppendParams {
            pages: pages(&mut memory, cache, blocks, self.block_table, batch),
            latent: memory.read_only(self.latent),
            latent_stride: self.latent_stride as u64,
            rope: memory.read_only(self.rope),
            rope_stride: self.rope_stride as u64,
            lengths: memory.read_only(self.lengths),
            offsets: self.offsets.map_or(0, |offsets| memory.read_only(offsets)),
            weight: self.weight.map_or(0, |weight| memory.read_only(weight)),
            rotations: self.rotations.map_or(0, |rotations| memory.read_only(rotations)),
            rows: self.rows,
            batch: batch as u32,
            rows_per_request: self.rows.checked_div(batch as u32).unwrap_or(0),
            positions: self.rotations.map_or(0, |rotations| rotations.len() / 64) as u32,
            eps: self.eps,
            reserved: 0,
        };
        match self.element {
            ElementType::Bf16 => {
                let launch = geometry(&launch::APPEND_BF16, [ctas(self.rows), 1, 1]);
                start(configure(launch), &memory, || entry::append_bf16(&params))
            }
            ElementType::F16 => {
                let launch = geometry(&launch::APPEND_F16, [ctas(self.rows), 1, 1]);
                start(configure(launch), &memory, || entry::append_f16(&params))
            }
        }
    }
}

impl GatherRows<'_> {
    /// Runs the kernel, its launch changed by `configure`.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    pub fn run(self, configure: impl Fn(Launch) -> Launch) -> Result<(), Error> {
        let batch = self.offsets.len().saturating_sub(1);
        let mut memory = Memory::new();
        let cache = memory.read_only(self.kv_cache);
        let blocks = self.kv_cache.len() / BLOCK;
        let params = GatherParams {
            pages: pages(&mut memory, cache, blocks, self.block_table, batch),
            offsets: memory.read_only(self.offsets),
            out: memory.read_write(self.out),
            out_stride: D_QK.into(),
            rows: self.rows,
            batch: batch as u32,
        };
        let launch = geometry(&launch::GATHER, [ctas(self.rows), 1, 1]);
        start(configure(launch), &memory, || entry::gather(&params))
    }
}

impl CopyBlocks<'_> {
    /// Runs the kernel, its launch changed by `configure`.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    pub fn run(self, configure: impl Fn(Launch) -> Launch) -> Result<(), Error> {
        let block = self.h_k as usize * BLOCK;
        let blocks = (self.kv_cache.len() / block) as u32;
        let mut memory = Memory::new();
        let params = CopyBlocksParams {
            cache: memory.read_write(self.kv_cache),
            block_stride: block as u64,
            pairs: memory.read_only(self.pairs),
            blocks,
            reserved: 0,
        };
        let copies = self.pairs.len() as u32 / 2;
        let grid = [copies, copy::CTAS_PER_HEAD * self.h_k, 1];
        let launch = geometry(&launch::COPY_BLOCKS, grid);
        start(configure(launch), &memory, || entry::copy_blocks(&params))
    }
}

/// The description of a contiguous cache and table.
fn pages<'a>(
    memory: &mut Memory<'a>,
    cache: u64,
    blocks: usize,
    table: &'a [i32],
    batch: usize,
) -> Pages {
    let columns = table.len().checked_div(batch).unwrap_or(0);
    Pages {
        cache,
        block_stride: BLOCK as u64,
        token_stride: D_QK.into(),
        table: memory.read_only(table),
        table_stride: columns as u64,
        columns: columns as u32,
        blocks: blocks as u32,
    }
}

fn geometry(kernel: &Kernel, grid: [u32; 3]) -> Launch {
    Launch::new(kernel.name, grid, kernel.threads).stack_bytes(256 * 1024)
}

fn start(launch: Launch, memory: &Memory<'_>, kernel: impl Fn() + Sync) -> Result<(), Error> {
    launch.run(memory, kernel)?;
    Ok(())
}
