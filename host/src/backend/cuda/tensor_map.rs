//! Tensor maps: how the kernels' bulk loads find their way through q and the cache.
//!
//! `oxmla_kernels::decode::dense::config` says what the maps must be; both have four axes, boxes of 64 columns and 64
//! rows, or of all rows of a smaller block, and the 128-byte swizzle. Those of an FP8 cache are in `dense_fp8::config` and
//! `fp8_math::config`.
//! They hold addresses, so they are encoded anew for every launch, which takes the CPU less than a microsecond and the
//! GPU nothing.

use oxmla_kernels::abi::Rows;
use oxmla_kernels::cache::fp8::Fp8Format;
use oxmla_kernels::decode::dense::config::{D_QK, D_ROPE, TILE};
use oxmla_kernels::decode::dense_fp8::config::{
    ROPE_OFFSET, SCALES_OFFSET, TOKEN_SCALE_BYTES, UNIT_CODES,
};
use oxmla_kernels::decode::fp8_math::config::TILE_CODES;

use super::driver::{Driver, Handle};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::TensorRef;

/// `CUtensorMap`: opaque, passed to kernels by value.
#[repr(C, align(64))]
pub(super) struct TensorMap([u64; 16]);

const DATA_TYPE_UINT8: u32 = 0;
const DATA_TYPE_F16: u32 = 6;
const DATA_TYPE_F32: u32 = 7;
const DATA_TYPE_BF16: u32 = 9;
const INTERLEAVE_NONE: u32 = 0;
const SWIZZLE_NONE: u32 = 0;
const SWIZZLE_128B: u32 = 3;
const L2_PROMOTION_256B: u32 = 3;
const OUT_OF_BOUNDS_ZEROS: u32 = 0;

/// A tensor as a map sees it: innermost axis first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Size of each axis.
    dims: [u64; 4],
    /// Stride of every axis but the innermost, in elements.
    strides: [u64; 3],
    /// Rows of a box, along the second axis.
    box_rows: u32,
}

impl Layout {
    /// `q [batch, s_q, h_q, 576]` as `[batch, groups, rows, 576]`, as [`Rows`] packs them.
    ///
    /// # Errors
    /// [`Error::StrideMismatch`] if no single stride leads from row to row, or from group to group.
    pub(super) fn of_queries(q: &TensorRef<'_>, rows: &Rows) -> Result<Self> {
        let [batch, s_q, h_q, _] = axes(q.shape(), "q")?;
        let [batch_stride, token_stride, head_stride, _] = axes(q.strides(), "q")?;
        if s_q > 1 && h_q > 1 && token_stride != h_q * head_stride {
            let (expected, got) = (h_q * head_stride, token_stride);
            return Err(Error::StrideMismatch {
                arg: "q",
                axis: "s_q",
                expected: expected as usize,
                got: got as usize,
            });
        }
        let row_stride = if h_q == 1 { token_stride } else { head_stride };
        let group_stride = u64::from(rows.group_heads) * head_stride;
        Ok(Self {
            dims: [D_QK.into(), rows.rows.into(), rows.groups.into(), batch],
            strides: [row_stride, group_stride, batch_stride],
            box_rows: TILE,
        })
    }

    /// `q [tokens, h_q, d_qk]` of three axes as `[tokens, 1, h_q, d_qk]`.
    pub(super) fn of_sparse_queries(q: &TensorRef<'_>) -> Self {
        let [tokens, h_q, d_qk] = [0, 1, 2].map(|axis| q.shape()[axis] as u64);
        let [token_stride, head_stride] = [0, 1].map(|axis| q.strides()[axis] as u64);
        let (dims, strides) = ([d_qk, h_q, 1, tokens], [head_stride, 0, token_stride]);
        Self { dims, strides, box_rows: TILE }
    }

    /// `kv_cache [blocks, block size, h_k, 576]` as `[blocks, h_k, block size, 576]`.
    ///
    /// # Errors
    /// [`Error::RankMismatch`].
    pub(super) fn of_cache(kv_cache: &TensorRef<'_>) -> Result<Self> {
        let [blocks, tokens, h_k, _] = axes(kv_cache.shape(), "kv_cache")?;
        let [block_stride, token_stride, head_stride, _] = axes(kv_cache.strides(), "kv_cache")?;
        Ok(Self {
            dims: [D_QK.into(), tokens, h_k, blocks],
            strides: [token_stride, head_stride, block_stride],
            box_rows: TILE.min(tokens as u32),
        })
    }

    /// The first `columns` columns of `[batch, rows, any]`.
    ///
    /// # Errors
    /// [`Error::RankMismatch`].
    pub(super) fn of_matrices(tensor: &TensorRef<'_>, [rows, columns]: [u64; 2]) -> Result<Self> {
        let (shape, strides) = (tensor.shape(), tensor.strides());
        if shape.len() != 3 {
            return Err(Error::RankMismatch { arg: "x", expected: 3, got: shape.len() });
        }
        let [batch, batch_stride, row_stride] =
            [shape[0], strides[0], strides[1]].map(|number| number as u64);
        let (dims, strides) = ([columns, rows, batch, 1], [row_stride, batch_stride, 0]);
        Ok(Self { dims, strides, box_rows: TILE })
    }

