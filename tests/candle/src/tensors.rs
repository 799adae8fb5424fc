//! candle's tensors as oxmla's views.

use anyhow::{Context, Result};
use candle_core::{Storage, Tensor};
use oxmla::TensorRef;

/// Calls `work` with a view of a contiguous f32 tensor on the CPU; nothing is copied.
pub fn with_view<T>(
    tensor: &Tensor,
    work: impl FnOnce(TensorRef<'_>) -> oxmla::Result<T>,
) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { anyhow::bail!("the tensor is not on the CPU") };
    let (start, end) = layout.contiguous_offsets().context("the tensor has gaps")?;
    let elements = &storage.as_slice::<f32>()?[start..end];
    Ok(work(TensorRef::from_slice(elements, layout.dims())?)?)
}
