//! Rows of the cache.

use super::norm::{normalise, weight};
use super::rotate::{rotate, turns};
use super::rows;
use crate::layer::operations::{Norm, Tokens};
use crate::tensor::{TensorMut, TensorRef};

/// Writes the tokens' rows, `kv [tokens, 576]`, to their slots: the latent normalised, the rest rotated.
pub fn append(
    tokens: &Tokens<'_>,
    kv: &TensorRef<'_>,
    norm: Norm<'_>,
    rope: &TensorRef<'_>,
    kv_cache: &TensorMut<'_>,
) {
    let weight = weight(norm);
    let mut row = vec![0.0; kv.shape()[1]];
    for token in 0..tokens.count() {
        let Some((position, slot)) = tokens.position(token).zip(tokens.slot(token)) else {
            continue;
        };
        // SAFETY: a row of the tensor.
        unsafe { rows::load(kv, [token, 0], &mut row) };
        let (latent, rotary) = row.split_at_mut(weight.len());
        normalise(latent, &weight, norm.eps);
        rotate(rotary, &turns(rope, position));
        // SAFETY: the planner has checked the block; the cache is the caller's alone.
        unsafe { rows::store(kv_cache, [slot.block as usize, slot.offset, 0, 0], &row) };
    }
}
