//! The contents of a file to replay.

use std::collections::HashMap;

use oxmla::{DType, Mask};
use safetensors::SafeTensors;

use super::error::InputError;
use super::sparse;
use super::tensor::{Axis, Tensor};

const ATTENTION: &[DType] = &[DType::Bf16, DType::F16];
pub const INTEGER: &[DType] = &[DType::I32];
pub const FLOAT: &[DType] = &[DType::F32, DType::Bf16, DType::F16];
const D_QK: Axis = ("d_qk", Some(576));
/// Of a token of an FP8 cache.
const BYTES: Axis = ("bytes", Some(656));
const D_V: Axis = ("d_v", Some(512));

/// What is in a file: one call.
#[derive(Debug)]
pub enum Contents<'file> {
    /// Of dense decode.
    Dense(Box<Input<'file>>),
    /// Of sparse attention.
    Sparse(Box<sparse::Input<'file>>),
}

impl<'file> Contents<'file> {
    /// The contents of the file with these bytes.
    pub fn read(bytes: &'file [u8]) -> anyhow::Result<Self> {
        let file = SafeTensors::deserialize(bytes)?;
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        if sparse::is_in(&file) {
            return Ok(Self::Sparse(Box::new(sparse::Input::check(&file, &metadata)?)));
        }
        Ok(Self::Dense(Box::new(Input::check(&file, &metadata)?)))
    }
}

/// One decode call, as someone's model made it.
#[derive(Debug)]
pub struct Input<'file> {
    /// `[batch, s_q, h_q, 576]`.
    pub q: Tensor<'file, 4>,
    /// `[blocks, block_size, h_k, 576]`, of the type of `q`, or `[blocks, block_size, 1, 656]` bytes.
    pub kv_cache: Tensor<'file, 4>,
    /// `[batch, max_blocks] i32`.
    pub block_table: Tensor<'file, 2>,
    /// `[batch] i32`.
    pub cache_seqlens: Tensor<'file, 1>,
    /// By what the model multiplied the scores.
    pub softmax_scale: f32,
    /// Which cached tokens its query tokens saw.
    pub mask: Mask,
    /// What it got: `[batch, s_q, h_q, 512]`.
    pub expect_out: Option<Tensor<'file, 4>>,
    /// What it got: `[batch, h_q, s_q]`.
    pub expect_lse: Option<Tensor<'file, 3>>,
}

impl<'file> Input<'file> {
    /// Holds what the file has against what a decode call needs.
    pub fn check(
        file: &SafeTensors<'file>,
        metadata: &HashMap<String, String>,
    ) -> Result<Self, InputError> {
        let q = Tensor::find(
            file,
            "q",
            ATTENTION,
            [("batch", None), ("s_q", None), ("h_q", None), D_QK],
        )?;
        let [batch, s_q, h_q, _] = q.shape();
        let batch = ("batch", Some(batch));
        let s_q = ("s_q", Some(s_q));
        let (element, row) = match file.tensor("kv_cache").map(|view| view.dtype()) {
            Ok(safetensors::Dtype::U8) => (DType::U8, BYTES),
            _ => (q.dtype(), D_QK),
        };
        let h_q = ("h_q", Some(h_q));
        Ok(Self {
            kv_cache: Tensor::find(
                file,
                "kv_cache",
                &[element],
                [("blocks", None), ("block_size", None), ("h_k", None), row],
            )?,
            block_table: Tensor::find(file, "block_table", INTEGER, [batch, ("max_blocks", None)])?,
            cache_seqlens: Tensor::find(file, "cache_seqlens", INTEGER, [batch])?,
            softmax_scale: value(metadata, "softmax_scale", "a number", |text| text.parse().ok())?,
            mask: value(metadata, "causal", "true, false, 1 or 0", parse_mask)?,
            expect_out: Tensor::find_optional(file, "expect_out", FLOAT, [batch, s_q, h_q, D_V])?,
            expect_lse: Tensor::find_optional(file, "expect_lse", FLOAT, [batch, h_q, s_q])?,
            q,
        })
    }
}

