//! The product with a weight matrix.

use rayon::prelude::*;

use crate::backend::cpu::matrix::{Matrix, multiply};
use crate::backend::cpu::rows;
use crate::tensor::{TensorMut, TensorRef};

/// Rows of the weight that are widened together: enough for the product to run at full speed, few enough
/// (4 × 32 × 7,168 bytes = 0.9 MB) to stay in a core's L2 cache.
const PANEL: usize = 32;

/// `y [tokens, outputs] = x [tokens, inputs] · weightᵀ`, `weight [outputs, inputs]`.
pub fn project(x: &TensorRef<'_>, weight: &TensorRef<'_>, y: &TensorMut<'_>) {
    let [outputs, inputs] = [weight.shape()[0], weight.shape()[1]];
    let tokens = x.shape()[0];
    // SAFETY: checked by the layer.
    let x = unsafe { rows::load_matrix(x) };
    let x = Matrix::row_major(&x, tokens, inputs, inputs).transposed();
    // Outputs first, so that every panel has a piece of its own.
    let mut product = vec![0.0; outputs * tokens];
    product.par_chunks_mut(PANEL * tokens).enumerate().for_each_init(
        || vec![0.0; PANEL * inputs],
        |panel, (index, to)| {
            let count = to.len() / tokens;
            for (row, values) in panel.chunks_exact_mut(inputs).take(count).enumerate() {
                // SAFETY: a row of the weight.
                unsafe { rows::load(weight, [index * PANEL + row, 0], values) };
            }
            multiply(to, Matrix::row_major(panel, count, inputs, inputs), x, false);
        },
    );
    store_transposed(&product, tokens, y);
}

/// Writes `product [outputs, tokens]` to `y [tokens, outputs]`.
fn store_transposed(product: &[f32], tokens: usize, y: &TensorMut<'_>) {
    let outputs = product.len() / tokens;
    (0..tokens).into_par_iter().for_each_init(
        || vec![0.0; outputs],
        |row, token| {
            for (value, of_output) in row.iter_mut().zip(product.chunks_exact(tokens)) {
                *value = of_output[token];
            }
            // SAFETY: a row of the result; no other iteration has the same.
            unsafe { rows::store(y, [token, 0], row) };
        },
    );
}
