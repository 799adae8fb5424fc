//! A decode step over host memory.

use core::{fmt, iter};
use std::boxed::Box;
use std::ops::Range;
use std::vec;
use std::vec::Vec;

use oxmla_simt::{InvalidTensorMap, Launch, Memory, Report, Swizzle, TensorMap, Trace};

use super::cached::CachedTokens;
use super::entry;
use crate::abi::{Cut, DenseDecodeParams, Paging, Reach, Rows};
use crate::decode::Variant;
use crate::decode::dense::config;
use crate::decode::fp8_math::config as fp8_math;
use crate::decode::pair::config as pair;
use crate::decode::schedule::Schedule;
use crate::launch::{self, Kernel};
use crate::tile::swizzle::TILE_BYTES;

/// Element type of queries, cache and output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
}

/// One decode step over contiguous tensors in host memory. 16-bit floats are given
/// as their bits.
pub struct DenseDecode<'a> {
    /// Element type of `q`, `out`, and `kv_cache` if that is of elements.
    pub element: ElementType,
    /// Query tokens per request.
    pub s_q: u32,
    /// Query heads.
    pub h_q: u32,
    /// KV heads; divides `h_q`.
    pub h_k: u32,
    /// `[batch]`: cached tokens.
    pub lengths: &'a [i32],
    /// Tokens of a block: 16, 32, 64 or 128.
    pub block_size: u32,
    /// `[batch, blocks per request]`: block ids.
    pub block_table: &'a [i32],
    /// `[batch, s_q, h_q, 576]`, 16-byte aligned.
    pub q: &'a [u16],
    /// The cache, 16-byte aligned.
    pub kv_cache: CachedTokens<'a>,
    /// `[batch, s_q, h_q, 512]`, 16-byte aligned.
    pub out: &'a mut [u16],
    /// `[batch, h_q, s_q]`.
    pub lse: &'a mut [f32],
    /// Factor of the scores.
    pub softmax_scale: f32,
    /// What they cannot exceed, if they are capped.
    pub softcap: Option<f32>,
    /// Whether query token `i` sees only the first `length − (s_q − 1 − i)` tokens.
    pub causal: bool,
    /// CTAs that share the tokens of a tile.
    pub parts: u32,
    /// How they are divided among them.
    pub cut: Cut,
    /// What query tokens see of them.
    pub reach: Reach,
    /// Which kernel, of those for 16-bit elements; it accepts the rows.
    pub variant: Variant,
}

/// An entry point over a cache of elements.
type ElementsEntry = fn(u64, u64, &DenseDecodeParams);
/// An entry point over a cache of FP8 codes.
type Fp8Entry = fn(u64, [u64; 3], &DenseDecodeParams);

/// An entry point, which takes tensor maps of queries and cache, and parameters.
#[derive(Clone, Copy)]
enum EntryPoint {
    Elements(ElementsEntry),
    Fp8(Fp8Entry),
}

/// Why a step did not run to its end.
#[derive(Debug)]
pub enum Error {
    /// An argument does not fit the others.
    Argument {
        /// Name of the field.
        name: &'static str,
        /// Elements or value that it should have.
        expected: usize,
        /// What it has.
        actual: usize,
    },
    /// A tensor cannot be described to TMA: its address is not 16-byte aligned, or it is empty.
    Tensor(InvalidTensorMap),
    /// A kernel broke a rule.
    Kernel(Box<Report>),
    /// The kernel left a counter of arrivals that the next launch would not find clear.
    Counter {
        /// Its index, `[batch, tiles]`.
        index: usize,
        /// What it counts.
        count: u32,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument { name, expected, actual } => {
                write!(f, "{name}: expected {expected}, got {actual}")
            }
            Self::Tensor(error) => error.fmt(f),
            Self::Kernel(report) => report.fmt(f),
            Self::Counter { index, count } => {
                write!(f, "counter {index} of arrivals is left at {count}, not 0")
            }
        }
    }
}

