//! Attention.

use std::ffi::c_void;

use oxmla::Decode;

use crate::failure::{Failure, Result};
use crate::planner::OxmlaPlanner;
use crate::tensor::OxmlaTensor;

/// The tensors of one layer's decode attention, all on the planner's device; queries, cache and output have the
/// planner's type.
#[repr(C)]
pub struct OxmlaDecode {
    /// Queries, with W_UK absorbed and the rotary part last: `[batch, s_q, h_q, 576]`.
    pub q: OxmlaTensor,
    /// Cached rows: `[blocks, block_size, h_k, 576]`, as the planner was told. Rows that no request of the
    /// plan has may hold anything, NaN included, and so may rows that are before the windows of all query tokens.
    pub kv_cache: OxmlaTensor,
    /// The output, in latent space: `[batch, s_q, h_q, 512]`. 0 for a query token that sees nothing.
    pub out: OxmlaTensor,
    /// Natural logarithm of the sum of exponentials of the scaled scores: `[batch, h_q, s_q]` f32. Minus infinity
    /// for a query token that sees nothing.
    pub lse: OxmlaTensor,
    /// By what scores are multiplied before the softmax; for DeepSeek-V3 `1 / sqrt(192)`, times the square of
    /// YaRN's factor.
    pub softmax_scale: f32,
    /// Soft cap of the scaled scores `s`, which become `cap * tanh(s / cap)`; 0 leaves them as they are.
    pub softcap: f32,
}

/// Attends from the queries to what the requests of the latest plan have cached.
///
/// # Safety
/// As for [`oxmla_decode`](crate::entry::oxmla_decode).
pub unsafe fn decode(
    planner: &OxmlaPlanner,
    args: &OxmlaDecode,
    stream: *mut c_void,
) -> Result<()> {
    let plan = planner.plan()?;
    // SAFETY: the caller's promise.
    let (stream, args) = unsafe { (planner.stream(stream)?, views(planner, args)?) };
    oxmla::decode(&planner.planner, plan, stream, args).map_err(Failure::from)
}

/// # Safety
/// As for [`decode`].
unsafe fn views<'a>(planner: &OxmlaPlanner, args: &OxmlaDecode) -> Result<Decode<'a>> {
    let location = planner.planner.device().location();
    // SAFETY: the caller's promise.
    unsafe {
        Ok(Decode {
            q: args.q.read::<4>("q", location)?,
            kv_cache: args.kv_cache.read::<4>("kv_cache", location)?,
            out: args.out.write::<4>("out", location)?,
            lse: args.lse.write::<3>("lse", location)?,
            softmax_scale: args.softmax_scale,
            softcap: (args.softcap != 0.0).then_some(args.softcap),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use allocation_counter::measure;

    use super::*;
    use crate::choice::{OxmlaDevice, OxmlaDtype};
    use crate::planner::OxmlaPlannerConfig;

    /// What a decode on a GPU does before it hands over to the library, which allocates nothing there.
    #[test]
    fn views_are_made_without_allocating() {
        let config = OxmlaPlannerConfig {
            h_q: 16,
            h_k: 1,
            dtype: OxmlaDtype::Bf16 as u32,
            max_s_q: 2,
            max_batch: 3,
            max_blocks_per_sequence: 1,
            blocks_in_cache: 5,
            piece_tokens: 0,
            block_size: 0,
        };
        let planner = OxmlaPlanner::new(OxmlaDevice::Cpu as u32, &config).unwrap();
        let tensor = |shape: [i64; 4], strides, rank, dtype: OxmlaDtype| {
            let data = ptr::dangling_mut::<u64>().cast();
            OxmlaTensor { data, shape, strides, rank, dtype: dtype as u32 }
        };
        let args = OxmlaDecode {
            q: tensor([3, 2, 16, 576], [18432, 9216, 576, 1], 4, OxmlaDtype::Bf16),
            kv_cache: tensor([5, 64, 1, 576], [36864, 576, 576, 1], 4, OxmlaDtype::Bf16),
            out: tensor([3, 2, 16, 512], [16384, 8192, 512, 1], 4, OxmlaDtype::Bf16),
            lse: tensor([3, 16, 2, 0], [32, 2, 1, 0], 3, OxmlaDtype::F32),
            softmax_scale: 1.0,
            softcap: 0.0,
        };
        let allocated = measure(|| {
            // SAFETY: nobody follows the views.
            assert!(unsafe { views(&planner, &args) }.is_ok());
        });
        assert_eq!(allocated.count_total, 0);
    }
}
