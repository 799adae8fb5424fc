//! A whole attention layer of a DeepSeek-V2/V3 style model: hidden states in, hidden states out.
//!
//! ```text
//! hidden [tokens, hidden] ─┬─ q_proj, or q_a_proj → RMS norm → q_b_proj ─► q [tokens, heads, nope + rope]
//!                          │                          absorb: · W_UK, rotate ─► q [tokens, heads, 576] ─┐
//!                          └─ kv_a_proj_with_mqa ─► append: RMS norm, rotate ───► paged cache ──────────┤
//!                                                                                               decode ◄┘
//! out [tokens, hidden] ◄─ o_proj ◄─ [tokens, heads · v] ◄─ expand: · W_UV ◄─ o [tokens, heads, 512] ◄───┘
//! ```
//!
//! [`MlaAttention`] holds the weights of one layer, or of one rank's heads of it; [`LayerScratch`] the memory
//! between its operations, once for all layers. [`MlaAttention::forward`] runs the tokens of a
//! [`DecodePlan`](crate::DecodePlan): one per request, a few (speculation), or a chunk of a prompt; they are the
//! last `s_q` tokens of each request in any case.
//!
//! Decode and prefill are the same call, so that a prompt may come whole or in chunks of any size:
//!
//! ```
//! use oxmla::layer::{Forward, HeadShard, LayerScratch, MlaAttention, MlaConfig, MlaWeights, QueryWeights};
//! use oxmla::*;
//!
//! # fn main() -> oxmla::Result<()> {
//! # let config = MlaConfig { hidden_size: 64, num_attention_heads: 2, q_lora_rank: None, ..MlaConfig::deepseek_v3() };
//! # let zeros = vec![half::bf16::ZERO; 576 * 512];
//! # let weight = |shape: &[usize]| TensorRef::from_slice(&zeros, shape);
//! # let weights = MlaWeights {
//! #     q: QueryWeights::Direct { q_proj: weight(&[2 * 192, 64])? },
//! #     kv_a_proj_with_mqa: weight(&[576, 64])?,
//! #     kv_a_layernorm: weight(&[512])?,
//! #     kv_b_proj: weight(&[2 * 256, 512])?,
//! #     o_proj: weight(&[64, 2 * 128])?,
//! # };
//! let device = Device::cpu();
//! let layer = MlaAttention::new(&device, &config, &weights, DType::Bf16, HeadShard::WHOLE)?;
//! let mut scratch = LayerScratch::new(&layer, 100)?;
//! let rope = device.upload(&config.rope.table(4096))?;
//!
//! let mut pool = BlockPool::new(32)?;
//! let cache_layout = CacheLayout::new(layer.dims(), DType::Bf16, BLOCK_SIZE)?;
//! let mut cache = device.alloc(32 * cache_layout.bytes_per_block())?;
//! let mut planner = Planner::new(&device, PlannerConfig { dims: layer.dims(), dtype: DType::Bf16,
//!     max_batch: 1, max_blocks_per_sequence: 32, max_s_q: 100, block_size: BLOCK_SIZE,
//!     blocks_in_cache: 32 })?;
//! let stream = device.stream()?;
//!
//! let mut request = pool.sequence();
//! for chunk in [100, 30, 1] {
//!     let _ = pool.append(&mut request, chunk)?;
//!     let table = BlockTable::from_sequences(&[&request])?;
//!     let plan = planner.plan(stream.as_ref(), Step::new(&table, chunk as u32, Mask::Causal))?;
//!     let hidden = vec![half::bf16::ONE; chunk * 64];
//!     let mut out = hidden.clone();
//!     layer.forward(&planner, &plan, stream.as_ref(), Forward {
//!         hidden: TensorRef::from_slice(&hidden, &[chunk, 64])?,
//!         kv_cache: cache.view_mut(DType::Bf16, &cache_layout.shape(32))?,
//!         rope: rope.view(DType::F32, &[4096, ROPE_PAIRS, 2])?,
//!         scratch: &mut scratch,
//!         out: TensorMut::from_slice(&mut out, &[chunk, 64])?,
//!     })?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Devices
//! On a GPU a run is eight launches in the order of its stream, six where queries are not compressed, each of them
//! something to call by itself as well: [`gemm`](crate::gemm), [`normalise_rows`](crate::norm::normalise_rows),
//! [`absorb`](crate::gemm::absorb), [`append`](crate::cache::append()), [`decode`](crate::decode),
//! [`expand`](crate::gemm::expand). `q_a_proj` (or `q_proj`) and `kv_a_proj_with_mqa` read the same hidden states; they
//! are kept as one matrix, so that one product makes both. Weights, hidden states and all that is between operations
//! are of the layer's type, sums in f32. Nothing is allocated or waited for in a run, and it can be captured in a graph.
//! The simulator runs the same kernels.
//!
//! On the CPU, products and sums are in f32 whatever the weights are. What goes into the cache is rounded to the
//! layer's type, bf16 or f16, before its norm and after its rotation, as on a GPU; queries and what attention writes
//! once.

mod attention;
mod checks;
mod config;
mod elements;
mod forward;
mod host;
#[cfg(any(feature = "cuda", feature = "sim"))]
mod kernels;
mod operation;
mod operations;
mod projected;
mod scratch;
mod shard;
mod weight;
mod weights;

pub use attention::MlaAttention;
pub use config::MlaConfig;
pub use forward::Forward;
pub use operation::Operation;
pub use scratch::LayerScratch;
pub use shard::HeadShard;
pub use weights::{MlaWeights, QueryWeights};
