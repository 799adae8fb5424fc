//! Sparse attention over host memory.

use std::vec;

use oxmla_simt::{Launch, Memory, Swizzle, TensorMap, Trace};

use super::entry;
use super::step::{Error, dense_buffers, geometry};
use crate::abi::{Cut, DenseDecodeParams, Reach, Rows};
use crate::cache::fp8::Fp8Format;
use crate::decode::dense::config;
use crate::decode::schedule::{self, Schedule};
use crate::decode::sparse::abi::{List, SparseParams, listed_tokens};
use crate::launch::{self, Kernel};

/// A cache, 16-byte aligned: blocks with gaps between them, if the stride says so.
#[derive(Clone, Copy, Debug)]
pub enum SparseCache<'a> {
    /// bf16 by its bits.
    Elements(&'a [u16]),
    /// Bytes of an FP8 format other than [`Fp8Format::Planar644`].
    Fp8(Fp8Format, &'a [u8]),
}

/// A cache, and for each query token a list of its tokens.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// The cache.
    pub cache: SparseCache<'a>,
    /// Tokens of a block.
    pub block_size: u32,
    /// Blocks.
    pub blocks: u32,
    /// From one block to the next, and from one token of a block to the next, in elements: multiples of 16 bytes. Where
    /// the parts of a token are in an FP8 cache is the format's to say.
    pub strides: [usize; 2],
    /// `[tokens, topk]`.
    pub indices: &'a [i32],
    /// `[tokens]`, if not all indices count.
    pub lengths: Option<&'a [i32]>,
}

/// Which kernel, and what it alone has.
#[derive(Debug)]
pub enum SparseWork<'a> {
    /// Lists are divided among so many CTAs for each tile.
    Decode {
        /// The CTAs.
        parts: u32,
        /// How.
        cut: Cut,
    },
    /// Every list is one CTA's for each tile.
    Prefill {
        /// CTAs for each tile.
        parts: u32,
        /// `[tokens, h_q]`: largest scaled score of each row.
        max_logits: Option<&'a mut [f32]>,
    },
}

/// Sparse attention over contiguous tensors in host memory, bf16 by its bits.
#[derive(Debug)]
pub struct SparseStep<'a> {
    /// Query tokens.
    pub tokens: u32,
    /// Heads.
    pub h_q: u32,
    /// Dimensions of a query: 576 or 512.
    pub d_qk: u32,
    /// `[tokens, h_q, d_qk]`, 16-byte aligned.
    pub q: &'a [u16],
    /// What is attended to.
    pub list: Listed<'a>,
    /// What is attended to in a second cache.
    pub extra: Option<Listed<'a>>,
    /// `[h_q]`: scores without values.
    pub sink: Option<&'a [f32]>,
    /// `[tokens, h_q, 512]`, 16-byte aligned.
    pub out: &'a mut [u16],
    /// `[tokens, h_q]`.
    pub lse: &'a mut [f32],
    /// Factor of the scores.
    pub softmax_scale: f32,
    /// Which kernel.
    pub work: SparseWork<'a>,
}

