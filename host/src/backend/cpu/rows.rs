//! Rows of tensors of any floating-point type, as f32.

use std::ptr;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::dtype::DType;
use crate::tensor::{TensorMut, TensorRef};

/// Widens `to.len()` elements along the last axis of a tensor, from the one at `index` on.
///
/// # Safety
/// The tensor has `RANK` axes; it is on the host, of floats, aligned; the elements are inside it.
pub unsafe fn load<const RANK: usize>(
    tensor: &TensorRef<'_>,
    index: [usize; RANK],
    to: &mut [f32],
) {
    let (at, stride) = (tensor.address_at(index), tensor.strides()[RANK - 1]);
    // SAFETY: the caller's promise.
    unsafe {
        match tensor.dtype() {
            DType::Bf16 => load_as(at, stride, to, <[bf16]>::convert_to_f32_slice),
            DType::F16 => load_as(at, stride, to, <[f16]>::convert_to_f32_slice),
            _ => load_as(at, stride, to, |from: &[f32], to| to.copy_from_slice(from)),
        }
    }
}

/// Rounds `from` into elements along the last axis of a tensor, from the one at `index` on.
///
/// # Safety
/// As for [`load`]; nobody else uses these elements.
pub unsafe fn store<const RANK: usize>(tensor: &TensorMut<'_>, index: [usize; RANK], from: &[f32]) {
    let (at, stride) = (tensor.address_at(index), tensor.strides()[RANK - 1]);
    // SAFETY: the caller's promise.
    unsafe {
        match tensor.dtype() {
            DType::Bf16 => store_as(at, stride, from, bf16::from_f32),
            DType::F16 => store_as(at, stride, from, f16::from_f32),
            _ => store_as(at, stride, from, |value: f32| value),
        }
    }
}

/// All elements of a matrix, row by row.
///
/// # Safety
/// The tensor has two axes; it is on the host, of floats, aligned.
pub unsafe fn load_matrix(tensor: &TensorRef<'_>) -> Vec<f32> {
    let [rows, columns] = [tensor.shape()[0], tensor.shape()[1]];
    let mut elements = vec![0.0; rows * columns];
    for (row, to) in elements.chunks_exact_mut(columns).enumerate() {
        // SAFETY: a row of the tensor.
        unsafe { load(tensor, [row, 0], to) };
    }
    elements
}

unsafe fn load_as<T: Copy>(
    at: usize,
    stride: usize,
    to: &mut [f32],
    widen: impl Fn(&[T], &mut [f32]),
) {
    let start = ptr::with_exposed_provenance::<T>(at);
    if stride == 1 {
        // SAFETY: contiguous elements of the tensor.
        return widen(unsafe { std::slice::from_raw_parts(start, to.len()) }, to);
    }
    for (index, to) in to.iter_mut().enumerate() {
        // SAFETY: an element of the tensor.
        let element = unsafe { start.add(index * stride).read() };
        widen(&[element], std::slice::from_mut(to));
    }
}

unsafe fn store_as<T>(at: usize, stride: usize, from: &[f32], round: impl Fn(f32) -> T) {
    let start = ptr::with_exposed_provenance_mut::<T>(at);
    for (index, &value) in from.iter().enumerate() {
        // SAFETY: an element of the tensor, which is the caller's alone.
        unsafe { start.add(index * stride).write(round(value)) };
    }
}
