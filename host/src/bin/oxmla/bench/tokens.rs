//! Cached tokens to fill memory with.

use half::bf16;
use oxmla::cache::{AppendRows, CacheFormat, Scales, append};
use oxmla::{CacheLayout, DType, Device, LatentCache, Result, StreamRef, TensorRef};

use crate::elements::{self, Rng};

/// Tokens that caches are tiled with: whole blocks.
const TOKENS: usize = 4096;
const ROPE: usize = 64;

/// The bytes of random tokens of `layout`; elements are of type `dtype`.
pub fn random(layout: CacheLayout, dtype: DType, rng: &mut Rng) -> Result<Vec<u8>> {
    let d_qk = layout.format().d_qk();
    let mut elements = |dtype| elements::random(dtype, TOKENS * d_qk, rng);
    match layout.format() {
        CacheFormat::Elements(_) => Ok(bytemuck::cast_slice(&elements(dtype)).to_vec()),
        CacheFormat::Fp8(_) => quantised(layout, bytemuck::cast_slice(&elements(DType::Bf16))),
    }
}

/// Tokens of these elements, as the CPU appends them to a cache of one request whose blocks are in order.
fn quantised(layout: CacheLayout, elements: &[bf16]) -> Result<Vec<u8>> {
    let device = Device::cpu();
    let blocks = TOKENS / layout.block_size();
    let mut cache = LatentCache::new(&device, layout, blocks)?;
    let width = layout.format().latent();
    let (latent, rope) = elements.split_at(TOKENS * width);
    let ids: Vec<i32> = (0..blocks as i32).collect();
    let args = AppendRows {
        latent: TensorRef::from_slice(latent, &[TOKENS, width])?,
        rope: TensorRef::from_slice(rope, &[TOKENS, ROPE])?,
        norm: None,
        rotations: None,
        lengths: TensorRef::from_slice(&[TOKENS as i32], &[1])?,
        block_table: TensorRef::from_slice(&ids, &[1, blocks])?,
        offsets: None,
        scales: Scales::Exact,
        kv_cache: cache.view_mut(),
    };
    append(&device, StreamRef::cpu(), args)?;
    let mut bytes = vec![0; blocks * layout.bytes_per_block()];
    cache.buffer().read(0, &mut bytes)?;
    Ok(bytes)
}
