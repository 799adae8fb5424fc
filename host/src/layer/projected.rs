//! What hidden states are projected to.

use crate::buffer::Buffer;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::{TensorMut, TensorRef, byte_size};

/// Rows for the query, `[tokens, q_lora_rank]` or `[tokens, heads · (nope + rope)]`, and rows for the cache,
/// `[tokens, 576]`. Where both are of one type they stand side by side, so that one product makes them.
#[derive(Debug)]
pub struct Projected {
    buffer: Buffer,
    query: Place,
    cached: Place,
}

/// Rows inside the buffer.
#[derive(Clone, Copy, Debug)]
struct Place {
    dtype: DType,
    /// Of the first row, in bytes.
    offset: usize,
    /// Elements of a row.
    width: usize,
    /// Elements from one row to the next.
    stride: usize,
}

impl Projected {
    /// Memory for `max_tokens` tokens; widths and types are those of query and cache.
    pub fn new(
        device: &Device,
        max_tokens: usize,
        widths: [usize; 2],
        dtypes: [DType; 2],
    ) -> Result<Self> {
        let bytes = |part: usize| byte_size("scratch", dtypes[part], &[max_tokens, widths[part]]);
        let both =
            bytes(0)?.checked_add(bytes(1)?).ok_or(Error::SizeOverflow { what: "scratch" })?;
        let place = |part: usize, offset, stride| {
            let (dtype, width) = (dtypes[part], widths[part]);
            Place { dtype, offset, width, stride }
        };
        let [query, cached] = if dtypes[0] == dtypes[1] {
            let (behind, stride) = (widths[0] * dtypes[0].size(), widths[0] + widths[1]);
            [place(0, 0, stride), place(1, behind, stride)]
        } else {
            // The larger type first, so that the other is aligned.
            [place(0, 0, widths[0]), place(1, bytes(0)?, widths[1])]
        };
        Ok(Self { buffer: device.alloc(both)?, query, cached })
    }

    /// Rows for the query and for the cache as one matrix, if they stand side by side.
    pub fn both_mut(&mut self, tokens: usize) -> Result<Option<TensorMut<'_>>> {
        let Place { dtype, width, stride, .. } = self.query;
        if stride == width {
            return Ok(None);
        }
        self.buffer.view_mut(dtype, &[tokens, stride]).map(Some)
    }

    /// Rows for the query.
    pub fn query_mut(&mut self, tokens: usize) -> Result<TensorMut<'_>> {
        self.view_mut(self.query, tokens)
    }

    /// Rows for the cache.
    pub fn cached_mut(&mut self, tokens: usize) -> Result<TensorMut<'_>> {
        self.view_mut(self.cached, tokens)
    }

    /// Rows for the query: `[tokens, width]`.
    pub fn query(&self, tokens: usize) -> Result<TensorRef<'_>> {
        self.view(self.query, &[tokens, self.query.width], &[self.query.stride, 1])
    }

    /// Rows for the query as those of heads: `[tokens, heads, width / heads]`.
    pub fn query_heads(&self, tokens: usize, heads: usize) -> Result<TensorRef<'_>> {
        let Place { width, stride, .. } = self.query;
        let of_head = width / heads;
        self.view(self.query, &[tokens, heads, of_head], &[stride, of_head, 1])
    }

    /// The latent part of the rows for the cache, `[tokens, latent]`, and the rope part.
    pub fn latent_and_rope(&self, tokens: usize, latent: usize) -> Result<[TensorRef<'_>; 2]> {
        let Place { dtype, offset, width, stride } = self.cached;
        let rope = Place { offset: offset + latent * dtype.size(), ..self.cached };
        Ok([
            self.view(self.cached, &[tokens, latent], &[stride, 1])?,
            self.view(rope, &[tokens, width - latent], &[stride, 1])?,
        ])
    }

    /// Bytes on the device.
    pub const fn len_bytes(&self) -> usize {
        self.buffer.len_bytes()
    }

    fn view(&self, place: Place, shape: &[usize], strides: &[usize]) -> Result<TensorRef<'_>> {
        let address = self.buffer.address() + place.offset as u64;
        // SAFETY: rows of no more tokens than the buffer was made for, as the layer has checked; it is borrowed for as
        // long as the view.
        unsafe { TensorRef::from_raw(address, place.dtype, shape, strides, self.buffer.location()) }
    }

    fn view_mut(&mut self, place: Place, tokens: usize) -> Result<TensorMut<'_>> {
        let address = self.buffer.address() + place.offset as u64;
        let (shape, strides) = ([tokens, place.width], [place.stride, 1]);
        // SAFETY: as for `view`.
        unsafe {
            TensorMut::from_raw(address, place.dtype, &shape, &strides, self.buffer.location())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_matrix_where_types_agree() -> Result<()> {
        let device = Device::cpu();
        let mut rows = Projected::new(&device, 3, [24, 576], [DType::Bf16; 2])?;
        assert_eq!(rows.len_bytes(), 3 * 600 * 2);
        assert_eq!(rows.both_mut(2)?.map(|both| both.shape().to_vec()), Some(vec![2, 600]));
        let start = rows.query(2)?.address();
        let [latent, rope] = rows.latent_and_rope(2, 512)?;
        assert_eq!([latent.address() - start, rope.address() - start], [48, 48 + 1024]);
        assert_eq!((&latent.strides()[..], &rope.shape()[..]), (&[600, 1][..], &[2, 64][..]));
        assert_eq!(rows.query_heads(2, 3)?.strides()[..], [600, 8, 1]);
        Ok(())
    }

    #[test]
    fn one_behind_the_other_where_they_do_not() -> Result<()> {
        let device = Device::cpu();
        let mut rows = Projected::new(&device, 3, [24, 576], [DType::F32, DType::Bf16])?;
        assert_eq!(rows.len_bytes(), 3 * (24 * 4 + 576 * 2));
        assert!(rows.both_mut(2)?.is_none());
        let start = rows.query_mut(2)?.address();
        assert_eq!(rows.cached_mut(2)?.address() - start, 3 * 24 * 4);
        assert_eq!(rows.query(2)?.strides()[..], [24, 1]);
        Ok(())
    }
}
