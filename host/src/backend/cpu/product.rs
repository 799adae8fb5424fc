//! Matrix products on the CPU: in f32, blocks of outputs side by side on all threads; or in f64, plain.

use half::{bf16, f16};
use rayon::prelude::*;

use super::cache::{load, store};
use super::half_float::HalfFloat;
use super::matrix::{Matrix, multiply};
use super::{Cpu, Precision};
use crate::dtype::DType;
use crate::gemm::{Product, Turning};
use crate::rope::ROPE_PAIRS;

/// Outputs that are computed at a time.
const OUTPUTS: usize = 64;

/// Multiplies; the arguments have been checked.
pub(crate) fn run(cpu: Cpu, product: &Product<'_>) {
    match product.x.dtype() {
        DType::F16 => run_as::<f16>(cpu, product),
        _ => run_as::<bf16>(cpu, product),
    }
}

fn run_as<T: HalfFloat>(cpu: Cpu, product: &Product<'_>) {
    for batch in 0..product.shape.batch as usize {
        match cpu.precision {
            Precision::F32 => multiply_fast::<T>(product, batch),
            Precision::F64 => multiply_plainly::<T>(product, batch),
        }
        if let Some(turning) = &product.turning {
            turn::<T>(product, turning, batch);
        }
    }
}

fn multiply_fast<T: HalfFloat>(product: &Product<'_>, batch: usize) {
    let [m, n, k] = sizes(product);
    let rows = |tensor, first: usize, count: usize| -> Vec<f32> {
        let places = (first..first + count).flat_map(|row| (0..k).map(move |i| (row, i)));
        // SAFETY: elements of the tensor.
        places.map(|(row, i)| unsafe { load::<T, 3>(tensor, [batch, row, i]) }.to_f32()).collect()
    };
    let x = rows(&product.x, 0, m);
    (0..n.div_ceil(OUTPUTS)).into_par_iter().for_each(|block| {
        let first = block * OUTPUTS;
        let count = OUTPUTS.min(n - first);
        let weight = rows(&product.weight, first, count);
        let weight = Matrix::row_major(&weight, count, k, k).transposed();
        let mut sums = vec![0.0; m * count];
        multiply(&mut sums, Matrix::row_major(&x, m, k, k), weight, false);
        for (index, sum) in sums.into_iter().enumerate() {
            let at = [batch, index / count, first + index % count];
            // SAFETY: an element of the output that no other block has.
            unsafe { store(&product.y, at, T::from_f32(sum)) };
        }
    });
}

fn multiply_plainly<T: HalfFloat>(product: &Product<'_>, batch: usize) {
    let [m, n, k] = sizes(product);
    (0..m * n).into_par_iter().for_each(|index| {
        let (row, output) = (index / n, index % n);
        let mut sum = 0.0;
        for i in 0..k {
            // SAFETY: elements of the operands.
            let (x, weight) = unsafe {
                (
                    load::<T, 3>(&product.x, [batch, row, i]),
                    load::<T, 3>(&product.weight, [batch, output, i]),
                )
            };
            sum += x.to_f64() * weight.to_f64();
        }
        // SAFETY: an element of the output that no other iteration has.
        unsafe { store(&product.y, [batch, row, output], T::from_f64(sum)) };
    });
}

/// Turns the rope parts of a head, in f64.
fn turn<T: HalfFloat>(product: &Product<'_>, turning: &Turning<'_>, head: usize) {
    let [m, n, k] = sizes(product);
    for token in 0..m {
        let position = product.position(turning, token);
        for pair in 0..ROPE_PAIRS {
            let mut turned = [0.0; 2];
            if let Some(position) = position {
                // SAFETY: elements of the rope part, and of the table, which has the position.
                let ([x, y], [cos, sin]) = unsafe {
                    (
                        [0, 1].map(|i| {
                            load::<T, 3>(&product.x, [head, token, k + 2 * pair + i]).to_f64()
                        }),
                        [0, 1].map(|part| {
                            f64::from(load::<f32, 3>(&turning.rotations, [position, pair, part]))
                        }),
                    )
                };
                turned = [x * cos - y * sin, x * sin + y * cos];
            }
            for (i, value) in turned.into_iter().enumerate() {
                let at = [head, token, n + 2 * pair + i];
                // SAFETY: an element of the output.
                unsafe { store(&product.y, at, T::from_f64(value)) };
            }
        }
    }
}

fn sizes(product: &Product<'_>) -> [usize; 3] {
    [product.shape.m, product.shape.n, product.shape.k].map(|size| size as usize)
}
