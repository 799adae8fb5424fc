//! The cache of one layer.

use std::ops::Range;

use oxmla_kernels::cache::fp8::Fp8Format;

use super::growth::BlockCopy;
use super::layout::{CacheFormat, CacheLayout};
use super::sequence::Sequence;
use crate::buffer::Buffer;
use crate::check;
use crate::device::Device;
use crate::dtype::Element;
use crate::error::{Error, Result};
use crate::tensor::{TensorMut, TensorRef, byte_size};

/// The memory of one layer's cached tokens on a device: `[blocks, block size, h_k, 576]` of bf16 or
/// f16, or `[blocks, block size, 1, 656, 644 or 584]` bytes of an FP8 format.
///
/// Reads and writes are synchronous and know nothing of streams, as those of [`Buffer`].
#[derive(Debug)]
pub struct LatentCache {
    layout: CacheLayout,
    blocks: usize,
    buffer: Buffer,
}

impl LatentCache {
    /// A cache of `blocks` blocks on `device`. What is in them is unspecified.
    ///
    /// # Errors
    /// - [`Error::OutOfRange`] if there are no blocks, or more than an `i32` can number.
    /// - [`Error::OutOfMemory`], [`Error::SizeOverflow`], [`Error::Driver`], or [`Error::ModuleLoad`]: the first cache of
    ///   a format loads its kernels, see [`Device::load`].
    pub fn new(device: &Device, layout: CacheLayout, blocks: usize) -> Result<Self> {
        let bytes = check_size(&layout, blocks)?;
        Self::from_buffer(layout, blocks, device.alloc(bytes)?)
    }

    /// A cache of `blocks` blocks at the beginning of `buffer`, with what is in it.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] and [`Error::ModuleLoad`] as for [`LatentCache::new`], [`Error::OutsideBuffer`] if they do not
    /// fit.
    pub fn from_buffer(layout: CacheLayout, blocks: usize, buffer: Buffer) -> Result<Self> {
        let (len, size) = (check_size(&layout, blocks)?, buffer.len_bytes());
        if len > size {
            return Err(Error::OutsideBuffer { offset: 0, len, size });
        }
        #[cfg(feature = "cuda")]
        if let Some(device) = buffer.gpu() {
            crate::backend::cuda::prepare_cache(device, layout.format())?;
        }
        Ok(Self { layout, blocks, buffer })
    }

    /// How the tokens lie in memory.
    #[must_use]
    pub const fn layout(&self) -> &CacheLayout {
        &self.layout
    }

    /// Blocks.
    #[must_use]
    pub const fn blocks(&self) -> usize {
        self.blocks
    }

