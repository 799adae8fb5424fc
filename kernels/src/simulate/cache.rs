//! The cache kernels over host memory.
//!
//! 16-bit floats are given as their bits. The cache and the block table are contiguous; that slices are as long as
//! their shapes say is for the machine to find out, as it checks every access.

use oxmla_simt::{Launch, Memory};

use super::{ElementType, Error, entry};
use crate::cache::abi::{AppendParams, CopyBlocksParams, GatherParams, Pages};
use crate::cache::fp8::Fp8Format;
use crate::cache::{copy, ctas};
use crate::decode::dense::config::{D_QK, D_ROPE};
use crate::launch::{self, Kernel};

/// How the tokens of a cache lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheFormat {
    /// `[blocks, block size, 1, 576]` elements of 16 bits, of the type of the rows.
    Elements,
    /// Blocks of an FP8 format.
    Fp8(Fp8Format),
}

impl CacheFormat {
    /// Bytes of a block of `block_size` tokens, with one KV head.
    #[must_use]
    pub const fn bytes_per_block(self, block_size: u32) -> usize {
        match self {
            Self::Elements => (2 * block_size * D_QK) as usize,
            Self::Fp8(format) => format.bytes_per_block(block_size) as usize,
        }
    }

    /// Elements of a token's row outside the cache.
    const fn width(self) -> u32 {
        match self {
            Self::Elements => D_QK,
            Self::Fp8(format) => format.layout().latent + D_ROPE,
        }
    }
}

/// New tokens into the cache.
pub struct AppendRows<'a> {
    /// Element type of everything with 16 bits, but for the rope part of an FP8 cache.
    pub element: ElementType,
    /// What the cache is.
    pub format: CacheFormat,
    /// Tokens of a block: 16, 32, 64 or 128.
    pub block_size: u32,
    /// Rows in all.
    pub rows: u32,
    /// `[rows, 512]`, or as wide as the format's latent part, 16-byte aligned.
    pub latent: &'a [u16],
    /// Elements from one row of `latent` to the next.
    pub latent_stride: usize,
    /// `[rows, 64]`, 4-byte aligned.
    pub rope: &'a [u16],
    /// Elements from one row of `rope` to the next.
    pub rope_stride: usize,
    /// As wide as a row of `latent`, 16-byte aligned: weights of the normalisation, if there is one.
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
    /// Whether the scales of an FP8 cache are powers of two whatever its format allows.
    pub power_of_two_scales: bool,
    /// The bytes of the cache, 16-byte aligned.
    pub kv_cache: &'a mut [u8],
}

/// Cached tokens as rows.
pub struct GatherRows<'a> {
    /// Element type of the rows.
    pub element: ElementType,
    /// What the cache is.
    pub format: CacheFormat,
    /// Tokens of a block: 16, 32, 64 or 128.
    pub block_size: u32,
    /// Rows in all.
    pub rows: u32,
    /// The bytes of the cache, 16-byte aligned.
    pub kv_cache: &'a [u8],
    /// `[batch, blocks per request]`.
    pub block_table: &'a [i32],
    /// `[batch + 1]`: where each request's rows begin.
    pub offsets: &'a [i32],
    /// `[rows, 576]`, or as wide as the format's rows, 16-byte aligned.
    pub out: &'a mut [u16],
}

/// Copies of whole blocks.
pub struct CopyBlocks<'a> {
    /// Bytes of a block, all KV heads together; a multiple of 16.
    pub bytes_per_block: usize,
    /// `[copies, 2]`: from and to.
    pub pairs: &'a [i32],
    /// The bytes of the cache, 16-byte aligned.
    pub kv_cache: &'a mut [u8],
}

impl AppendRows<'_> {
    /// Runs the kernel, its launch changed by `configure`.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    pub fn run(self, configure: impl Fn(Launch) -> Launch) -> Result<(), Error> {
        let batch = self.lengths.len();
        let mut memory = Memory::new();
        let bytes = self.kv_cache.len();
        let cache = memory.read_write(self.kv_cache);
        let of = (self.format, self.block_size);
        let params = AppendParams {
            pages: pages(&mut memory, (cache, bytes), of, self.block_table, batch),
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
            power_of_two_scales: self.power_of_two_scales.into(),
        };
        let (kernel, entry) = append_kernel(self.element, self.format);
        let launch = geometry(kernel, [ctas(self.rows), 1, 1]);
        start(configure(launch), &memory, || entry(&params))
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
        let (bytes, of) = (self.kv_cache.len(), (self.format, self.block_size));
        let params = GatherParams {
            pages: pages(&mut memory, (cache, bytes), of, self.block_table, batch),
            offsets: memory.read_only(self.offsets),
            out: memory.read_write(self.out),
            out_stride: self.format.width().into(),
            rows: self.rows,
            batch: batch as u32,
        };
        let (kernel, entry) = gather_kernel(self.element, self.format);
        let launch = geometry(kernel, [ctas(self.rows), 1, 1]);
        start(configure(launch), &memory, || entry(&params))
    }
}

