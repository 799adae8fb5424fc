//! RMS norms.

use rayon::prelude::*;

use super::rows;
use crate::layer::operations::Norm;
use crate::tensor::TensorMut;

/// Normalises each row of `x [tokens, width]`.
pub fn normalise_rows(x: &TensorMut<'_>, norm: Norm<'_>) {
    // SAFETY: a weight that the layer has made.
    let weight = unsafe { rows::load_matrix(&norm.weight.view()) };
    (0..x.shape()[0]).into_par_iter().for_each_init(
        || vec![0.0; weight.len()],
        |row, token| {
            // SAFETY: a row of the tensor; no other iteration has the same.
            unsafe {
                rows::load(&x.as_ref(), [token, 0], row);
                normalise(row, &weight, norm.eps);
                rows::store(x, [token, 0], row);
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