impl SparseStep<'_> {
    /// Runs the kernel, its launch changed by `configure` (seed, timing, trace).
    ///
    /// # Errors
    /// [`Error`].
    pub fn run(self, configure: impl Fn(Launch) -> Launch) -> Result<Trace, Error> {
        self.check()?;
        let rows = Rows::pack(1, self.h_q, 1);
        let tiles = rows.tiles();
        let (kernel, run) = self.kernel();
        let (parts, cut, max_logits) = match self.work {
            SparseWork::Decode { parts, cut } => (parts, cut, None),
            SparseWork::Prefill { parts, max_logits } => (parts, Cut::balanced(0), max_logits),
        };
        let is_split = kernel.name.contains("decode") && parts > 1;
        let cost = |token| {
            let length = |list: &Listed| list.length(token, self.tokens);
            let extra = self.extra.as_ref().map_or(0, length);
            u64::from(cut.cost(schedule::blocks(listed_tokens(length(&self.list), extra))))
        };
        let slots = Schedule::slots(cut, (0..self.tokens).map(cost).sum(), parts);
        let partial_rows = slots as usize * (tiles * config::TILE) as usize;
        let mut partial_out = vec![0u16; partial_rows * config::D_LATENT as usize];
        let mut partial_lse = vec![0f32; partial_rows];
        let mut arrivals = vec![0u32; (self.tokens * tiles) as usize];

        let mut memory = Memory::new();
        memory.read_only(self.q);
        let q = memory.tensor_map(queries(self.q, self.tokens, self.h_q, self.d_qk))?;
        let [h_q, d_v] = [self.h_q, config::D_LATENT].map(u64::from);
        let params = SparseParams {
            decode: DenseDecodeParams {
                out: memory.uninitialised(self.out),
                lse: memory.uninitialised(self.lse),
                partial_out: memory.uninitialised(&mut partial_out),
                partial_lse: memory.uninitialised(&mut partial_lse),
                arrivals: memory.read_write(&mut arrivals),
                out_stride_batch: h_q * d_v,
                out_stride_head: d_v,
                lse_stride_batch: h_q,
                lse_stride_head: 1,
                batch: self.tokens,
                parts,
                rows,
                scale_log2: self.softmax_scale * core::f32::consts::LOG2_E,
                cut,
                reach: Reach::ALL,
                ..DenseDecodeParams::default()
            },
            list: self.list.register(&mut memory, self.tokens),
            extra: self.extra.map_or_else(List::default, |e| e.register(&mut memory, self.tokens)),
            sink: self.sink.map_or(0, |sink| memory.read_only(sink)),
            max_logits: max_logits.map_or(0, |max_logits| memory.uninitialised(max_logits)),
            max_logits_stride_token: h_q,
            max_logits_stride_head: 1,
        };
        let launch = geometry(&kernel, [tiles, parts, 1]).cooperative(is_split);
        let start = || run(q, &params);
        let trace = configure(launch).shared_buffers(&dense_buffers()).run(&memory, start)?;
        drop(memory);
        match arrivals.iter().position(|&count| count != 0) {
            Some(index) => Err(Error::Counter { index, count: arrivals[index] }),
            None => Ok(trace),
        }
    }

    /// Its geometry and its entry point.
    fn kernel(&self) -> (Kernel, fn(u64, &SparseParams)) {
        if let (SparseWork::Decode { .. }, SparseCache::Fp8(format, _)) =
            (&self.work, self.list.cache)
        {
            return match format {
                // `check` has refused the third format.
                Fp8Format::Token656 | Fp8Format::Planar644 => {
                    (launch::SPARSE_FP8_656_DECODE_BF16, entry::sparse_fp8_656_decode_bf16)
                }
                Fp8Format::Paged584 => {
                    (launch::SPARSE_FP8_584_DECODE_BF16, entry::sparse_fp8_584_decode_bf16)
                }
            };
        }
        match (&self.work, self.d_qk) {
            (SparseWork::Decode { .. }, 512) => {
                (launch::SPARSE_DECODE_512_BF16, entry::sparse_decode_512_bf16)
            }
            (SparseWork::Decode { .. }, _) => {
                (launch::SPARSE_DECODE_576_BF16, entry::sparse_decode_576_bf16)
            }
            (SparseWork::Prefill { .. }, 512) => {
                (launch::SPARSE_PREFILL_512_BF16, entry::sparse_prefill_512_bf16)
            }
            (SparseWork::Prefill { .. }, _) => {
                (launch::SPARSE_PREFILL_576_BF16, entry::sparse_prefill_576_bf16)
            }
        }
    }

    fn check(&self) -> Result<(), Error> {
        let [tokens, h_q, d_qk] = [self.tokens, self.h_q, self.d_qk].map(|size| size as usize);
        let rows = tokens * h_q;
        let (parts, max_logits) = match &self.work {
            SparseWork::Decode { parts, .. } => (*parts, None),
            SparseWork::Prefill { parts, max_logits } => (*parts, max_logits.as_deref()),
        };
        let lengths = |list: &Listed| list.lengths.map_or(tokens, <[i32]>::len);
        let ragged = |list: &Listed| list.indices.len() % tokens.max(1);
        let extra = self.extra.as_ref();
        let is_fp8 = |list: &Listed| matches!(list.cache, SparseCache::Fp8(..));
        let fp8 =
            [Some(&self.list), extra].into_iter().flatten().filter(|list| is_fp8(list)).count();
        let is_planar =
            |list: &&Listed| matches!(list.cache, SparseCache::Fp8(Fp8Format::Planar644, _));
        let planar = [Some(&self.list), extra].into_iter().flatten().filter(is_planar).count();
        let caches = match self.work {
            SparseWork::Decode { .. } => 1 + usize::from(extra.is_some()),
            SparseWork::Prefill { .. } => 0,
        };
        let expectations = [
            ("tokens", tokens.max(1), tokens),
            ("h_q", h_q.max(1), h_q),
            ("d_qk", self.list.cache.d_qk(d_qk), d_qk),
            ("extra d_qk", extra.map_or(d_qk, |extra| extra.cache.d_qk(d_qk)), d_qk),
            ("FP8 caches", if is_fp8(&self.list) { caches } else { 0 }, fp8),
            ("caches of Planar644", 0, planar),
            ("parts", parts.max(1) as usize, parts as usize),
            ("q", rows * d_qk, self.q.len()),
            ("out", rows * config::D_LATENT as usize, self.out.len()),
            ("lse", rows, self.lse.len()),
            ("max_logits", rows, max_logits.map_or(rows, <[f32]>::len)),
            ("sink", h_q, self.sink.map_or(h_q, <[f32]>::len)),
            ("indices", 0, ragged(&self.list)),
            ("extra indices", 0, extra.map_or(0, ragged)),
            ("lengths", tokens, lengths(&self.list)),
            ("extra lengths", tokens, extra.map_or(tokens, lengths)),
        ];
        let wrong = expectations.into_iter().find(|(_, expected, actual)| expected != actual);
        wrong.map_or(Ok(()), |(name, expected, actual)| {
            Err(Error::Argument { name, expected, actual })
        })
    }
}