    /// The cache as a tensor, of the layout's [shape](CacheLayout::shape).
    #[must_use]
    pub fn view(&self) -> TensorRef<'_> {
        let shape = self.layout.shape(self.blocks).into();
        let (address, location) = (self.buffer.address(), self.buffer.location());
        TensorRef::contiguous(address, self.layout.dtype(), shape, location)
    }

    /// The cache as a tensor, to write, of the layout's [shape](CacheLayout::shape).
    #[must_use]
    pub fn view_mut(&mut self) -> TensorMut<'_> {
        let shape = self.layout.shape(self.blocks).into();
        let (address, location) = (self.buffer.address(), self.buffer.location());
        TensorMut::contiguous(address, self.layout.dtype(), shape, location)
    }

    /// The memory.
    #[must_use]
    pub const fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Writes the rows of the tokens `positions` of `sequence`: `rows [positions, h_k, 576]`, of an FP8
    /// format `[positions, 656, 644 or 584]` bytes, a token's parts in the order in which a block has them. Tokens that lie
    /// side by side are written with one copy.
    ///
    /// # Errors
    /// - [`Error::DTypeMismatch`] if `T` is not the type of the cache.
    /// - [`Error::ShapeMismatch`] if `rows` has not as many elements as the tokens.
    /// - [`Error::BeyondSequence`] if the sequence has not so many tokens.
    /// - [`Error::OutOfRange`] if the sequence has blocks that this cache has not, [`Error::BlockSizeMismatch`] if they
    ///   are of another size.
    /// - [`Error::Driver`].
    pub fn write_rows<T: Element>(
        &mut self,
        sequence: &Sequence,
        positions: Range<usize>,
        rows: &[T],
    ) -> Result<()> {
        self.check_dtype::<T>()?;
        let ranges = self.byte_ranges(sequence, positions.clone())?;
        let expected = positions.len() * self.layout.elements_per_token();
        if rows.len() != expected {
            let got = rows.len();
            return Err(Error::ShapeMismatch { arg: "rows", axis: "elements", expected, got });
        }
        let mut rest: &[u8] = bytemuck::cast_slice(rows);
        for range in ranges {
            let (bytes, behind) = rest.split_at(range.len());
            self.buffer.write(range.start, bytes)?;
            rest = behind;
        }
        Ok(())
    }

    /// The rows of the tokens `positions` of `sequence`: `[positions, h_k, 576]`, or bytes, as
    /// [`LatentCache::write_rows`] takes them.
    ///
    /// # Errors
    /// As for [`LatentCache::write_rows`].
    pub fn read_rows<T: Element>(
        &self,
        sequence: &Sequence,
        positions: Range<usize>,
    ) -> Result<Vec<T>> {
        self.check_dtype::<T>()?;
        let ranges = self.byte_ranges(sequence, positions.clone())?;
        let mut rows = vec![T::zeroed(); positions.len() * self.layout.elements_per_token()];
        let mut rest: &mut [u8] = bytemuck::cast_slice_mut(&mut rows);
        for range in ranges {
            let (bytes, behind) = rest.split_at_mut(range.len());
            self.buffer.read(range.start, bytes)?;
            rest = behind;
        }
        Ok(rows)
    }

    /// Copies a block, as [`BlockPool::append`](super::BlockPool::append) asks for.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the cache has no such block, [`Error::Driver`].
    pub fn copy_block(&mut self, copy: BlockCopy) -> Result<()> {
        let bytes = self.layout.bytes_per_block();
        let from = self.block_index("from", copy.from)? * bytes;
        let to = self.block_index("to", copy.to)? * bytes;
        if from == to {
            return Ok(());
        }
        self.buffer.copy_within(from, to, bytes)
    }

    fn check_dtype<T: Element>(&self) -> Result<()> {
        if T::DTYPE == self.layout.dtype() {
            return Ok(());
        }
        let (expected, got) = (self.layout.dtype(), T::DTYPE);
        Err(Error::DTypeMismatch { arg: "rows", expected, got })
    }

    fn block_index(&self, arg: &'static str, id: i32) -> Result<usize> {
        let index = usize::try_from(id).ok().filter(|&block| block < self.blocks);
        index.ok_or_else(|| {
            let (max, got) = (self.blocks as i128 - 1, id.into());
            Error::OutOfRange { arg, min: 0, max, got }
        })
    }

    /// The bytes of tokens, as few ranges as possible.
    fn byte_ranges(
        &self,
        sequence: &Sequence,
        positions: Range<usize>,
    ) -> Result<Vec<Range<usize>>> {
        let (expected, got) = (self.layout.block_size(), sequence.block_size());
        if got != expected {
            return Err(Error::BlockSizeMismatch { expected, got });
        }
        for &id in sequence.blocks() {
            self.block_index("block of the sequence", id)?;
        }
        let bytes = self.layout.bytes_per_token();
        let runs = sequence.runs(positions)?.into_iter();
        if let CacheFormat::Fp8(format @ (Fp8Format::Paged584 | Fp8Format::Planar644)) =
            self.layout.format()
        {
            let tokens = runs.flat_map(|(first, tokens)| {
                let first = sequence.token_index(first);
                first..first + tokens
            });
            return Ok(tokens.flat_map(|token| self.parts(format, token)).collect());
        }
        let range = |(first, tokens)| {
            let start = sequence.token_index(first) * bytes;
            start..start + tokens * bytes
        };
        Ok(runs.map(range).collect())
    }

    /// The bytes of a token of a format whose tokens are not in one piece: elements, rope part if it is not among them, and
    /// scales.
    fn parts(&self, format: Fp8Format, token: usize) -> impl Iterator<Item = Range<usize>> {
        let (layout, block_size) = (format.layout(), self.layout.block_size());
        let block = token / block_size * self.layout.bytes_per_block();
        let part = move |first: u64, stride: u32| {
            let start = block + first as usize + token % block_size * stride as usize;
            start..start + stride as usize
        };
        let tokens = block_size as u64;
        let rope =
            layout.rope_in_token.is_none().then(|| part(layout.rope(tokens), layout.rope_stride));
        let scales = part(layout.scales(tokens), layout.scale_stride);
        [Some(part(0, layout.token_stride)), rope, Some(scales)].into_iter().flatten()
    }
}

/// Bytes of a cache of `blocks` blocks.
fn check_size(layout: &CacheLayout, blocks: usize) -> Result<usize> {
    check::range("blocks", blocks as i128, 1, i32::MAX)?;
    byte_size("kv_cache", layout.dtype(), &layout.shape(blocks))
}