/// The value of a metadata key, which is always text.
pub fn value<T>(
    metadata: &HashMap<String, String>,
    key: &'static str,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, InputError> {
    let text = metadata.get(key).ok_or(InputError::MissingMetadata { key, expected })?;
    let wrong = || InputError::WrongMetadata { key, expected, found: text.clone() };
    parse(text.trim()).ok_or_else(wrong)
}

/// Python writes `str(True)` as `True`.
fn parse_mask(text: &str) -> Option<Mask> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(Mask::Causal),
        "false" | "0" => Some(Mask::None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    use super::*;

    /// A file of zeros: name, type and shape of each tensor, and the metadata.
    fn file(tensors: &[(&str, Dtype, &[usize])], metadata: &[(&str, &str)]) -> Vec<u8> {
        let bytes = |dtype: Dtype, shape: &[usize]| {
            vec![0u8; shape.iter().product::<usize>() * dtype.bitsize() / 8]
        };
        let data: Vec<_> = tensors.iter().map(|&(_, dtype, shape)| bytes(dtype, shape)).collect();
        let views = tensors.iter().zip(&data).map(|(&(name, dtype, shape), data)| {
            (name, TensorView::new(dtype, shape.to_vec(), data).unwrap())
        });
        let metadata = metadata.iter().map(|&(key, value)| (key.into(), value.into())).collect();
        safetensors::serialize(views, Some(metadata)).unwrap()
    }

    const TENSORS: [(&str, Dtype, &[usize]); 4] = [
        ("q", Dtype::BF16, &[2, 1, 3, 576]),
        ("kv_cache", Dtype::BF16, &[2, 64, 1, 576]),
        ("block_table", Dtype::I32, &[2, 1]),
        ("cache_seqlens", Dtype::I32, &[2]),
    ];
    const METADATA: [(&str, &str); 2] = [("softmax_scale", "0.1"), ("causal", "True")];

    fn error_of(tensors: &[(&str, Dtype, &[usize])], metadata: &[(&str, &str)]) -> String {
        let bytes = file(tensors, metadata);
        let error = Contents::read(&bytes).map(|_| ()).unwrap_err();
        assert!(error.is::<InputError>());
        error.to_string()
    }

    /// The error of a file in which one tensor is another.
    fn error_with(name: &str, dtype: Dtype, shape: &[usize]) -> String {
        let mut tensors = Vec::from(TENSORS);
        tensors.retain(|tensor| tensor.0 != name);
        tensors.push((name, dtype, shape));
        error_of(&tensors, &METADATA)
    }

    #[test]
    fn a_good_file() {
        let bytes = file(&TENSORS, &METADATA);
        let Contents::Dense(input) = Contents::read(&bytes).unwrap() else {
            panic!("it has a block table");
        };
        assert_eq!(input.q.shape(), [2, 1, 3, 576]);
        assert_eq!((input.softmax_scale, input.mask), (0.1, Mask::Causal));
        assert!(input.expect_out.is_none() && input.expect_lse.is_none());
    }

    #[test]
    fn indices_make_a_file_one_of_sparse_attention() {
        let tensors: [(&str, Dtype, &[usize]); 3] = [
            ("q", Dtype::BF16, &[2, 3, 512]),
            ("kv_cache", Dtype::U8, &[2, 9, 1, 584]),
            ("indices", Dtype::I32, &[2, 7]),
        ];
        let bytes = file(&tensors, &METADATA[..1]);
        assert!(matches!(Contents::read(&bytes).unwrap(), Contents::Sparse(_)));
        let mut wrong = tensors;
        wrong[1].2 = &[2, 9, 1, 656];
        let expected = "[blocks, block_size, h_k = 1, bytes = 584]";
        assert_eq!(
            error_of(&wrong, &METADATA),
            format!("`kv_cache` must have shape {expected}, but has [2, 9, 1, 656]")
        );
        wrong = tensors;
        wrong[2].2 = &[3, 7];
        assert_eq!(
            error_of(&wrong, &METADATA),
            "`indices` must have shape [tokens = 2, topk], but has [3, 7]"
        );
    }

    #[test]
    fn a_cache_of_bytes_has_tokens_of_656() {
        let error = error_with("kv_cache", Dtype::U8, &[2, 64, 1, 576]);
        let expected = "[blocks, block_size, h_k, bytes = 656]";
        assert_eq!(
            error,
            format!("`kv_cache` must have shape {expected}, but has [2, 64, 1, 576]")
        );
    }

    #[test]
    fn missing_tensors_are_named() {
        assert_eq!(
            error_of(&TENSORS[..2], &METADATA),
            "there is no tensor `block_table`; the file has `kv_cache`, `q`"
        );
        assert_eq!(error_of(&[], &METADATA), "there is no tensor `q`; the file has none");
    }

    #[test]
    fn wrong_types_are_named() {
        let error = error_with("q", Dtype::F32, &[2, 1, 3, 576]);
        assert_eq!(error, "`q` must be bf16 or f16, but is f32");
        let error = error_with("kv_cache", Dtype::F16, &[2, 64, 1, 576]);
        assert_eq!(error, "`kv_cache` must be bf16, but is f16");
        let error = error_with("cache_seqlens", Dtype::I64, &[2]);
        assert_eq!(error, "`cache_seqlens` must be i32, but is i64");
        let error = error_with("expect_lse", Dtype::F64, &[2, 3, 1]);
        assert_eq!(error, "`expect_lse` must be f32, bf16 or f16, but is f64");
    }

    #[test]
    fn wrong_shapes_are_named() {
        let error = error_with("q", Dtype::BF16, &[2, 3, 576]);
        let expected = "[batch, s_q, h_q, d_qk = 576]";
        assert_eq!(error, format!("`q` must have shape {expected}, but has [2, 3, 576]"));
        let error = error_with("block_table", Dtype::I32, &[3, 1]);
        let expected = "[batch = 2, max_blocks]";
        assert_eq!(error, format!("`block_table` must have shape {expected}, but has [3, 1]"));
        let error = error_with("expect_out", Dtype::F32, &[2, 1, 3, 576]);
        let expected = "[batch = 2, s_q = 1, h_q = 3, d_v = 512]";
        assert_eq!(
            error,
            format!("`expect_out` must have shape {expected}, but has [2, 1, 3, 576]")
        );
    }

    #[test]
    fn metadata_is_checked() {
        let error = error_of(&TENSORS, &METADATA[..1]);
        assert_eq!(
            error,
            "there is no metadata key `causal`; its value must be true, false, 1 or 0"
        );
        let error = error_of(&TENSORS, &[("softmax_scale", "1/24"), ("causal", "0")]);
        assert_eq!(error, "metadata key `softmax_scale` must be a number, but is \"1/24\"");
        let error = error_of(&TENSORS, &[("softmax_scale", "1"), ("causal", "yes")]);
        assert_eq!(error, "metadata key `causal` must be true, false, 1 or 0, but is \"yes\"");
    }

    #[test]
    fn masks() {
        for text in ["true", "True", "1"] {
            assert_eq!(parse_mask(text), Some(Mask::Causal));
        }
        for text in ["false", "False", "0"] {
            assert_eq!(parse_mask(text), Some(Mask::None));
        }
        assert_eq!(parse_mask(""), None);
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let bytes = file(&TENSORS, &METADATA);
        for end in [0, 7, 8, 100, bytes.len() - 1] {
            assert!(Contents::read(&bytes[..end]).is_err(), "{end} bytes were accepted");
        }
    }
}
