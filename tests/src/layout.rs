//! Where the elements of a case's tensors lie.

use std::array;

use oxmla_kernels::decode::dense::config::{D_LATENT, D_QK};

use crate::case::{Case, Views};

/// Width of queries and of cached rows.
pub const D_K: usize = D_QK as usize;
/// Width of values and of outputs.
pub const D_V: usize = D_LATENT as usize;
/// Tokens of a block, where a case does not say otherwise.
pub const BLOCK: usize = oxmla::cache::BLOCK_SIZE;

/// Shape and strides, in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout<const RANK: usize> {
    /// Size of each axis, outermost first.
    pub shape: [usize; RANK],
    /// Stride of each axis.
    pub strides: [usize; RANK],
}

impl<const RANK: usize> Layout<RANK> {
    /// Row-major, without gaps.
    #[must_use]
    pub fn packed(shape: [usize; RANK]) -> Self {
        Self { shape, strides: array::from_fn(|axis| shape[axis + 1..].iter().product()) }
    }

    /// Elements from the first to the last, both included.
    #[must_use]
    pub fn extent(&self) -> usize {
        if self.shape.contains(&0) {
            return 0;
        }
        1 + self
            .shape
            .iter()
            .zip(self.strides)
            .map(|(size, stride)| (size - 1) * stride)
            .sum::<usize>()
    }

    /// Where an element is.
    #[must_use]
    pub fn offset(&self, index: [usize; RANK]) -> usize {
        index.iter().zip(self.strides).map(|(index, stride)| index * stride).sum()
    }
}

/// `q [batch, s_q, h_q, 576]`. Rows stay evenly spaced over tokens and heads, as the GPU needs them.
#[must_use]
pub fn queries(case: &Case) -> Layout<4> {
    let shape = [case.batch, case.s_q, case.h_q, D_K];
    match case.views {
        Views::Packed => Layout::packed(shape),
        Views::Strided => {
            let head = D_K + 8;
            let token = case.h_q * head;
            Layout { shape, strides: [case.s_q * token + 24, token, head, 1] }
        }
    }
}

/// `kv_cache [blocks, block size, h_k, 576]`.
#[must_use]
pub fn cache(case: &Case, blocks: usize) -> Layout<4> {
    let shape = [blocks, case.block_size, case.h_k, D_K];
    match case.views {
        Views::Packed => Layout::packed(shape),
        Views::Strided => {
            let head = D_K + 16;
            let token = case.h_k * head + 8;
            Layout { shape, strides: [case.block_size * token + 40, token, head, 1] }
        }
    }
}

/// `out [batch, s_q, h_q, 512]`.
#[must_use]
pub fn outputs(case: &Case) -> Layout<4> {
    let shape = [case.batch, case.s_q, case.h_q, D_V];
    match case.views {
        Views::Packed => Layout::packed(shape),
        Views::Strided => {
            let token = D_V + 8;
            let head = case.s_q * token + 16;
            Layout { shape, strides: [case.h_q * head + 32, token, head, 1] }
        }
    }
}

/// `lse [batch, h_q, s_q]`.
#[must_use]
pub fn lse(case: &Case) -> Layout<3> {
    let shape = [case.batch, case.h_q, case.s_q];
    match case.views {
        Views::Packed => Layout::packed(shape),
        Views::Strided => {
            let head = case.s_q + 3;
            Layout { shape, strides: [case.h_q * head + 5, head, 1] }
        }
    }
}
