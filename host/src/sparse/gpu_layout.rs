//! What the loads and stores of the kernels need of a tensor's layout: rows of whole, aligned 16-byte vectors for TMA,
//! `cp.async` and the stores of the output; indices, lengths and sinks side by side.

use super::{Selection, SparseAttention};
use crate::check;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::TensorRef;

/// Bytes of which addresses and strides must be multiples.
const ALIGNMENT: usize = 16;
/// Most bytes from the beginning of an FP8 cache to its end: the kernel keeps places of tokens in 32 bits, in units of 16 bytes.
const FP8_SPAN: i128 = 1 << 36;
/// First stride, in bytes, that TMA cannot express.
const STRIDE_LIMIT: u64 = 1 << 40;

/// Refuses layouts that the kernels cannot follow.
pub fn check(args: &SparseAttention<'_>) -> Result<()> {
    let SparseAttention { q, selection, extra, sink, out, .. } = args;
    vectors("q", &["tokens", "h_q", "d_qk"], q)?;
    vectors("out", &["tokens", "h_q", "d_v"], &out.as_ref())?;
    check_selection(["kv_cache", "indices", "lengths"], selection)?;
    if let Some(extra) = extra {
        check_selection(["extra kv_cache", "extra indices", "extra lengths"], extra)?;
    }
    match sink {
        Some(sink) => check::stride("sink", "h_q", sink.strides()[0], 1),
        None => Ok(()),
    }
}

fn check_selection(names: [&'static str; 3], selection: &Selection<'_>) -> Result<()> {
    let [cache_name, indices_name, lengths_name] = names;
    let Selection { kv_cache, indices, lengths } = selection;
    if kv_cache.dtype() == DType::U8 {
        // Parts of a token are aligned wherever its block is.
        check::alignment(cache_name, kv_cache.address(), ALIGNMENT)?;
        stride(cache_name, "blocks", kv_cache.strides()[0])?;
        let span = kv_cache.shape()[0] as i128 * kv_cache.strides()[0] as i128;
        check::range(cache_name, span, 0, FP8_SPAN)?;
    } else {
        vectors(cache_name, &["blocks", "block_size", "h_k", "d_qk"], kv_cache)?;
    }
    check::stride(indices_name, "topk", indices.strides()[1], 1)?;
    match lengths {
        Some(lengths) => check::stride(lengths_name, "tokens", lengths.strides()[0], 1),
        None => Ok(()),
    }
}

/// Rows of whole, aligned vectors, along the last of `axes`.
fn vectors(arg: &'static str, axes: &[&'static str], tensor: &TensorRef<'_>) -> Result<()> {
    check::alignment(arg, tensor.address(), ALIGNMENT)?;
    let (strides, last) = (tensor.strides(), axes.len() - 1);
    check::stride(arg, axes[last], strides[last], 1)?;
    for (&axis, &stride) in axes.iter().zip(&strides[..last]) {
        self::stride(arg, axis, stride * tensor.dtype().size())?;
    }
    Ok(())
}

/// A stride of whole vectors, in bytes.
fn stride(arg: &'static str, axis: &'static str, bytes: usize) -> Result<()> {
    if !bytes.is_multiple_of(ALIGNMENT) {
        let (required, got) = (ALIGNMENT, bytes as u64);
        return Err(Error::MisalignedStride { arg, axis, required, got });
    }
    check::range(arg, bytes as i128, 0, i128::from(STRIDE_LIMIT) - 1)
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::tensor::TensorMut;

    /// Elements behind every view; aligned to 16 bytes.
    #[repr(align(16))]
    struct Elements([bf16; 10_000]);

    /// What one of the tensors is like, beside others that nothing is wrong with.
    struct Layouts {
        offset: usize,
        q: [usize; 3],
        cache: [usize; 4],
        out: [usize; 3],
        indices: [usize; 2],
        lengths: usize,
        sink: usize,
    }

    const FINE: Layouts = Layouts {
        offset: 0,
        q: [2 * 576, 576, 1],
        cache: [3 * 576, 576, 576, 1],
        out: [2 * 512, 512, 1],
        indices: [4, 1],
        lengths: 1,
        sink: 1,
    };

    impl Layouts {
        fn check(&self) -> Result<()> {
            let elements = Elements([bf16::ZERO; 10_000]);
            let mut out = Elements([bf16::ZERO; 10_000]);
            let (numbers, floats, mut lse) = ([0; 64], [0.0f32; 64], [0.0f32; 4]);
            let cache = &elements.0[self.offset..];
            check(&SparseAttention {
                q: TensorRef::with_strides(&elements.0, &[2, 2, 576], &self.q)?,
                selection: Selection {
                    kv_cache: TensorRef::with_strides(cache, &[2, 3, 1, 576], &self.cache)?,
                    indices: TensorRef::with_strides(&numbers, &[2, 3], &self.indices)?,
                    lengths: Some(TensorRef::with_strides(&numbers, &[2], &[self.lengths])?),
                },
                extra: None,
                sink: Some(TensorRef::with_strides(&floats, &[2], &[self.sink])?),
                out: TensorMut::with_strides(&mut out.0, &[2, 2, 512], &self.out)?,
                lse: TensorMut::from_slice(&mut lse, &[2, 2])?,
                softmax_scale: 1.0,
            })
        }
    }

    #[test]
    fn rows_and_blocks_may_be_further_apart() {
        assert_eq!(FINE.check(), Ok(()));
        let apart = Layouts {
            offset: 8,
            q: [3000, 584, 1],
            cache: [4 * 600, 600, 600, 1],
            out: [1200, 520, 1],
            indices: [17, 1],
            ..FINE
        };
        assert_eq!(apart.check(), Ok(()));
    }

    #[test]
    fn what_loads_cannot_follow() {
        let refused = Layouts { offset: 1, ..FINE }.check();
        assert!(matches!(refused, Err(Error::Misaligned { arg: "kv_cache", .. })), "{refused:?}");
        let refused = Layouts { cache: [4 * 577, 577, 577, 1], ..FINE }.check();
        let (arg, axis, required) = ("kv_cache", "blocks", 16);
        let got = 2 * 4 * 577;
        assert_eq!(refused, Err(Error::MisalignedStride { arg, axis, required, got }));
        let gap = |arg, axis, got| Err(Error::StrideMismatch { arg, axis, expected: 1, got });
        assert_eq!(Layouts { q: [2, 1, 4], ..FINE }.check(), gap("q", "d_qk", 4));
        assert_eq!(Layouts { out: [2, 1, 8], ..FINE }.check(), gap("out", "d_v", 8));
        assert_eq!(Layouts { indices: [1, 2], ..FINE }.check(), gap("indices", "topk", 2));
        assert_eq!(Layouts { lengths: 3, ..FINE }.check(), gap("lengths", "tokens", 3));
        assert_eq!(Layouts { sink: 2, ..FINE }.check(), gap("sink", "h_q", 2));
    }
}