impl CopyBlocks<'_> {
    /// Runs the kernel, its launch changed by `configure`.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    pub fn run(self, configure: impl Fn(Launch) -> Launch) -> Result<(), Error> {
        let blocks = (self.kv_cache.len() / self.bytes_per_block) as u32;
        let vectors = self.bytes_per_block as u32 / 16;
        let mut memory = Memory::new();
        let params = CopyBlocksParams {
            cache: memory.read_write(self.kv_cache),
            block_stride: self.bytes_per_block as u64,
            pairs: memory.read_only(self.pairs),
            blocks,
            vectors,
        };
        let grid = [self.pairs.len() as u32 / 2, copy::ctas_per_block(vectors), 1];
        let launch = geometry(&launch::COPY_BLOCKS, grid);
        start(configure(launch), &memory, || entry::copy_blocks(&params))
    }
}

type Entry<P> = (&'static Kernel, fn(&P));

fn append_kernel(element: ElementType, format: CacheFormat) -> Entry<AppendParams> {
    use CacheFormat::{Elements, Fp8};
    use ElementType::{Bf16, F16};
    use Fp8Format::{Paged584, Planar644, Token656};
    match (format, element) {
        (Elements, Bf16) => (&launch::APPEND_BF16, entry::append_bf16),
        (Elements, F16) => (&launch::APPEND_F16, entry::append_f16),
        (Fp8(Token656), Bf16) => (&launch::APPEND_FP8_656_BF16, entry::append_fp8_656_bf16),
        (Fp8(Token656), F16) => (&launch::APPEND_FP8_656_F16, entry::append_fp8_656_f16),
        (Fp8(Paged584), Bf16) => (&launch::APPEND_FP8_584_BF16, entry::append_fp8_584_bf16),
        (Fp8(Paged584), F16) => (&launch::APPEND_FP8_584_F16, entry::append_fp8_584_f16),
        (Fp8(Planar644), Bf16) => (&launch::APPEND_FP8_644_BF16, entry::append_fp8_644_bf16),
        (Fp8(Planar644), F16) => (&launch::APPEND_FP8_644_F16, entry::append_fp8_644_f16),
    }
}

fn gather_kernel(element: ElementType, format: CacheFormat) -> Entry<GatherParams> {
    use CacheFormat::{Elements, Fp8};
    use ElementType::{Bf16, F16};
    use Fp8Format::{Paged584, Planar644, Token656};
    match (format, element) {
        (Elements, _) => (&launch::GATHER, entry::gather),
        (Fp8(Token656), Bf16) => (&launch::GATHER_FP8_656_BF16, entry::gather_fp8_656_bf16),
        (Fp8(Token656), F16) => (&launch::GATHER_FP8_656_F16, entry::gather_fp8_656_f16),
        (Fp8(Paged584), Bf16) => (&launch::GATHER_FP8_584_BF16, entry::gather_fp8_584_bf16),
        (Fp8(Paged584), F16) => (&launch::GATHER_FP8_584_F16, entry::gather_fp8_584_f16),
        (Fp8(Planar644), Bf16) => (&launch::GATHER_FP8_644_BF16, entry::gather_fp8_644_bf16),
        (Fp8(Planar644), F16) => (&launch::GATHER_FP8_644_F16, entry::gather_fp8_644_f16),
    }
}

/// The description of a contiguous cache of so many bytes, and of a table.
fn pages<'a>(
    memory: &mut Memory<'a>,
    (cache, bytes): (u64, usize),
    (format, block_size): (CacheFormat, u32),
    table: &'a [i32],
    batch: usize,
) -> Pages {
    let columns = table.len().checked_div(batch).unwrap_or(0);
    let block = format.bytes_per_block(block_size);
    Pages {
        cache,
        block_stride: block as u64,
        token_stride: 2 * u64::from(D_QK),
        table: memory.read_only(table),
        table_stride: columns as u64,
        columns: columns as u32,
        blocks: (bytes / block) as u32,
        block_size,
        block_log2: block_size.ilog2(),
    }
}

fn geometry(kernel: &Kernel, grid: [u32; 3]) -> Launch {
    Launch::new(kernel.name, grid, kernel.threads).stack_bytes(256 * 1024)
}

fn start(launch: Launch, memory: &Memory<'_>, kernel: impl Fn() + Sync) -> Result<(), Error> {
    launch.run(memory, kernel)?;
    Ok(())
}