    /// The same with `rows` rows in a box.
    pub(super) fn with_box_rows(self, rows: u32) -> Self {
        Self { box_rows: rows, ..self }
    }

    /// Strides in bytes as the driver takes them. It checks also those of axes of size 1, which lead nowhere
    /// and may be anything; these become what they would be without gaps.
    fn byte_strides(&self, element: u64) -> [u64; 3] {
        let mut packed = self.dims[0].next_multiple_of(8);
        std::array::from_fn(|axis| {
            let size = self.dims[axis + 1];
            let stride = if size == 1 { packed } else { self.strides[axis] };
            packed = stride * size;
            stride * element
        })
    }

    /// The map of a tensor of that layout.
    ///
    /// # Errors
    /// [`Error::UnsupportedDType`], or [`Error::Driver`] if address or strides are not multiples of 16 bytes,
    /// or strides 2⁴⁰ bytes or more.
    pub(super) fn encode(&self, driver: &Driver, tensor: &TensorRef<'_>) -> Result<TensorMap> {
        let dtype = tensor.dtype();
        let data_type = match dtype {
            DType::Bf16 => DATA_TYPE_BF16,
            DType::F16 => DATA_TYPE_F16,
            got => return Err(Error::UnsupportedDType { arg: "q", got }),
        };
        let boxed = Boxed { data_type, columns: TILE, swizzle: SWIZZLE_128B };
        self.encode_boxed(driver, tensor.address(), dtype.size() as u64, &boxed)
    }

    /// The map of a tensor of that layout at `address`, with `element` bytes for each element.
    fn encode_boxed(
        &self,
        driver: &Driver,
        address: u64,
        element: u64,
        boxed: &Boxed,
    ) -> Result<TensorMap> {
        let mut map = TensorMap([0; 16]);
        // SAFETY: four axes, three strides, one box and step per axis; the map has its size and alignment.
        unsafe {
            driver.cuTensorMapEncodeTiled(
                &mut map,
                boxed.data_type,
                self.dims.len() as u32,
                address,
                self.dims.as_ptr(),
                self.byte_strides(element).as_ptr(),
                [boxed.columns, self.box_rows, 1, 1].as_ptr(),
                [1; 4].as_ptr(),
                INTERLEAVE_NONE,
                boxed.swizzle,
                L2_PROMOTION_256B,
                OUT_OF_BOUNDS_ZEROS,
            )?;
        }
        Ok(map)
    }
}

/// What a row of a box is.
struct Boxed {
    data_type: u32,
    /// Its elements.
    columns: u32,
    swizzle: u32,
}

/// The maps of codes, scales and rope parts of a cache `[blocks, block size, 1, 656]`.
///
/// # Errors
/// [`Error::RankMismatch`], or [`Error::Driver`] as for [`Layout::encode`].
pub(super) fn encode_fp8(driver: &Driver, kv_cache: &TensorRef<'_>) -> Result<[TensorMap; 3]> {
    let bytes = Layout::of_cache(kv_cache)?;
    let part = |offset: u32, element: u32, columns: u32, boxed: Boxed| {
        let element = u64::from(element);
        let [_, tokens, heads, blocks] = bytes.dims;
        let layout = Layout {
            dims: [columns.into(), tokens, heads, blocks],
            strides: bytes.strides.map(|stride| stride / element),
            box_rows: bytes.box_rows,
        };
        layout.encode_boxed(driver, kv_cache.address() + u64::from(offset), element, &boxed)
    };
    let of_bytes = |columns| Boxed { data_type: DATA_TYPE_UINT8, columns, swizzle: SWIZZLE_NONE };
    let of_elements = Boxed { data_type: DATA_TYPE_BF16, columns: TILE, swizzle: SWIZZLE_128B };
    Ok([
        part(0, 1, SCALES_OFFSET, of_bytes(UNIT_CODES))?,
        part(SCALES_OFFSET, 1, TOKEN_SCALE_BYTES, of_bytes(TOKEN_SCALE_BYTES))?,
        part(ROPE_OFFSET, 2, D_ROPE, of_elements)?,
    ])
}

