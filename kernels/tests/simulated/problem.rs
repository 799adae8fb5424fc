//! A decode step in host memory, what the kernels make of it in the SIMT machine, and what is right.

mod planar;

use std::ops::Range;

use half::{bf16, f16};
use oxmla_kernels::abi::{Cut, Reach};
use oxmla_kernels::cache::fp8::Fp8Format;
use oxmla_kernels::decode::Variant;
use oxmla_kernels::simulate::{CachedTokens, DenseDecode, ElementType, Error};
use oxmla_simt::{Launch, Timing, Trace};

const D_QK: usize = 576;
const D_V: usize = 512;

/// Shape of a decode step.
#[derive(Clone, Debug)]
pub struct Shape {
    pub lengths: Vec<i32>,
    pub s_q: usize,
    pub h_q: usize,
    pub h_k: usize,
    pub parts: u32,
    pub causal: bool,
}

/// Inputs. Everything that no request may read is NaN, and every block id without a meaning `i32::MAX`.
pub struct Problem {
    pub shape: Shape,
    pub element: ElementType,
    q: Tensor,
    /// `[blocks, block size, h_k, 576]`.
    cache: Tensor,
    /// The cache that `cache` was dequantised from.
    fp8: Option<(Fp8Format, Vec<u8>)>,
    table: Vec<i32>,
    block_size: usize,
    blocks_per_request: usize,
    pub scale: f32,
    pub softcap: Option<f32>,
    pub window: Option<u32>,
    pub cut: Cut,
    pub reach: Reach,
    pub variant: Variant,
}

/// What the numbers of an FP8 problem are multiplied by.
pub struct Magnitudes {
    /// Scales of a token, by its position and the group.
    pub scale: fn(usize, usize) -> f32,
    /// Rope parts.
    pub rope: f64,
    /// Rows of the queries, by `request · s_q · h_q + token · h_q + head`.
    pub q: fn(usize) -> f64,
}

impl Default for Magnitudes {
    fn default() -> Self {
        Self { scale: |_, _| 1.0, rope: 1.0, q: |_| 1.0 }
    }
}

/// 16-bit floats: bits and values.
#[derive(Clone)]
struct Tensor {
    bits: Vec<u16>,
    values: Vec<f64>,
}

impl Tensor {
    fn new(element: ElementType, numbers: &[f32]) -> Self {
        let bits: Vec<u16> = numbers.iter().map(|&x| round(element, x)).collect();
        let values = bits.iter().map(|&bits| value(element, bits)).collect();
        Self { bits, values }
    }
}

/// The bits of the nearest element.
fn round(element: ElementType, x: f32) -> u16 {
    match element {
        ElementType::Bf16 => bf16::from_f32(x).to_bits(),
        ElementType::F16 => f16::from_f32(x).to_bits(),
    }
}

fn value(element: ElementType, bits: u16) -> f64 {
    match element {
        ElementType::Bf16 => bf16::from_bits(bits).to_f64(),
        ElementType::F16 => f16::from_bits(bits).to_f64(),
    }
}

