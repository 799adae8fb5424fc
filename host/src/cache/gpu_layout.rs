//! What the loads and stores of the cache kernels need of a tensor's layout.

use oxmla_kernels::cache::abi::Pages;

use crate::check;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::TensorRef;

/// Bytes of a vector load.
const VECTOR: usize = 16;

/// A cache of which every row is whole, aligned vectors. What is inside the blocks of an FP8 format has been checked.
pub fn cache(kv_cache: &TensorRef<'_>) -> Result<()> {
    const ARG: &str = "kv_cache";
    let strides = kv_cache.strides();
    check::alignment(ARG, kv_cache.address(), VECTOR)?;
    check::stride(ARG, "d_qk", strides[3], 1)?;
    multiple(ARG, "blocks", strides[0].saturating_mul(kv_cache.dtype().size()), VECTOR)?;
    if kv_cache.dtype() == DType::U8 {
        return Ok(());
    }
    multiple(ARG, "block_size", strides[1].saturating_mul(kv_cache.dtype().size()), VECTOR)
}

/// A cache of which every block is contiguous.
pub fn cache_of_blocks(kv_cache: &TensorRef<'_>) -> Result<()> {
    cache(kv_cache)?;
    let (shape, strides) = (kv_cache.shape(), kv_cache.strides());
    check::stride("kv_cache", "h_k", strides[2], shape[3])?;
    check::stride("kv_cache", "block_size", strides[1], shape[2] * shape[3])
}

/// Contiguous rows at multiples of `alignment` bytes.
pub fn rows(arg: &'static str, rows: &TensorRef<'_>, alignment: usize) -> Result<()> {
    let strides = rows.strides();
    check::alignment(arg, rows.address(), alignment)?;
    check::stride(arg, "elements of a row", strides[1], 1)?;
    multiple(arg, "tokens", strides[0].saturating_mul(rows.dtype().size()), alignment)
}

/// No gaps, from a multiple of `alignment` bytes on.
pub fn packed(arg: &'static str, tensor: &TensorRef<'_>, alignment: usize) -> Result<()> {
    check::alignment(arg, tensor.address(), alignment)?;
    const AXES: [&str; 4] = ["0", "1", "2", "3"];
    let mut expected = 1;
    for (axis, &size) in tensor.shape().iter().enumerate().rev() {
        check::stride(arg, AXES[axis], tensor.strides()[axis], expected)?;
        expected *= size;
    }
    Ok(())
}

/// A block table with contiguous rows.
pub fn table(block_table: &TensorRef<'_>) -> Result<()> {
    check::stride("block_table", "max_blocks", block_table.strides()[1], 1)
}

/// Cache and table as the kernels take them.
pub fn pages(kv_cache: &TensorRef<'_>, block_table: &TensorRef<'_>) -> Pages {
    let bytes = |axis: usize| (kv_cache.strides()[axis] * kv_cache.dtype().size()) as u64;
    Pages {
        cache: kv_cache.address(),
        block_stride: bytes(0),
        token_stride: bytes(1),
        table: block_table.address(),
        table_stride: block_table.strides()[0] as u64,
        columns: block_table.shape()[1] as u32,
        blocks: kv_cache.shape()[0] as u32,
        block_size: kv_cache.shape()[1] as u32,
        block_log2: kv_cache.shape()[1].trailing_zeros(),
    }
}

fn multiple(arg: &'static str, axis: &'static str, bytes: usize, required: usize) -> Result<()> {
    if bytes.is_multiple_of(required) {
        return Ok(());
    }
    Err(Error::MisalignedStride { arg, axis, required, got: bytes as u64 })
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    #[repr(align(16))]
    struct Elements([bf16; 4096]);

    fn check_rows(offset: usize, strides: [usize; 2], alignment: usize) -> Result<()> {
        let elements = Elements([bf16::ZERO; 4096]);
        rows("x", &TensorRef::with_strides(&elements.0[offset..], &[3, 64], &strides)?, alignment)
    }

    #[test]
    fn rows_are_aligned_as_their_loads_need() {
        assert_eq!(check_rows(8, [576, 1], 16), Ok(()));
        assert_eq!(check_rows(2, [66, 1], 4), Ok(()));
        assert!(matches!(check_rows(2, [576, 1], 16), Err(Error::Misaligned { .. })));
        assert!(matches!(check_rows(1, [66, 1], 4), Err(Error::Misaligned { .. })));
        let got = 2 * 65;
        let odd = Error::MisalignedStride { arg: "x", axis: "tokens", required: 4, got };
        assert_eq!(check_rows(0, [65, 1], 4), Err(odd));
        assert!(matches!(check_rows(0, [1, 3], 4), Err(Error::StrideMismatch { .. })));
    }

    #[test]
    fn packed_tensors_have_no_gaps() -> Result<()> {
        let numbers = [0f32; 400];
        let tensor = |strides: [usize; 3]| TensorRef::with_strides(&numbers, &[2, 32, 2], &strides);
        assert_eq!(packed("x", &tensor([64, 2, 1])?, 4), Ok(()));
        assert!(packed("x", &tensor([66, 2, 1])?, 4).is_err());
        assert!(packed("x", &tensor([128, 4, 2])?, 4).is_err());
        Ok(())
    }
}
