//! The tensors of a configuration.

use oxmla::{
    BLOCK_SIZE, Buffer, CacheLayout, DType, Device, Result, Selection, SparseAttention, SparsePlan,
    SparsePlanner, SparsePlannerConfig, SparseStep, Stream, sparse_decode, sparse_prefill,
};
use rand_chacha::rand_core::{Rng as _, SeedableRng};

use super::super::case::Cache;
use super::super::tokens;
use super::super::workload::fill;
use super::case::Case;
use crate::elements::{self, Rng};

/// Bytes of all caches together that calls back to back go through, so that none finds its own in the L2.
const ROTATED_BYTES: usize = 300_000_000;
/// Random elements that tensors are tiled with.
const TILE_ELEMENTS: usize = 4096 * 576;
const D_V: usize = 512;

/// A call, with as many caches as it takes to rotate.
pub struct Workload {
    case: Case,
    device: Device,
    planner: SparsePlanner,
    plan: SparsePlan,
    caches: Vec<Buffer>,
    indices: Buffer,
    q: Buffer,
    out: Buffer,
    lse: Buffer,
    max_logits: Buffer,
}

impl Workload {
    /// Allocates and fills everything.
    pub fn new(device: &Device, case: Case, seed: u64) -> Result<Self> {
        let mut rng = Rng::seed_from_u64(seed);
        let (queries, rows) = (case.tokens(), case.tokens() * case.heads);
        let tile = elements::random(DType::Bf16, TILE_ELEMENTS, &mut rng);
        let tiled = |elements: usize| -> Result<Buffer> {
            let mut buffer = device.alloc(2 * elements)?;
            fill(&mut buffer, bytemuck::cast_slice(&tile))?;
            Ok(buffer)
        };
        let cache = case.batch * case.cached * case.token_bytes();
        let cached = match case.cache {
            Cache::Elements => bytemuck::cast_slice(&tile).to_vec(),
            Cache::Fp8 | Cache::Fp8Math => {
                let layout = CacheLayout::fp8(case.format(), BLOCK_SIZE)?;
                tokens::random(layout, DType::Bf16, &mut rng)?
            }
        };
        let new_cache = |_| -> Result<Buffer> {
            let mut buffer = device.alloc(cache)?;
            fill(&mut buffer, &cached)?;
            Ok(buffer)
        };
        let config = SparsePlannerConfig { h_q: case.heads as u32, max_tokens: queries };
        let planner = SparsePlanner::new(device, config)?;
        let plan = planner.plan(SparseStep { tokens: queries, topk: case.topk, extra_topk: 0 })?;
        Ok(Self {
            case,
            device: device.clone(),
            planner,
            plan,
            caches: (0..ROTATED_BYTES.div_ceil(cache)).map(new_cache).collect::<Result<_>>()?,
            indices: device.upload(&indices(&case, &mut rng))?,
            q: tiled(rows * case.d_qk)?,
            out: device.alloc(2 * rows * D_V)?,
            lse: device.alloc(4 * rows)?,
            max_logits: device.alloc(4 * rows)?,
        })
    }

    /// Caches to rotate through.
    pub fn caches(&self) -> usize {
        self.caches.len()
    }

    /// Parts that the lists of a decode are divided into.
    pub const fn parts(&self) -> u32 {
        self.plan.parts()
    }

    /// A decode over cache number `cache` modulo [`Workload::caches`].
    pub fn decode(&mut self, stream: &Stream, cache: usize) -> Result<()> {
        let (planner, plan) = (&self.planner, &self.plan);
        let caches = &self.caches;
        let (out, lse) = (&mut self.out, &mut self.lse);
        let args =
            args(&self.case, &self.q, &caches[cache % caches.len()], &self.indices, out, lse)?;
        sparse_decode(planner, plan, stream.as_ref(), args)
    }

    /// The same as a prefill.
    pub fn prefill(&mut self, stream: &Stream, cache: usize) -> Result<()> {
        let caches = &self.caches;
        let (out, lse) = (&mut self.out, &mut self.lse);
        let args =
            args(&self.case, &self.q, &caches[cache % caches.len()], &self.indices, out, lse)?;
        let shape = [self.case.tokens(), self.case.heads];
        let max_logits = self.max_logits.view_mut(DType::F32, &shape)?;
        sparse_prefill(&self.device, stream.as_ref(), args, Some(max_logits))
    }
}

fn args<'a>(
    case: &Case,
    q: &'a Buffer,
    cache: &'a Buffer,
    indices: &'a Buffer,
    out: &'a mut Buffer,
    lse: &'a mut Buffer,
) -> Result<SparseAttention<'a>> {
    let Case { batch, heads, d_qk, cached, topk, .. } = *case;
    let (tokens, bf16) = (case.tokens(), DType::Bf16);
    Ok(SparseAttention {
        q: q.view(bf16, &[tokens, heads, d_qk])?,
        selection: Selection {
            kv_cache: match case.cache {
                Cache::Elements => cache.view(bf16, &[batch, cached, 1, d_qk])?,
                Cache::Fp8 | Cache::Fp8Math => {
                    let blocks = batch * cached / BLOCK_SIZE;
                    cache.view(DType::U8, &[blocks, BLOCK_SIZE, 1, case.token_bytes()])?
                }
            },
            indices: indices.view(DType::I32, &[tokens, topk])?,
            lengths: None,
        },
        extra: None,
        sink: None,
        out: out.view_mut(bf16, &[tokens, heads, D_V])?,
        lse: lse.view_mut(DType::F32, &[tokens, heads])?,
        softmax_scale: (d_qk as f32).sqrt().recip(),
    })
}

/// Distinct tokens of each query token's request, in no order.
fn indices(case: &Case, rng: &mut Rng) -> Vec<i32> {
    let mut all: Vec<i32> = (0..case.cached as i32).collect();
    let mut indices = Vec::with_capacity(case.tokens() * case.topk);
    for token in 0..case.tokens() {
        let first = (token / case.s_q * case.cached) as i32;
        for at in 0..case.topk {
            all.swap(at, at + (rng.next_u64() % (case.cached - at) as u64) as usize);
        }
        indices.extend(all[..case.topk].iter().map(|index| first + index));
    }
    indices
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_list_names_tokens_of_its_request_once() {
        let cache = Cache::Elements;
        let case = Case { batch: 3, s_q: 2, heads: 1, d_qk: 576, cached: 50, topk: 20, cache };
        let indices = indices(&case, &mut Rng::seed_from_u64(1));
        assert_eq!(indices.len(), 6 * 20);
        for (token, list) in indices.chunks(20).enumerate() {
            let first = (token / 2 * 50) as i32;
            assert!(list.iter().all(|index| (first..first + 50).contains(index)));
            assert_eq!(list.iter().collect::<BTreeSet<_>>().len(), 20);
        }
    }
}
