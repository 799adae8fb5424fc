//! What the loads and stores of the kernels need of a tensor's layout.
//!
//! TMA takes addresses and strides that are multiples of 16 bytes, and contiguous rows; stores of the output
//! are 16 bytes wide. (The stride of an axis of size 1 is always fine: views close such gaps.)

use super::Decode;
use crate::cache::{CacheFormat, Fp8Format};
use crate::check;
use crate::error::{Error, Result};
use crate::tensor::TensorRef;

/// Bytes of which addresses and strides must be multiples.
const ALIGNMENT: usize = 16;
/// First stride, in bytes, that TMA cannot express.
const STRIDE_LIMIT: u64 = 1 << 40;

const QUERY_AXES: [&str; 4] = ["batch", "s_q", "h_q", "d_qk"];
const CACHE_AXES: [&str; 4] = ["blocks", "block_size", "h_k", "d_qk"];
const OUTPUT_AXES: [&str; 4] = ["batch", "s_q", "h_q", "d_v"];

/// Refuses layouts that the kernels cannot follow.
pub fn check(args: &Decode<'_>) -> Result<()> {
    let Decode { q, kv_cache, out, lse, .. } = args;
    vectors("q", QUERY_AXES, q.address(), q.strides(), q.dtype().size())?;
    cached(kv_cache)?;
    vectors("out", OUTPUT_AXES, out.address(), out.strides(), out.dtype().size())?;
    evenly_spaced_rows(q.shape(), q.strides())?;
    stride("lse", "s_q", lse.strides()[2], 1)
}

/// Rows of the cache; or blocks, where a token's bytes are not together.
fn cached(kv_cache: &TensorRef<'_>) -> Result<()> {
    let (address, strides) = (kv_cache.address(), kv_cache.strides());
    let element = kv_cache.dtype().size();
    if let CacheFormat::Fp8(Fp8Format::Planar644) = CacheFormat::of(kv_cache)? {
        check::alignment("kv_cache", address, ALIGNMENT)?;
        return aligned_stride("kv_cache", CACHE_AXES[0], strides[0], element);
    }
    vectors("kv_cache", CACHE_AXES, address, strides, element)
}

