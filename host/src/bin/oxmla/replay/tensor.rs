//! Tensors of a file, checked.

use std::fmt;

use oxmla::{Buffer, DType, Device, Location, TensorRef};
use safetensors::{Dtype, SafeTensors};

use super::error::InputError;
use crate::elements;

/// A tensor of a mapped file. The file may have placed it at any address.
#[derive(Clone, Debug)]
pub struct Tensor<'file, const RANK: usize> {
    name: &'static str,
    dtype: DType,
    shape: [usize; RANK],
    bytes: &'file [u8],
}

/// An axis that a tensor must have: its name, and its size unless any will do.
pub type Axis = (&'static str, Option<usize>);

impl<'file, const RANK: usize> Tensor<'file, RANK> {
    /// The tensor of that name, if it has one of these types and these axes.
    pub fn find(
        file: &SafeTensors<'file>,
        name: &'static str,
        dtypes: &[DType],
        axes: [Axis; RANK],
    ) -> Result<Self, InputError> {
        Self::find_optional(file, name, dtypes, axes)?.ok_or_else(|| {
            let mut names = file.names();
            names.sort_unstable();
            InputError::MissingTensor { name, found: quoted(&names) }
        })
    }

    /// As [`Tensor::find`], but the file need not have it.
    pub fn find_optional(
        file: &SafeTensors<'file>,
        name: &'static str,
        dtypes: &[DType],
        axes: [Axis; RANK],
    ) -> Result<Option<Self>, InputError> {
        let Ok(view) = file.tensor(name) else { return Ok(None) };
        let dtype = from_file(view.dtype()).filter(|dtype| dtypes.contains(dtype));
        let dtype = dtype.ok_or_else(|| InputError::WrongDtype {
            name,
            expected: either(dtypes),
            found: view.dtype().to_string().to_lowercase(),
        })?;
        let fits = |(size, axis): (&usize, &Axis)| axis.1.is_none_or(|expected| expected == *size);
        match <[usize; RANK]>::try_from(view.shape()) {
            Ok(shape) if shape.iter().zip(&axes).all(fits) => {
                Ok(Some(Self { name, dtype, shape, bytes: view.data() }))
            }
            _ => {
                let (expected, found) = (expected_shape(&axes), view.shape().to_vec());
                Err(InputError::WrongShape { name, expected, found })
            }
        }
    }

    /// Type of the elements.
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// Size of each axis.
    pub const fn shape(&self) -> [usize; RANK] {
        self.shape
    }

    /// The elements of a floating-point tensor.
    pub fn to_f32(&self) -> Vec<f32> {
        elements::to_f32(self.dtype, self.bytes)
    }

    /// The elements of an `i32` tensor.
    pub fn to_i32(&self) -> Vec<i32> {
        let quads = self.bytes.chunks_exact(4);
        quads.map(|quad| i32::from_le_bytes([quad[0], quad[1], quad[2], quad[3]])).collect()
    }

    /// The tensor where `device` can read it: on the host the mapped file itself, if the elements are aligned
    /// there, else a copy.
    pub fn place(&self, device: &Device) -> oxmla::Result<Placed<'file>> {
        if device.location() == Location::Host
            && let Some(mapped) = self.mapped()
        {
            return Ok(Placed::Mapped(mapped?));
        }
        let mut buffer = device.alloc(self.bytes.len())?;
        buffer.write(0, self.bytes)?;
        Ok(Placed::Copied { buffer, dtype: self.dtype, shape: self.shape.to_vec() })
    }

    /// A view of the mapped elements, if they are aligned.
    fn mapped(&self) -> Option<oxmla::Result<TensorRef<'file>>> {
        let bytes = self.bytes;
        match self.dtype {
            DType::Bf16 => Some(TensorRef::from_slice::<half::bf16>(
                bytemuck::try_cast_slice(bytes).ok()?,
                &self.shape,
            )),
            DType::F16 => Some(TensorRef::from_slice::<half::f16>(
                bytemuck::try_cast_slice(bytes).ok()?,
                &self.shape,
            )),
            DType::U8 => Some(TensorRef::from_slice(bytes, &self.shape)),
            _ => None,
        }
    }
}

impl<const RANK: usize> fmt::Display for Tensor<'_, RANK> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.name, self.shape, self.dtype)
    }
}

/// A tensor where its device can read it.
pub enum Placed<'file> {
    /// In the mapped file.
    Mapped(TensorRef<'file>),
    /// In memory of the device.
    Copied {
        /// The memory.
        buffer: Buffer,
        /// Type of the elements.
        dtype: DType,
        /// Size of each axis.
        shape: Vec<usize>,
    },
}

impl Placed<'_> {
    /// The tensor.
    pub fn view(&self) -> oxmla::Result<TensorRef<'_>> {
        match self {
            Self::Mapped(tensor) => Ok(*tensor),
            Self::Copied { buffer, dtype, shape } => buffer.view(*dtype, shape),
        }
    }
}

const fn from_file(dtype: Dtype) -> Option<DType> {
    match dtype {
        Dtype::BF16 => Some(DType::Bf16),
        Dtype::F16 => Some(DType::F16),
        Dtype::F32 => Some(DType::F32),
        Dtype::I32 => Some(DType::I32),
        Dtype::U8 => Some(DType::U8),
        _ => None,
    }
}

/// `bf16, f16 or f32`.
fn either(dtypes: &[DType]) -> String {
    let names: Vec<_> = dtypes.iter().map(DType::to_string).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// `[batch = 2, s_q, h_q, d_qk = 576]`.
fn expected_shape(axes: &[Axis]) -> String {
    let axis = |&(name, size): &Axis| match size {
        Some(size) => format!("{name} = {size}"),
        None => name.to_owned(),
    };
    format!("[{}]", axes.iter().map(axis).collect::<Vec<_>>().join(", "))
}

fn quoted(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        names => format!("`{}`", names.join("`, `")),
    }
}
