//! Tensors of golden files.

use anyhow::{Result, ensure};
use bytemuck::Pod;
use safetensors::SafeTensors;

pub struct Tensor<T> {
    pub values: Vec<T>,
    pub shape: Vec<usize>,
}

impl<T: Pod> Tensor<T> {
    pub fn read(file: &SafeTensors<'_>, name: &str) -> Result<Self> {
        let tensor = file.tensor(name)?;
        let mut values = vec![T::zeroed(); tensor.shape().iter().product()];
        let bytes = bytemuck::cast_slice_mut(&mut values);
        ensure!(bytes.len() == tensor.data().len(), "{name}: wrong type");
        bytes.copy_from_slice(tensor.data());
        Ok(Self { values, shape: tensor.shape().to_vec() })
    }
}
