//! The memory of a product, with the strides that it has in a layer.

use std::cell::RefCell;

use oxmla::gemm::{Gemm, gemm, gemm_in_tiles};
use oxmla::{Buffer, DType, Result, TensorMut, TensorRef};
use oxmla_kernels::gemm::abi::Shape;
use oxmla_kernels::gemm::tiling::Tiling;

use super::measure::{Bench, copies};
use crate::bench::micro::row::Row;

/// Operands: `x [m, batch, k + gap]`, `weights [copies, batch, n, k]`, `y [m, batch, n + gap]`.
pub struct Operands {
    shape: Shape,
    gap: usize,
    x: Buffer,
    weights: Buffer,
    y: RefCell<Buffer>,
}

impl Operands {
    /// Random ones. `gap` elements behind every row of `x` and `y` are no part of the product.
    pub fn new(bench: &Bench<'_>, shape: Shape, gap: usize) -> anyhow::Result<Self> {
        let [batch, m, n, k] = sizes(&shape);
        Ok(Self {
            shape,
            gap,
            x: bench.random(m * batch * (k + gap))?,
            weights: bench.random(copies(&shape) * batch * n * k)?,
            y: bench.device.alloc(2 * m * batch * (n + gap))?.into(),
        })
    }

    /// The product as the library cuts it.
    pub fn row(
        &self,
        bench: &Bench<'_>,
        benchmark: &'static str,
        case: String,
    ) -> anyhow::Result<Row> {
        let tiling = bench.tiling(&self.shape)?;
        bench.row(benchmark, case, &self.shape, tiling, |number| {
            let mut y = self.y.borrow_mut();
            let args = self.args(number, &mut y)?;
            gemm(bench.device, bench.stream.as_ref(), bench.workspace, args)
        })
    }

    /// The product as `tiling` cuts it.
    pub fn row_in_tiles(
        &self,
        bench: &Bench<'_>,
        benchmark: &'static str,
        case: String,
        tiling: Tiling,
    ) -> anyhow::Result<Row> {
        bench.row(benchmark, case, &self.shape, tiling, |number| {
            let mut y = self.y.borrow_mut();
            let args = self.args(number, &mut y)?;
            gemm_in_tiles(bench.device, bench.stream.as_ref(), bench.workspace, args, tiling)
        })
    }

    /// The arguments of a call.
    fn args<'a>(&'a self, number: usize, y: &'a mut Buffer) -> Result<Gemm<'a>> {
        let [batch, m, n, k] = sizes(&self.shape);
        let location = y.location();
        let strides = |columns: usize| [columns + self.gap, batch * (columns + self.gap), 1];
        let weight =
            self.weights.address() + (number % copies(&self.shape) * batch * n * k * 2) as u64;
        // SAFETY: inside the buffers, which were made for these shapes and are borrowed.
        unsafe {
            Ok(Gemm {
                x: TensorRef::from_raw(
                    self.x.address(),
                    DType::Bf16,
                    &[batch, m, k],
                    &strides(k),
                    location,
                )?,
                weight: TensorRef::from_raw(
                    weight,
                    DType::Bf16,
                    &[batch, n, k],
                    &[n * k, k, 1],
                    location,
                )?,
                y: TensorMut::from_raw(
                    y.address(),
                    DType::Bf16,
                    &[batch, m, n],
                    &strides(n),
                    location,
                )?,
            })
        }
    }
}

fn sizes(shape: &Shape) -> [usize; 4] {
    [shape.batch, shape.m, shape.n, shape.k].map(|size| size as usize)
}
