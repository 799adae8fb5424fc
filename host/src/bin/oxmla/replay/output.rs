//! The file that a replay writes.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::Context;
use oxmla::DType;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// What a replay computed.
pub struct Output {
    /// Type of `out`.
    pub dtype: DType,
    /// Sizes of `[batch, s_q, h_q, 512]`, or of `[tokens, h_q, 512]`.
    pub out_shape: Vec<usize>,
    /// Its elements.
    pub out: Vec<u8>,
    /// Sizes of `[batch, h_q, s_q]`, or of `[tokens, h_q]`.
    pub lse_shape: Vec<usize>,
    /// Its elements, f32.
    pub lse: Vec<u8>,
}

impl Output {
    /// Writes `out` and `lse` to a file. It appears at `path` when it is complete, so that neither a failure nor
    /// a `path` that is the input's leaves half a file.
    pub fn write(&self, path: &Path, device: &str) -> anyhow::Result<()> {
        let dtype = if self.dtype == DType::F16 { Dtype::F16 } else { Dtype::BF16 };
        let tensors = [
            ("out", TensorView::new(dtype, self.out_shape.clone(), &self.out)?),
            ("lse", TensorView::new(Dtype::F32, self.lse_shape.clone(), &self.lse)?),
        ];
        let metadata = HashMap::from([
            ("producer".to_owned(), format!("oxmla {}", env!("CARGO_PKG_VERSION"))),
            ("device".to_owned(), device.to_owned()),
        ]);
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        safetensors::serialize_to_file(tensors, Some(metadata), Path::new(&partial))
            .map_err(anyhow::Error::from)
            .and_then(|()| Ok(fs::rename(&partial, path)?))
            .with_context(|| format!("writing {}", path.display()))
    }
}
