//! RMS norms.

use rayon::prelude::*;

use super::rows;
use crate::tensor::{TensorMut, TensorRef};

/// Normalises each row of `x [rows, width]` into `y`: any types of floats, the weight `[width]` as well.
pub(crate) fn normalise_rows(
    x: &TensorRef<'_>,
    weight: &TensorRef<'_>,
    eps: f32,
    y: &TensorMut<'_>,
) {
    let mut weights = vec![0.0; x.shape()[1]];
    // SAFETY: checked by the caller.
    unsafe { rows::load(weight, [0], &mut weights) };
    (0..x.shape()[0]).into_par_iter().for_each_init(
        || vec![0.0; weights.len()],
        |elements, row| {
            // SAFETY: a row of each tensor; no other iteration has the same.
            unsafe {
                rows::load(x, [row, 0], elements);
                normalise(elements, &weights, eps);
                rows::store(y, [row, 0], elements);
            }
        },
    );
}

/// `row · weight / sqrt(mean(row²) + eps)`.
fn normalise(row: &mut [f32], weight: &[f32], eps: f32) {
    let squares: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    let scale = (squares / row.len() as f64 + f64::from(eps)).sqrt().recip() as f32;
    row.iter_mut().zip(weight).for_each(|(x, weight)| *x *= scale * weight);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_scaled_by_their_root_mean_square() {
        let mut row = [3.0, -4.0, 0.0, 5.0];
        normalise(&mut row, &[1.0, 1.0, 1.0, 2.0], 0.0);
        let root = 12.5f32.sqrt();
        for (x, expected) in row.iter().zip([3.0 / root, -4.0 / root, 0.0, 10.0 / root]) {
            assert!((x - expected).abs() < 1e-6);
        }
        let mut zeros = [0.0; 4];
        normalise(&mut zeros, &[1.0; 4], 1e-6);
        assert_eq!(zeros, [0.0; 4]);
    }
}
