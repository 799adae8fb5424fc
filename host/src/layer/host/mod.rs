//! The operations of a layer on the CPU: in f32, on all threads of rayon's pool.

mod heads;
mod project;
mod rotate;

use super::config::MlaConfig;
use super::forward::Forward;
use super::operations::{Operations, Run};
use crate::backend::cpu::norm;
use crate::dtype::DType;
use crate::error::Result;
use crate::norm::RmsNorm;
use crate::tensor::{TensorMut, TensorRef};

/// The CPU.
#[derive(Clone, Copy, Debug)]
pub struct Host;

impl Operations for Host {
    fn activation(&self, _: DType) -> DType {
        DType::F32
    }

    fn weight_type(&self, _: DType) -> Option<DType> {
        None
    }

    fn check_config(&self, _: &MlaConfig) -> Result<()> {
        Ok(())
    }

    fn check_tensors(&self, _: DType, _: &Forward<'_>) -> Result<()> {
        Ok(())
    }

    fn project(
        &self,
        _: &Run<'_>,
        x: TensorRef<'_>,
        weight: TensorRef<'_>,
        y: TensorMut<'_>,
    ) -> Result<()> {
        project::project(&x, &weight, &y);
        Ok(())
    }

    fn normalise(
        &self,
        _: &Run<'_>,
        x: TensorRef<'_>,
        norm: RmsNorm<'_>,
        y: TensorMut<'_>,
    ) -> Result<()> {
        norm::normalise_rows(&x, &norm.weight, norm.eps, &y);
        Ok(())
    }

    fn absorb(
        &self,
        run: &Run<'_>,
        q: TensorRef<'_>,
        w_uk: TensorRef<'_>,
        rope: TensorRef<'_>,
        absorbed: TensorMut<'_>,
    ) -> Result<()> {
        heads::absorb(&run.tokens, &q, &w_uk, &rope, &absorbed);
        Ok(())
    }

    fn expand(
        &self,
        _: &Run<'_>,
        o: TensorRef<'_>,
        w_uv: TensorRef<'_>,
        values: TensorMut<'_>,
    ) -> Result<()> {
        heads::expand(&o, &w_uv, &values);
        Ok(())
    }
}