impl core::error::Error for Error {}

impl From<InvalidTensorMap> for Error {
    fn from(error: InvalidTensorMap) -> Self {
        Self::Tensor(error)
    }
}

impl From<Box<Report>> for Error {
    fn from(report: Box<Report>) -> Self {
        Self::Kernel(report)
    }
}

impl DenseDecode<'_> {
    /// Runs the kernel, its launch changed by `configure` (seed, timing, trace).
    ///
    /// # Errors
    /// [`Error`].
    pub fn run(self, configure: impl Fn(Launch) -> Launch) -> Result<Trace, Error> {
        self.check()?;
        let rows = Rows::pack(self.s_q, self.h_q, self.h_k);
        let (tiles, batch) = (rows.tiles(), self.lengths.len() as u32);
        let [s_q, h_q, d_v] = [self.s_q, self.h_q, config::D_LATENT].map(u64::from);
        let cost = |&length| u64::from(self.cut.cost(self.reach.visible(length).len() as u32));
        let slots = Schedule::slots(self.cut, self.lengths.iter().map(cost).sum(), self.parts);
        let partial_rows = slots as usize * (tiles * config::TILE) as usize;
        let mut partial_out = vec![0f32; partial_rows * config::D_LATENT as usize];
        let mut partial_lse = vec![0f32; partial_rows];
        let mut arrivals = vec![0u32; (batch * tiles) as usize];
        let (kernel, run, buffers) = self.kernel();

        let mut memory = Memory::new();
        memory.read_only(self.q);
        self.kv_cache.register(&mut memory);
        let q = memory.tensor_map(self.queries(&rows, batch))?;
        let maps = self.kv_cache.maps(self.block_size, self.h_k).into_iter();
        let kv = maps.map(|map| memory.tensor_map(map)).collect::<Result<Vec<u64>, _>>()?;
        let params = DenseDecodeParams {
            lengths: memory.read_only(self.lengths),
            block_table: memory.read_only(self.block_table),
            out: memory.uninitialised(self.out),
            lse: memory.uninitialised(self.lse),
            partial_out: memory.uninitialised(&mut partial_out),
            partial_lse: memory.uninitialised(&mut partial_lse),
            arrivals: memory.read_write(&mut arrivals),
            out_stride_batch: s_q * h_q * d_v,
            out_stride_token: h_q * d_v,
            out_stride_head: d_v,
            lse_stride_batch: h_q * s_q,
            lse_stride_head: s_q,
            table_stride: self.block_table.len() as u32 / batch.max(1),
            batch,
            parts: self.parts,
            rows,
            causal: self.causal.into(),
            scale_log2: self.softcap.unwrap_or(self.softmax_scale) * core::f32::consts::LOG2_E,
            cut: self.cut,
            reach: self.reach,
            softcap: self.softcap.map_or(0.0, |cap| self.softmax_scale / cap),
            paging: Paging::new(self.block_size.ilog2()),
        };
        let launch = geometry(&kernel, [tiles, self.parts, 1]).cooperative(self.parts > 1);
        let start = || match run {
            EntryPoint::Elements(run) => run(q, kv[0], &params),
            EntryPoint::Fp8(run) => run(q, [kv[0], kv[1], kv[2]], &params),
        };
        let trace = configure(launch).shared_buffers(&buffers).run(&memory, start)?;
        drop(memory);
        match arrivals.iter().position(|&count| count != 0) {
            Some(index) => Err(Error::Counter { index, count: arrivals[index] }),
            None => Ok(trace),
        }
    }

    /// Its geometry, its entry point, and what no operand of its multiplies may leave.
    fn kernel(&self) -> (Kernel, EntryPoint, Vec<Range<u32>>) {
        if let CachedTokens::Planar644(_) = self.kv_cache {
            let (kernel, run): (Kernel, Fp8Entry) = match (self.element, self.is_limited()) {
                (ElementType::Bf16, false) => {
                    (launch::FP8_MATH_DECODE_BF16, entry::fp8_math_decode_bf16)
                }
                (ElementType::F16, false) => {
                    (launch::FP8_MATH_DECODE_F16, entry::fp8_math_decode_f16)
                }
                (ElementType::Bf16, true) => {
                    (launch::FP8_MATH_DECODE_LIMITED_BF16, entry::fp8_math_decode_limited_bf16)
                }
                (ElementType::F16, true) => {
                    (launch::FP8_MATH_DECODE_LIMITED_F16, entry::fp8_math_decode_limited_f16)
                }
            };
            return (kernel, EntryPoint::Fp8(run), fp8_math_buffers());
        }
        if let CachedTokens::Token656(_) = self.kv_cache {
            let (kernel, run): (Kernel, Fp8Entry) = match (self.element, self.is_limited()) {
                (ElementType::Bf16, false) => {
                    (launch::DENSE_FP8_DECODE_BF16, entry::dense_fp8_decode_bf16)
                }
                (ElementType::F16, false) => {
                    (launch::DENSE_FP8_DECODE_F16, entry::dense_fp8_decode_f16)
                }
                (ElementType::Bf16, true) => {
                    (launch::DENSE_FP8_DECODE_LIMITED_BF16, entry::dense_fp8_decode_limited_bf16)
                }
                (ElementType::F16, true) => {
                    (launch::DENSE_FP8_DECODE_LIMITED_F16, entry::dense_fp8_decode_limited_f16)
                }
            };
            return (kernel, EntryPoint::Fp8(run), dense_buffers());
        }
        let (kernel, run): (Kernel, ElementsEntry) =
            match (self.variant, self.element, self.is_limited()) {
                (Variant::Dense, ElementType::Bf16, false) => {
                    (launch::DENSE_DECODE_BF16, entry::dense_decode_bf16)
                }
                (Variant::Dense, ElementType::F16, false) => {
                    (launch::DENSE_DECODE_F16, entry::dense_decode_f16)
                }
                (Variant::Pair, ElementType::Bf16, false) => {
                    (launch::PAIR_DECODE_BF16, entry::pair_decode_bf16)
                }
                (Variant::Pair, ElementType::F16, false) => {
                    (launch::PAIR_DECODE_F16, entry::pair_decode_f16)
                }
                (Variant::Dense, ElementType::Bf16, true) => {
                    (launch::DENSE_DECODE_LIMITED_BF16, entry::dense_decode_limited_bf16)
                }
                (Variant::Dense, ElementType::F16, true) => {
                    (launch::DENSE_DECODE_LIMITED_F16, entry::dense_decode_limited_f16)
                }
                (Variant::Pair, ElementType::Bf16, true) => {
                    (launch::PAIR_DECODE_LIMITED_BF16, entry::pair_decode_limited_bf16)
                }
                (Variant::Pair, ElementType::F16, true) => {
                    (launch::PAIR_DECODE_LIMITED_F16, entry::pair_decode_limited_f16)
                }
            };
        let buffers = match self.variant {
            Variant::Dense => dense_buffers(),
            Variant::Pair => pair_buffers(),
        };
        (kernel, EntryPoint::Elements(run), buffers)
    }

    /// As [`DenseDecodeParams::is_limited`].
    const fn is_limited(&self) -> bool {
        self.reach.0 != Reach::ALL.0 || self.softcap.is_some()
    }

    fn check(&self) -> Result<(), Error> {
        let (s_q, h_q, h_k) = (self.s_q as usize, self.h_q as usize, self.h_k as usize);
        let (batch, d_qk) = (self.lengths.len(), config::D_QK as usize);
        let rows = batch * s_q * h_q;
        let block = self.kv_cache.block_len(self.block_size, self.h_k);
        let fp8 = !matches!(self.kv_cache, CachedTokens::Elements(_));
        let whole = |n: usize, of: usize| n.checked_rem(of).map_or(0, |rest| n - rest);
        let expectations = [
            ("s_q", s_q.max(1), s_q),
            ("block_size", 1, usize::from([16, 32, 64, 128].contains(&self.block_size))),
            ("h_k", if fp8 { 1 } else { h_k.max(1) }, h_k),
            ("h_q", whole(h_q, h_k).max(h_k), h_q),
            ("parts", self.parts.max(1) as usize, self.parts as usize),
            (
                "variant",
                1,
                usize::from(self.variant.accepts(&Rows::pack(self.s_q, self.h_q, self.h_k.max(1)))),
            ),
            ("lengths", batch.max(1), batch),
            ("q", rows * d_qk, self.q.len()),
            ("out", rows * config::D_LATENT as usize, self.out.len()),
            ("lse", rows, self.lse.len()),
            ("block_table", whole(self.block_table.len(), batch), self.block_table.len()),
            ("kv_cache", whole(self.kv_cache.len(), block).max(block), self.kv_cache.len()),
        ];
        let wrong = expectations.into_iter().find(|(_, expected, actual)| expected != actual);
        wrong.map_or(Ok(()), |(name, expected, actual)| {
            Err(Error::Argument { name, expected, actual })
        })
    }

    /// The tensor map of `q`, as [`config`] describes it.
    fn queries(&self, rows: &Rows, batch: u32) -> TensorMap {
        let [d_qk, s_q, h_q] = [config::D_QK, self.s_q, self.h_q].map(u64::from);
        let [packed, groups, batch] = [rows.rows, rows.groups, batch].map(u64::from);
        let strides = [d_qk, packed * d_qk, s_q * h_q * d_qk];
        TensorMap {
            address: self.q.as_ptr() as u64,
            element_bytes: 2,
            dimensions: vec![d_qk, packed, groups, batch],
            strides: strides.iter().map(|stride| 2 * stride).collect(),
            tile: vec![config::TILE, config::TILE, 1, 1],
            element_strides: vec![1; 4],
            swizzle: Swizzle::B128,
        }
    }
}