/// Rows of whole, aligned 16-byte vectors.
fn vectors(
    arg: &'static str,
    axes: [&'static str; 4],
    address: u64,
    strides: &[usize],
    element: usize,
) -> Result<()> {
    check::alignment(arg, address, ALIGNMENT)?;
    stride(arg, axes[3], strides[3], 1)?;
    for (&axis, &stride) in axes.iter().zip(&strides[..3]) {
        aligned_stride(arg, axis, stride, element)?;
    }
    Ok(())
}

/// Whole 16-byte vectors, and no more of them than TMA can express.
fn aligned_stride(
    arg: &'static str,
    axis: &'static str,
    stride: usize,
    element: usize,
) -> Result<()> {
    let bytes = stride as u64 * element as u64;
    if !bytes.is_multiple_of(ALIGNMENT as u64) {
        let (required, got) = (ALIGNMENT, bytes);
        return Err(Error::MisalignedStride { arg, axis, required, got });
    }
    if bytes >= STRIDE_LIMIT {
        let (min, max, got) = (0, i128::from(STRIDE_LIMIT) - 1, bytes.into());
        return Err(Error::OutOfRange { arg, min, max, got });
    }
    Ok(())
}

/// Query rows of a request, heads of one token after those of another, are one axis of the tensor map.
fn evenly_spaced_rows(shape: &[usize], strides: &[usize]) -> Result<()> {
    let (s_q, h_q) = (shape[1], shape[2]);
    if s_q == 1 || h_q == 1 {
        return Ok(());
    }
    stride("q", "s_q", strides[1], h_q.saturating_mul(strides[2]))
}

fn stride(arg: &'static str, axis: &'static str, got: usize, expected: usize) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    Err(Error::StrideMismatch { arg, axis, expected, got })
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::tensor::TensorMut;

    /// Elements behind every view; aligned to 16 bytes.
    #[repr(align(16))]
    struct Elements([bf16; 40_000]);

    const Q: [usize; 4] = [2, 3, 4, 576];
    const Q_STRIDES: [usize; 4] = [3 * 4 * 576, 4 * 576, 576, 1];

    /// What the check says to queries of the given strides, `offset` elements into memory, beside tensors
    /// that nothing is wrong with.
    fn check_query(offset: usize, shape: [usize; 4], strides: [usize; 4]) -> Result<()> {
        let elements = Elements([bf16::ZERO; 40_000]);
        let mut out = Elements([bf16::ZERO; 40_000]);
        let mut lse = [0.0f32; 24];
        check(&Decode {
            q: TensorRef::with_strides(&elements.0[offset..], &shape, &strides)?,
            kv_cache: TensorRef::from_slice(&elements.0, &[1, 64, 1, 576])?,
            out: TensorMut::from_slice(&mut out.0, &[2, 3, 4, 512])?,
            lse: TensorMut::from_slice(&mut lse, &[2, 4, 3])?,
            softmax_scale: 1.0,
            softcap: None,
        })
    }

    /// The same for the results.
    fn check_results(out_strides: [usize; 4], lse_strides: [usize; 3]) -> Result<()> {
        let elements = Elements([bf16::ZERO; 40_000]);
        let mut out = Elements([bf16::ZERO; 40_000]);
        let mut lse = [0.0f32; 100];
        check(&Decode {
            q: TensorRef::from_slice(&elements.0, &Q)?,
            kv_cache: TensorRef::from_slice(&elements.0, &[1, 64, 1, 576])?,
            out: TensorMut::with_strides(&mut out.0, &[2, 3, 4, 512], &out_strides)?,
            lse: TensorMut::with_strides(&mut lse, &[2, 4, 3], &lse_strides)?,
            softmax_scale: 1.0,
            softcap: None,
        })
    }

    #[test]
    fn contiguous_tensors_are_fine() {
        assert_eq!(check_query(0, Q, Q_STRIDES), Ok(()));
        assert_eq!(check_results([3 * 4 * 512, 4 * 512, 512, 1], [12, 3, 1]), Ok(()));
    }

    /// The blocks of an FP8 cache, where a token's bytes are not together, `stride` bytes apart.
    fn check_blocks(stride: usize) -> Result<()> {
        let bytes = vec![0u128; 2 * 16 * 644 / 16 + 2];
        let bytes: &[u8] = bytemuck::cast_slice(&bytes);
        cached(&TensorRef::with_strides(bytes, &[2, 16, 1, 644], &[stride, 644, 644, 1])?)
    }

    #[test]
    fn blocks_of_planes_are_aligned_as_a_whole() {
        assert_eq!(check_blocks(16 * 644), Ok(()));
        assert_eq!(check_blocks(16 * 644 + 16), Ok(()));
        let (arg, axis) = ("kv_cache", "blocks");
        let refused = Error::MisalignedStride { arg, axis, required: 16, got: 16 * 644 + 8 };
        assert_eq!(check_blocks(16 * 644 + 8), Err(refused));
    }

    #[test]
    fn rows_may_be_further_apart_and_axes_exchanged() {
        assert_eq!(check_query(8, Q, [3 * 4 * 584, 4 * 584, 584, 1]), Ok(()));
        assert!(check_query(8, Q, [4 * 576, 2 * 4 * 576, 576, 1]).is_err());
        assert_eq!(check_results([512, 2 * 512, 6 * 512, 1], [3, 6, 1]), Ok(()));
    }

    #[test]
    fn axes_of_size_1_have_no_stride() {
        let odd = [2 * 4 * 576 + 8, 7, 584, 1];
        assert_eq!(check_query(0, [2, 1, 4, 576], odd), Ok(()));
    }

    #[test]
    fn addresses() {
        let refused = check_query(1, Q, Q_STRIDES);
        assert!(
            matches!(refused, Err(Error::Misaligned { arg: "q", required: 16, got }) if got % 16 == 2),
            "{refused:?}"
        );
    }

    #[test]
    fn strides() {
        let got = 2 * 4 * 577;
        let misaligned = Error::MisalignedStride { arg: "q", axis: "s_q", required: 16, got };
        let odd = check_query(0, [2, 3, 4, 576], [3 * 4 * 584, 4 * 577, 584, 1]);
        assert_eq!(odd, Err(misaligned));
        let (expected, got) = (4 * 576, 4 * 576 + 8);
        let uneven = Error::StrideMismatch { arg: "q", axis: "s_q", expected, got };
        assert_eq!(check_query(0, Q, [3 * 4 * 584, 4 * 576 + 8, 576, 1]), Err(uneven));
        let gaps = Error::StrideMismatch { arg: "q", axis: "d_qk", expected: 1, got: 24 };
        assert_eq!(check_query(0, Q, [12, 4, 1, 24]), Err(gaps));
        let gaps = Error::StrideMismatch { arg: "lse", axis: "s_q", expected: 1, got: 4 };
        assert_eq!(check_results([3 * 4 * 512, 4 * 512, 512, 1], [12, 1, 4]), Err(gaps));
        let (axis, got) = ("batch", 2 * (3 * 4 * 512 + 1));
        let misaligned = Error::MisalignedStride { arg: "out", axis, required: 16, got };
        assert_eq!(check_results([3 * 4 * 512 + 1, 4 * 512, 512, 1], [12, 3, 1]), Err(misaligned));
    }
}
