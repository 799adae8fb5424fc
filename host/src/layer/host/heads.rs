//! Into latent space and out of it, head by head.

use rayon::prelude::*;

use super::rotate::{D_ROPE, rotate, turns};
use crate::backend::cpu::matrix::{Matrix, multiply};
use crate::backend::cpu::rows;
use crate::layer::operations::Tokens;
use crate::rope::ROPE_PAIRS;
use crate::tensor::{TensorMut, TensorRef};

/// `absorbed [tokens, heads, 576]`: of each head `q_nope · W_UK`, then the rotated rest of
/// `q [tokens, heads, nope + 64]`; `w_uk [heads, 512, nope]`. 0 for tokens without position.
pub fn absorb(
    tokens: &Tokens<'_>,
    q: &TensorRef<'_>,
    w_uk: &TensorRef<'_>,
    rope: &TensorRef<'_>,
    absorbed: &TensorMut<'_>,
) {
    let (nope, latent) = (q.shape()[2] - D_ROPE, w_uk.shape()[1]);
    let turns: Vec<Option<[[f32; 2]; ROPE_PAIRS]>> = (0..tokens.count())
        .map(|token| tokens.position(token).map(|position| turns(rope, position)))
        .collect();
    (0..q.shape()[1]).into_par_iter().for_each(|head| {
        let nopes = load_head(q, head, nope);
        let projected = product(&nopes, nope, &load_weight(w_uk, head));
        let mut row = vec![0.0; latent + D_ROPE];
        for (token, turns) in turns.iter().enumerate() {
            row.fill(0.0);
            if let Some(turns) = turns {
                row[..latent].copy_from_slice(&projected[token * latent..][..latent]);
                // SAFETY: the rest of the head, behind its `nope` elements.
                unsafe { rows::load(q, [token, head, nope], &mut row[latent..]) };
                rotate(&mut row[latent..], turns);
            }
            // SAFETY: a row of the result; no other iteration has the same head and token.
            unsafe { rows::store(absorbed, [token, head, 0], &row) };
        }
    });
}

/// `values [tokens, heads, v] = o · W_UVᵀ` head by head: `o [tokens, heads, 512]`, `w_uv [heads, v, 512]`.
pub fn expand(o: &TensorRef<'_>, w_uv: &TensorRef<'_>, values: &TensorMut<'_>) {
    let (latent, v) = (o.shape()[2], values.shape()[2]);
    (0..o.shape()[1]).into_par_iter().for_each(|head| {
        let latents = load_head(o, head, latent);
        let product = product(&latents, latent, &load_weight(w_uv, head));
        for (token, row) in product.chunks_exact(v).enumerate() {
            // SAFETY: a row of the result; no other iteration has the same head and token.
            unsafe { rows::store(values, [token, head, 0], row) };
        }
    });
}

/// The first `width` elements of a head of every token.
fn load_head(tensor: &TensorRef<'_>, head: usize, width: usize) -> Vec<f32> {
    let mut elements = vec![0.0; tensor.shape()[0] * width];
    for (token, row) in elements.chunks_exact_mut(width).enumerate() {
        // SAFETY: inside the head's elements.
        unsafe { rows::load(tensor, [token, head, 0], row) };
    }
    elements
}

/// A head's matrix of a weight `[heads, rows, columns]`.
fn load_weight(weight: &TensorRef<'_>, head: usize) -> Vec<f32> {
    let [rows, columns] = [weight.shape()[1], weight.shape()[2]];
    let mut elements = vec![0.0; rows * columns];
    for (row, to) in elements.chunks_exact_mut(columns).enumerate() {
        // SAFETY: a row of the weight.
        unsafe { rows::load(weight, [head, row, 0], to) };
    }
    elements
}

/// `x · weightᵀ`; rows of both have `width` elements.
fn product(x: &[f32], width: usize, weight: &[f32]) -> Vec<f32> {
    let (tokens, outputs) = (x.len() / width, weight.len() / width);
    let weight = Matrix::row_major(weight, outputs, width, width).transposed();
    let mut to = vec![0.0; tokens * outputs];
    multiply(&mut to, Matrix::row_major(x, tokens, width, width), weight, false);
    to
}
