//! The operations of a layer on a GPU, and in the simulator: one launch each.

use super::config::MlaConfig;
use super::forward::Forward;
use super::operations::{Operations, Run};
#[cfg(feature = "cuda")]
use crate::cache::gpu_layout;
use crate::check;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::gemm::{self, Absorb, Expand, Gemm};
use crate::norm::{self, NormaliseRows, RmsNorm};
use crate::tensor::{TensorMut, TensorRef};

/// Elements by which kernels load and store.
const VECTOR: usize = 8;

/// The kernels of a device.
#[derive(Debug)]
pub struct Kernels {
    device: Device,
}

impl Kernels {
    /// Those of `device`, which is a GPU or the simulator.
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone() }
    }
}

impl Operations for Kernels {
    fn activation(&self, dtype: DType) -> DType {
        dtype
    }

    fn weight_type(&self, dtype: DType) -> Option<DType> {
        Some(dtype)
    }

    fn check_config(&self, config: &MlaConfig) -> Result<()> {
        let widths = [
            ("hidden_size", config.hidden_size),
            ("q_lora_rank", config.q_lora_rank.unwrap_or(VECTOR)),
            ("qk_nope_head_dim", config.qk_nope_head_dim),
            ("v_head_dim", config.v_head_dim),
        ];
        for (arg, width) in widths {
            if !width.is_multiple_of(VECTOR) {
                let (expected, got) = ("a multiple of 8", width as f64);
                return Err(Error::InvalidNumber { arg, expected, got });
            }
        }
        Ok(())
    }

    fn check_tensors(&self, dtype: DType, args: &Forward<'_>) -> Result<()> {
        check::dtype("hidden", args.hidden.dtype(), dtype)?;
        check::dtype("out", args.out.dtype(), dtype)?;
        #[cfg(feature = "cuda")]
        if let Device::Cuda(_) = self.device {
            gpu_layout::rows("hidden", &args.hidden, dtype.size() * VECTOR)?;
            gpu_layout::rows("out", &args.out.as_ref(), dtype.size() * VECTOR)?;
            gpu_layout::packed("rope", &args.rope, dtype.size() * VECTOR)?;
            gpu_layout::cache(&args.kv_cache.as_ref())?;
        }
        Ok(())
    }

    fn project(
        &self,
        run: &Run<'_>,
        x: TensorRef<'_>,
        weight: TensorRef<'_>,
        y: TensorMut<'_>,
    ) -> Result<()> {
        gemm::gemm(&self.device, run.stream, run.workspace, Gemm { x, weight, y })
    }

    fn normalise(
        &self,
        run: &Run<'_>,
        x: TensorRef<'_>,
        norm: RmsNorm<'_>,
        y: TensorMut<'_>,
    ) -> Result<()> {
        norm::normalise_rows(&self.device, run.stream, NormaliseRows { x, norm, y })
    }

    fn absorb(
        &self,
        run: &Run<'_>,
        q: TensorRef<'_>,
        w_uk: TensorRef<'_>,
        rope: TensorRef<'_>,
        absorbed: TensorMut<'_>,
    ) -> Result<()> {
        let lengths = run.tokens.lengths_on_device()?;
        let args = Absorb { q, w_uk, rotations: rope, lengths, absorbed };
        gemm::absorb(&self.device, run.stream, run.workspace, args)
    }

    fn expand(
        &self,
        run: &Run<'_>,
        o: TensorRef<'_>,
        w_uv: TensorRef<'_>,
        values: TensorMut<'_>,
    ) -> Result<()> {
        gemm::expand(&self.device, run.stream, run.workspace, Expand { o, w_uv, values })
    }
}
