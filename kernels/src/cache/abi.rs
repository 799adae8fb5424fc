//! Parameters of the cache kernels.
//!
//! Addresses are those of the device, 0 where an optional tensor is missing; strides are in elements, those of the
//! cache in bytes.

use bytemuck::{Pod, Zeroable};

/// A paged cache and the block table of a batch. The cache is `[blocks, block size, 1, 576]` of 16-bit elements, or
/// has the blocks of an [`Fp8Format`](super::fp8::Fp8Format).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Pages {
    /// The cache, 16-byte aligned.
    pub cache: u64,
    /// Bytes from one block to the next, a multiple of 16.
    pub block_stride: u64,
    /// Bytes from one token of a block to the next, a multiple of 16; of no meaning to the FP8 kernels, whose formats
    /// say it.
    pub token_stride: u64,
    /// `*const i32 [batch, columns]`: block ids.
    pub table: u64,
    /// Stride of the table along requests.
    pub table_stride: u64,
    /// Ids in a row of the table.
    pub columns: u32,
    /// Blocks in the cache.
    pub blocks: u32,
    /// Tokens of a block: a power of two.
    pub block_size: u32,
    /// Its base-2 logarithm.
    pub block_log2: u32,
}

/// Parameters of the append kernels.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub struct AppendParams {
    /// Where rows go.
    pub pages: Pages,
    /// `[rows, 512]`, or as wide as the FP8 format's latent part, 16-byte aligned. Like `rope` and `weight` of the
    /// cache's type, or of one of the 16-bit types if that is FP8.
    pub latent: u64,
    /// Stride of `latent` along rows, a multiple of 8.
    pub latent_stride: u64,
    /// `[rows, 64]`, 4-byte aligned.
    pub rope: u64,
    /// Stride of `rope` along rows, a multiple of 2.
    pub rope_stride: u64,
    /// `*const i32 [batch]`: tokens of each request, the new ones included.
    pub lengths: u64,
    /// `*const i32 [batch + 1]`: where each request's rows begin, and where the last ones end; 0 if each request has
    /// `rows_per_request`.
    pub offsets: u64,
    /// As wide as a row of `latent`, 16-byte aligned: weights of the normalisation; 0 for none.
    pub weight: u64,
    /// `*const f32 [positions, 32, 2]`, 8-byte aligned: cosines and sines; 0 for no rotation.
    pub rotations: u64,
    /// Rows in all.
    pub rows: u32,
    /// Requests.
    pub batch: u32,
    /// Rows of each request, where there are no `offsets`; at least 1.
    pub rows_per_request: u32,
    /// Positions that `rotations` has.
    pub positions: u32,
    /// Added to the mean square.
    pub eps: f32,
    /// For the FP8 kernels: 1 if scales are powers of two even where the format allows others.
    pub power_of_two_scales: u32,
}

/// Parameters of the gather kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct GatherParams {
    /// Where rows come from.
    pub pages: Pages,
    /// `*const i32 [batch + 1]`: where each request's rows begin in `out`, and where the last ones end.
    pub offsets: u64,
    /// `[rows, 576]` of the cache's type, or as wide as a row of the FP8 format and of one of the 16-bit types; 16-byte
    /// aligned.
    pub out: u64,
    /// Stride of `out` along rows, a multiple of 8.
    pub out_stride: u64,
    /// Rows in all.
    pub rows: u32,
    /// Requests.
    pub batch: u32,
}

/// Parameters of the kernel that copies blocks.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct CopyBlocksParams {
    /// Blocks of any kind without gaps inside, 16-byte aligned.
    pub cache: u64,
    /// Bytes from one block to the next, a multiple of 16.
    pub block_stride: u64,
    /// `*const i32 [copies, 2]`: the block to read and the block to write.
    pub pairs: u64,
    /// Blocks in the cache.
    pub blocks: u32,
    /// Vectors of 16 bytes in a block.
    pub vectors: u32,
}

const _: () = assert!(size_of::<Pages>() == 5 * 8 + 4 * 4);
const _: () = assert!(size_of::<AppendParams>() == size_of::<Pages>() + 8 * 8 + 6 * 4);
const _: () = assert!(size_of::<GatherParams>() == size_of::<Pages>() + 3 * 8 + 2 * 4);
const _: () = assert!(size_of::<CopyBlocksParams>() == 3 * 8 + 2 * 4);