impl SparseCache<'_> {
    /// The dimensions of queries that it fits: `wanted`, if it can be.
    fn d_qk(&self, wanted: usize) -> usize {
        match self {
            Self::Elements(_) if wanted == 512 => 512,
            Self::Elements(_) | Self::Fp8(Fp8Format::Token656 | Fp8Format::Planar644, _) => 576,
            Self::Fp8(Fp8Format::Paged584, _) => 512,
        }
    }
}

impl<'a> Listed<'a> {
    fn topk(&self, tokens: u32) -> u32 {
        self.indices.len() as u32 / tokens
    }

    /// How many indices of a token count.
    fn length(&self, token: u32, tokens: u32) -> u32 {
        let topk = self.topk(tokens);
        self.lengths.map_or(topk, |lengths| lengths[token as usize].clamp(0, topk as i32) as u32)
    }

    /// Lets kernels read it.
    fn register(&self, memory: &mut Memory<'a>, tokens: u32) -> List {
        let topk = self.topk(tokens);
        let (rows, element) = match self.cache {
            SparseCache::Elements(elements) => (memory.read_only(elements), 2),
            SparseCache::Fp8(_, bytes) => (memory.read_only(bytes), 1),
        };
        List {
            rows,
            block_stride: element * self.strides[0] as u64,
            row_stride: element * self.strides[1] as u64,
            indices: memory.read_only(self.indices),
            lengths: self.lengths.map_or(0, |lengths| memory.read_only(lengths)),
            indices_stride: topk.into(),
            block_size: self.block_size.max(1),
            row_count: self.blocks * self.block_size,
            topk,
            reserved: 0,
        }
    }
}

/// The tensor map of `q`, as [`crate::decode::sparse::config`] describes it.
fn queries(q: &[u16], tokens: u32, h_q: u32, d_qk: u32) -> TensorMap {
    let [tokens, h_q, d_qk] = [tokens, h_q, d_qk].map(u64::from);
    TensorMap {
        address: q.as_ptr() as u64,
        element_bytes: 2,
        dimensions: vec![d_qk, h_q, 1, tokens],
        strides: vec![2 * d_qk, 2 * h_q * d_qk, 2 * h_q * d_qk],
        tile: vec![config::TILE, config::TILE, 1, 1],
        element_strides: vec![1; 4],
        swizzle: Swizzle::B128,
    }
}
