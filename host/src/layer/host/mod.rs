//! The operations of a layer on the CPU: in f32, on all threads of rayon's pool.

mod heads;
mod norm;
mod project;
mod rotate;
mod rows;

use super::operations::{Norm, Operations, Tokens};
use super::weight::Weight;
use crate::dtype::DType;
use crate::error::Result;
use crate::stream::StreamRef;
use crate::tensor::{TensorMut, TensorRef};

/// The CPU.
#[derive(Clone, Copy, Debug)]
pub struct Host;

impl Operations for Host {
    fn activation(&self) -> DType {
        DType::F32
    }

    fn project(
        &self,
        _: StreamRef<'_>,
        x: TensorRef<'_>,
        weight: &Weight,
        y: TensorMut<'_>,
    ) -> Result<()> {
        project::project(&x, &weight.view(), &y);
        Ok(())
    }

    fn normalise(&self, _: StreamRef<'_>, x: TensorMut<'_>, norm: Norm<'_>) -> Result<()> {
        norm::normalise_rows(&x, norm);
        Ok(())
    }

    fn absorb(
        &self,
        _: StreamRef<'_>,
        tokens: &Tokens<'_>,
        q: TensorRef<'_>,
        w_uk: &Weight,
        rope: TensorRef<'_>,
        absorbed: TensorMut<'_>,
    ) -> Result<()> {
        heads::absorb(tokens, &q, &w_uk.view(), &rope, &absorbed);
        Ok(())
    }

    fn expand(
        &self,
        _: StreamRef<'_>,
        o: TensorRef<'_>,
        w_uv: &Weight,
        values: TensorMut<'_>,
    ) -> Result<()> {
        heads::expand(&o, &w_uv.view(), &values);
        Ok(())
    }
}