/// The maps of codes, rope parts and scales of a cache `[blocks, block size, 1, 644]`.
///
/// # Errors
/// As for [`encode_fp8`].
pub(super) fn encode_planar(driver: &Driver, kv_cache: &TensorRef<'_>) -> Result<[TensorMap; 3]> {
    let Layout { dims: [_, tokens, _, blocks], strides: [.., block], box_rows } =
        Layout::of_cache(kv_cache)?;
    let format = Fp8Format::Planar644.layout();
    let plane = |offset: u64, element: u64, dims: [u64; 4], row: u64, rows: u32, boxed: Boxed| {
        let (row, block) = (row, block / element);
        let layout = Layout { dims, strides: [row, block, block], box_rows: rows };
        layout.encode_boxed(driver, kv_cache.address() + offset, element, &boxed)
    };
    let (latent, rope) = (u64::from(format.latent), u64::from(D_ROPE));
    let of_codes = Boxed { data_type: DATA_TYPE_UINT8, columns: TILE_CODES, swizzle: SWIZZLE_128B };
    let of_rope = Boxed { data_type: DATA_TYPE_BF16, columns: D_ROPE, swizzle: SWIZZLE_128B };
    let of_scales = Boxed { data_type: DATA_TYPE_F32, columns: box_rows, swizzle: SWIZZLE_NONE };
    Ok([
        plane(0, 1, [latent, tokens, 1, blocks], latent, box_rows, of_codes)?,
        plane(format.rope(tokens), 2, [rope, tokens, 1, blocks], rope, box_rows, of_rope)?,
        plane(format.scales(tokens), 4, [tokens, 1, 1, blocks], block / 4, 1, of_scales)?,
    ])
}

impl TensorMap {
    /// What a launch takes for a parameter.
    pub(super) fn parameter(&mut self) -> Handle {
        (&raw mut *self).cast()
    }
}

fn axes(numbers: &[usize], arg: &'static str) -> Result<[u64; 4]> {
    let numbers: [usize; 4] = numbers.try_into().map_err(|_| Error::RankMismatch {
        arg,
        expected: 4,
        got: numbers.len(),
    })?;
    Ok(numbers.map(|number| number as u64))
}

const _: () = assert!(size_of::<TensorMap>() == 128);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Location;

    fn tensor(shape: [usize; 4], strides: [usize; 4]) -> TensorRef<'static> {
        let location = Location::Cuda { ordinal: 0 };
        // SAFETY: nobody reads through the view.
        unsafe { TensorRef::from_raw(1 << 20, DType::Bf16, &shape, &strides, location).unwrap() }
    }

    /// Where a map looks for row `row` of `group` is where that query token and head are.
    #[test]
    fn rows_of_queries_are_found() {
        for (s_q, h_q, h_k, head_stride, token_gap) in [
            (1, 128, 1, 576, 0),
            (2, 16, 1, 640, 0),
            (4, 1, 1, 576, 64),
            (1, 12, 3, 576, 960),
            (3, 12, 4, 576, 0),
            (2, 8, 8, 592, 0),
        ] {
            let token_stride = h_q * head_stride + token_gap;
            let batch_stride = s_q * token_stride + 32;
            let q = tensor([5, s_q, h_q, 576], [batch_stride, token_stride, head_stride, 1]);
            let rows = Rows::pack(s_q as u32, h_q as u32, h_k);
            let layout = Layout::of_queries(&q, &rows).unwrap();
            let [row_bytes, group_bytes, batch_bytes] = layout.byte_strides(2);
            assert_eq!(layout.dims, [576, rows.rows.into(), rows.groups.into(), 5]);
            assert_eq!(batch_bytes, 2 * batch_stride as u64);
            for group in 0..rows.groups {
                for row in 0..rows.rows {
                    let (token, head) = (rows.token(group, row), rows.head(group, row));
                    let expected = token as usize * token_stride + head as usize * head_stride;
                    let found = u64::from(group) * group_bytes + u64::from(row) * row_bytes;
                    assert_eq!(found, 2 * expected as u64, "group {group} row {row}");
                }
            }
        }
    }

    #[test]
    fn gaps_between_tokens_are_refused() {
        let q = tensor([2, 2, 16, 576], [20_000, 9_300, 576, 1]);
        assert_eq!(
            Layout::of_queries(&q, &Rows::pack(2, 16, 1)),
            Err(Error::StrideMismatch { arg: "q", axis: "s_q", expected: 9_216, got: 9_300 })
        );
    }

    #[test]
    fn tokens_of_a_block_come_before_its_heads() {
        let cache = tensor([7, 64, 3, 576], [200_000, 3 * 576, 576, 1]);
        let layout = Layout::of_cache(&cache).unwrap();
        assert_eq!(layout.dims, [576, 64, 3, 7]);
        assert_eq!(layout.byte_strides(2), [3 * 1152, 1152, 400_000]);
    }

    /// A K block takes a box of every block that it lies in.
    #[test]
    fn boxes_are_no_higher_than_blocks() {
        for (block_size, box_rows) in [(16, 16), (32, 32), (64, 64), (128, 64)] {
            let cache = tensor([7, block_size, 1, 576], [block_size * 576, 576, 576, 1]);
            let layout = Layout::of_cache(&cache).unwrap();
            assert_eq!((layout.dims[1], layout.box_rows), (block_size as u64, box_rows));
        }
    }

    /// An axis of size 1 never gives the driver a stride that it refuses.
    #[test]
    fn axes_of_size_one_have_legal_strides() {
        let layout = Layout { dims: [576, 1, 1, 1], strides: [0, 3, 1 << 45], box_rows: 64 };
        assert_eq!(layout.byte_strides(2), [1152; 3]);
    }
}