pub(super) fn geometry(kernel: &Kernel, grid: [u32; 3]) -> Launch {
    // Without optimisation a fragment is copied from frame to frame.
    let stack_bytes = if cfg!(debug_assertions) { 512 * 1024 } else { 256 * 1024 };
    Launch::new(kernel.name, grid, kernel.threads)
        .cluster([kernel.cluster, 1, 1])
        .shared_bytes(kernel.shared_bytes)
        .stack_bytes(stack_bytes)
}

/// Q, each stage of K, P.
pub(super) fn dense_buffers() -> Vec<Range<u32>> {
    let stages = (0..config::STAGES).map(|i| config::K + i * config::BLOCK_BYTES);
    let blocks = iter::once(config::Q).chain(stages).map(|at| at..at + config::BLOCK_BYTES);
    blocks.chain(iter::once(config::P..config::P + TILE_BYTES)).collect()
}

/// Q; codes and rope tile of each stage of K, and the halves of its V.
fn fp8_math_buffers() -> Vec<Range<u32>> {
    let stages = (0..config::STAGES).map(|i| config::K + i * config::BLOCK_BYTES);
    let stages = stages.flat_map(|at| {
        let v = at + fp8_math::V_TILE * TILE_BYTES;
        let end = v + 2 * fp8_math::V_HALF_BYTES;
        [at..v, v..v + fp8_math::V_HALF_BYTES, v + fp8_math::V_HALF_BYTES..end]
    });
    iter::once(config::Q..config::Q + config::BLOCK_BYTES).chain(stages).collect()
}

/// Each tile of Q and of what only scores need, each stage of V.
fn pair_buffers() -> Vec<Range<u32>> {
    let tiles = (pair::Q..pair::V).step_by(TILE_BYTES as usize).map(|at| at..at + TILE_BYTES);
    let stages = (0..pair::STAGES).map(|i| pair::V + i * pair::HALF_BYTES);
    tiles.chain(stages.map(|at| at..at + pair::HALF_BYTES)).collect()
}