/// The value of an e4m3 code that is a number.
fn e4m3(code: u8) -> f32 {
    let (exponent, fraction) = (code >> 3 & 15, f32::from(code & 7));
    let magnitude = match exponent {
        0 => fraction * 2f32.powi(-9),
        _ => (8.0 + fraction) * 2f32.powi(i32::from(exponent) - 10),
    };
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

/// `out [batch, s_q, h_q, 512]`, `lse [batch, h_q, s_q]`.
pub struct Outcome {
    pub out: Vec<f64>,
    pub lse: Vec<f64>,
    /// Sum of the magnitudes of what each output is the sum of; only from the oracle.
    pub magnitude: Vec<f64>,
    /// The largest magnitude of a score that the tangent has been taken of; only from the oracle.
    pub largest_capped: f64,
}

impl Problem {
    pub fn new(shape: Shape, element: ElementType, seed: u64) -> Self {
        Self::paged(64, shape, element, seed)
    }

    /// A problem over blocks of `block_size` tokens. The numbers do not depend on it.
    pub fn paged(block_size: usize, shape: Shape, element: ElementType, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let batch = shape.lengths.len();
        let longest = shape.lengths.iter().copied().max().unwrap_or(0).max(1) as usize;
        let blocks_per_request = longest.div_ceil(block_size);
        let blocks = batch * blocks_per_request + 1;
        let mut ids: Vec<i32> = (0..blocks as i32).collect();
        fastrand::Rng::with_seed(!seed).shuffle(&mut ids);
        let mut normal = || (0..4).map(|_| rng.f32() - 0.5).sum::<f32>();
        let q: Vec<f32> = (0..batch * shape.s_q * shape.h_q * D_QK).map(|_| normal()).collect();
        let row = shape.h_k * D_QK;
        let mut cache = vec![f32::NAN; blocks * block_size * row];
        let mut table = vec![i32::MAX; batch * blocks_per_request];
        for (request, &length) in shape.lengths.iter().enumerate() {
            for token in 0..length.max(0) as usize {
                let entry = request * blocks_per_request + token / block_size;
                table[entry] = ids[entry];
                let at = (ids[entry] as usize * block_size + token % block_size) * row;
                cache[at..at + row].fill_with(&mut normal);
            }
        }
        let (q, cache) = (Tensor::new(element, &q), Tensor::new(element, &cache));
        let scale = (D_QK as f32).powf(-0.5);
        Self {
            shape,
            element,
            q,
            cache,
            fp8: None,
            table,
            block_size,
            blocks_per_request,
            scale,
            softcap: None,
            window: None,
            cut: Cut::balanced(5),
            reach: Reach::ALL,
            variant: Variant::Dense,
        }
    }

    /// The same behind a window: what that hides from all query tokens may not be read, either.
    pub fn within(mut self, window: u32) -> Self {
        let (row, block_size) = (self.shape.h_k * D_QK, self.block_size);
        for (request, &length) in self.shape.lengths.iter().enumerate() {
            let hidden = (length as usize).saturating_sub(window as usize + self.shape.s_q - 1);
            let first = request * self.blocks_per_request;
            for position in 0..hidden {
                let at = self.row(request, position) * row;
                self.cache.bits[at..at + row].fill(0x7fff);
                self.cache.values[at..at + row].fill(f64::NAN);
                if let Some((format, bytes)) = &mut self.fp8 {
                    for part in parts(*format, block_size, at / D_QK) {
                        bytes[part].fill(0xff);
                    }
                }
            }
            self.table[first..first + hidden / block_size].fill(i32::MAX);
        }
        self.window = Some(window);
        self.reach = Reach::behind(window, self.shape.s_q as u32);
        self
    }

    /// A problem over an FP8 cache. Codes and scales that no request may read are NaN. What is right is what codes and
    /// scales stand for, without any rounding.
    pub fn fp8(shape: Shape, element: ElementType, seed: u64) -> Self {
        Self::fp8_of(shape, element, seed, &Magnitudes::default())
    }

    /// The same over blocks of `block_size` tokens.
    pub fn paged_fp8(block_size: usize, shape: Shape, element: ElementType, seed: u64) -> Self {
        Self::paged_fp8_of(block_size, shape, element, seed, &Magnitudes::default())
    }

    /// The same of other magnitudes.
    pub fn fp8_of(shape: Shape, element: ElementType, seed: u64, magnitudes: &Magnitudes) -> Self {
        Self::paged_fp8_of(64, shape, element, seed, magnitudes)
    }

    fn paged_fp8_of(
        block_size: usize,
        shape: Shape,
        element: ElementType,
        seed: u64,
        magnitudes: &Magnitudes,
    ) -> Self {
        assert_eq!(shape.h_k, 1, "the format has one KV head");
        let mut problem = Self::paged(block_size, shape, element, seed);
        let rows = problem.q.values.chunks(D_QK).enumerate();
        let q = rows.flat_map(|(row, q)| q.iter().map(move |x| (x * (magnitudes.q)(row)) as f32));
        problem.q = Tensor::new(element, &q.collect::<Vec<f32>>());
        let mut rng = fastrand::Rng::with_seed(!seed);
        let token_bytes = Fp8Format::Token656.bytes_per_token() as usize;
        let mut codes = vec![0xff; problem.cache.bits.len() / D_QK * token_bytes];
        for (request, &length) in problem.shape.lengths.iter().enumerate() {
            for position in 0..length.max(0) as usize {
                let row = problem.row(request, position);
                let token = &mut codes[row * token_bytes..][..token_bytes];
                let bits = &mut problem.cache.bits[row * D_QK..][..D_QK];
                let values = &mut problem.cache.values[row * D_QK..][..D_QK];
                let scales = [0, 1, 2, 3]
                    .map(|group| (0.5 + rng.f32()) / 448.0 * (magnitudes.scale)(position, group));
                for (d, code) in token[..D_V].iter_mut().enumerate() {
                    *code = rng.u8(0..0x7f) | u8::from(rng.bool()) << 7;
                    values[d] = f64::from(e4m3(*code)) * f64::from(scales[d / 128]);
                    bits[d] = round(element, e4m3(*code) * scales[d / 128]);
                }
                token[D_V..][..16].copy_from_slice(bytemuck::cast_slice(&scales));
                for (i, pair) in token[D_V + 16..].chunks_mut(2).enumerate() {
                    let rope = bf16::from_f64(values[D_V + i] * magnitudes.rope);
                    pair.copy_from_slice(&rope.to_le_bytes());
                    values[D_V + i] = rope.to_f64();
                    bits[D_V + i] = round(element, rope.to_f32());
                }
            }
        }
        problem.fp8 = Some((Fp8Format::Token656, codes));
        problem
    }

    /// The same over the 16-bit elements that the codes of an FP8 cache stand for.
    pub fn dequantised(&self) -> Self {
        let (shape, table) = (self.shape.clone(), self.table.clone());
        let (q, cache) = (self.q.clone(), self.cache.clone());
        Self { shape, q, cache, fp8: None, table, ..*self }
    }

    /// Whether the cache is in FP8.
    pub fn is_fp8(&self) -> bool {
        self.fp8.is_some()
    }

    /// Runs the kernel.
    pub fn run(&self, seed: u64, timing: Timing) -> Result<Outcome, Error> {
        self.run_as(|launch| launch.seed(seed).timing(timing)).map(|(outcome, _)| outcome)
    }

    /// Runs the kernel, its launch changed by `configure`.
    pub fn run_as(&self, configure: impl Fn(Launch) -> Launch) -> Result<(Outcome, Trace), Error> {
        let Shape { lengths, s_q, h_q, h_k, parts, causal } = &self.shape;
        let (s_q, h_q, batch) = (*s_q, *h_q, lengths.len());
        let mut out = vec![0x7fff; batch * s_q * h_q * D_V];
        let mut lse = vec![f32::NAN; batch * h_q * s_q];
        let step = DenseDecode {
            element: self.element,
            s_q: s_q as u32,
            h_q: h_q as u32,
            h_k: *h_k as u32,
            lengths,
            block_size: self.block_size as u32,
            block_table: &self.table,
            q: &self.q.bits,
            kv_cache: match &self.fp8 {
                Some((Fp8Format::Planar644, bytes)) => CachedTokens::Planar644(bytes),
                Some((_, bytes)) => CachedTokens::Token656(bytes),
                None => CachedTokens::Elements(&self.cache.bits),
            },
            out: &mut out,
            lse: &mut lse,
            softmax_scale: self.scale,
            softcap: self.softcap,
            causal: *causal,
            parts: *parts,
            cut: self.cut,
            reach: self.reach,
            variant: self.variant,
        };
        let trace = step.run(configure)?;
        let outcome = Outcome {
            out: out.iter().map(|&bits| value(self.element, bits)).collect(),
            lse: lse.iter().map(|&x| x.into()).collect(),
            magnitude: Vec::new(),
            largest_capped: 0.0,
        };
        Ok((outcome, trace))
    }

    /// The same in f64.
    pub fn oracle(&self) -> Outcome {
        let Shape { lengths, s_q, h_q, h_k, causal, .. } = &self.shape;
        let (s_q, h_q, h_k) = (*s_q, *h_q, *h_k);
        let lse = vec![0.0; lengths.len() * h_q * s_q];
        let mut outcome =
            Outcome { out: Vec::new(), lse, magnitude: Vec::new(), largest_capped: 0.0 };
        for (request, &length) in lengths.iter().enumerate() {
            for token in 0..s_q {
                let hidden = if *causal { s_q - 1 - token } else { 0 };
                let end = (length.max(0) as usize).saturating_sub(hidden);
                // Query token `token` is the cached token at `own`; it is the window's last.
                let own = i64::from(length) - (s_q - token) as i64;
                let first = self.window.map_or(0, |window| (own + 1 - i64::from(window)).max(0));
                for head in 0..h_q {
                    let q = ((request * s_q + token) * h_q + head) * D_QK;
                    let kv: Vec<&[f64]> = (first as usize..end)
                        .map(|position| self.cached(request, position, head / (h_q / h_k)))
                        .collect();
                    let scores = self.scores(&self.q.values[q..q + D_QK], &kv);
                    if self.softcap.is_some() {
                        let largest = scores.iter().map(|score| score.abs());
                        outcome.largest_capped = largest.fold(outcome.largest_capped, f64::max);
                    }
                    let probabilities = softmax(&scores);
                    outcome.out.extend(weigh(&probabilities.0, &kv, |v| v));
                    outcome.magnitude.extend(weigh(&probabilities.0, &kv, f64::abs));
                    outcome.lse[(request * h_q + head) * s_q + token] = probabilities.1;
                }
            }
        }
        outcome
    }

    /// Scaled scores of a row, capped if they are to be.
    fn scores(&self, q: &[f64], kv: &[&[f64]]) -> Vec<f64> {
        let dot = |k: &[f64]| -> f64 { q.iter().zip(k).map(|(a, b)| a * b).sum() };
        let scaled = kv.iter().map(|k| dot(k) * f64::from(self.scale));
        match self.softcap.map(f64::from) {
            Some(cap) => scaled.map(|score| cap * (score / cap).tanh()).collect(),
            None => scaled.collect(),
        }
    }

    fn cached(&self, request: usize, position: usize, kv_head: usize) -> &[f64] {
        let at = (self.row(request, position) * self.shape.h_k + kv_head) * D_QK;
        &self.cache.values[at..at + D_QK]
    }

    /// Which token of the cache a token of a request is.
    fn row(&self, request: usize, position: usize) -> usize {
        let entry = request * self.blocks_per_request + position / self.block_size;
        self.table[entry] as usize * self.block_size + position % self.block_size
    }
}

/// Where codes, rope part and scales of row `row` of a cache lie.
fn parts(format: Fp8Format, block_size: usize, row: usize) -> [Range<usize>; 3] {
    let (layout, tokens) = (format.layout(), block_size as u64);
    let block = row / block_size * format.bytes_per_block(block_size as u32) as usize;
    let part = |first: u64, stride: u32, bytes: u32| {
        let first = block + first as usize + row % block_size * stride as usize;
        first..first + bytes as usize
    };
    [
        part(0, layout.token_stride, layout.latent),
        part(layout.rope(tokens), layout.rope_stride, 128),
        part(layout.scales(tokens), layout.scale_stride, 4 * layout.latent / layout.tile),
    ]
}

/// Probabilities of a row, and its LSE.
fn softmax(scores: &[f64]) -> (Vec<f64>, f64) {
    if scores.is_empty() {
        return (Vec::new(), f64::NEG_INFINITY);
    }
    let maximum = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let lse = maximum + scores.iter().map(|s| (s - maximum).exp()).sum::<f64>().ln();
    (scores.iter().map(|s| (s - lse).exp()).collect(), lse)
}

fn weigh(probabilities: &[f64], kv: &[&[f64]], of: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut out = vec![0.0; D_V];
    for (p, v) in probabilities.iter().zip(kv) {
        for (o, v) in out.iter_mut().zip(*v) {
            *o += p * of(*v);
        }
    }
    out
}
