//! Tensors to write.

use std::cell::RefCell;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Tensor, WithDType};
use half::{bf16, f16};
use oxmla::{Element, TensorMut};

use crate::error::{Error, Result};

/// Calls `work` with a tensor to write in place. Meanwhile candle lets nobody else use its storage.
///
/// # Errors
/// - [`Error::NotOnCpu`] or [`Error::UnsupportedDType`].
/// - [`Error::Candle`] if an axis is broadcast, so that indices name the same element.
/// - [`Error::Oxmla`] with [`oxmla::Error::RankMismatch`] if there are more than four axes, and with what `work` says.
pub fn write<R>(
    tensor: &Tensor,
    work: impl FnOnce(TensorMut<'_>) -> oxmla::Result<R>,
) -> Result<R> {
    if !tensor.device().is_cpu() {
        return Err(Error::NotOnCpu { got: tensor.device().location() });
    }
    let call = InPlace { work: RefCell::new(Some(work)), outcome: RefCell::new(None) };
    tensor.inplace_op1(&call)?;
    call.outcome.into_inner().expect("candle calls `cpu_fwd` or says why not")
}

/// A new contiguous tensor, and what `work` gives back, which is called with its elements to write: all zero.
///
/// # Errors
/// - [`Error::UnsupportedDType`].
/// - [`Error::Oxmla`] with [`oxmla::Error::RankMismatch`] if there are more than four axes, and with what `work` says.
pub fn new_tensor<R>(
    dtype: DType,
    shape: &[usize],
    work: impl FnOnce(TensorMut<'_>) -> oxmla::Result<R>,
) -> Result<(Tensor, R)> {
    match dtype {
        DType::BF16 => filled::<bf16, R>(shape, work),
        DType::F16 => filled::<f16, R>(shape, work),
        DType::F32 => filled::<f32, R>(shape, work),
        DType::I32 => filled::<i32, R>(shape, work),
        got => Err(Error::UnsupportedDType { got }),
    }
}

fn filled<T: Element + WithDType + Default, R>(
    shape: &[usize],
    work: impl FnOnce(TensorMut<'_>) -> oxmla::Result<R>,
) -> Result<(Tensor, R)> {
    let len = shape.iter().try_fold(1usize, |len, &size| len.checked_mul(size));
    let len = len.ok_or(oxmla::Error::SizeOverflow { what: "shape" })?;
    let mut elements = vec![T::default(); len];
    let outcome = work(TensorMut::from_slice(&mut elements, shape)?)?;
    Ok((Tensor::from_vec(elements, shape, &Device::Cpu)?, outcome))
}

/// The only way to a tensor's elements that candle has for others to write.
struct InPlace<F, R> {
    /// Taken when it is called.
    work: RefCell<Option<F>>,
    outcome: RefCell<Option<Result<R>>>,
}

impl<F, R> InplaceOp1 for InPlace<F, R>
where
    F: FnOnce(TensorMut<'_>) -> oxmla::Result<R>,
{
    fn name(&self) -> &'static str {
        "oxmla"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let work = self.work.take();
        let outcome = work.map(|work| {
            let view = match storage {
                CpuStorage::BF16(all) => view(all, layout),
                CpuStorage::F16(all) => view(all, layout),
                CpuStorage::F32(all) => view(all, layout),
                CpuStorage::I32(all) => view(all, layout),
                _ => return Err(Error::UnsupportedDType { got: storage.dtype() }),
            };
            Ok(work(view?)?)
        });
        self.outcome.replace(outcome);
        Ok(())
    }
}

fn view<'a, T: Element>(all: &'a mut [T], layout: &Layout) -> oxmla::Result<TensorMut<'a>> {
    let elements = all.get_mut(layout.start_offset()..).unwrap_or_default();
    TensorMut::with_strides(elements, layout.dims(), layout.stride())
}
