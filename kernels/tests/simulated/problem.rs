//! A decode step in host memory, what the kernels make of it in the SIMT machine, and what is right.

use half::{bf16, f16};
use oxmla_kernels::abi::Cut;
use oxmla_kernels::decode::Variant;
use oxmla_kernels::simulate::{DenseDecode, ElementType, Error};
use oxmla_simt::{Launch, Timing, Trace};

const D_QK: usize = 576;
const D_V: usize = 512;
const BLOCK: usize = 64;

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
    /// `[blocks, 64, h_k, 576]`.
    cache: Tensor,
    table: Vec<i32>,
    blocks_per_request: usize,
    pub scale: f32,
    pub softcap: Option<f32>,
    pub window: Option<u32>,
    pub cut: Cut,
    pub variant: Variant,
}

/// 16-bit floats: bits and values.
struct Tensor {
    bits: Vec<u16>,
    values: Vec<f64>,
}

impl Tensor {
    fn new(element: ElementType, numbers: &[f32]) -> Self {
        let round = |x: &f32| match element {
            ElementType::Bf16 => bf16::from_f32(*x).to_bits(),
            ElementType::F16 => f16::from_f32(*x).to_bits(),
        };
        let bits: Vec<u16> = numbers.iter().map(round).collect();
        let values = bits.iter().map(|&bits| value(element, bits)).collect();
        Self { bits, values }
    }
}

fn value(element: ElementType, bits: u16) -> f64 {
    match element {
        ElementType::Bf16 => bf16::from_bits(bits).to_f64(),
        ElementType::F16 => f16::from_bits(bits).to_f64(),
    }
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
        let mut rng = fastrand::Rng::with_seed(seed);
        let batch = shape.lengths.len();
        let longest = shape.lengths.iter().copied().max().unwrap_or(0).max(1) as usize;
        let blocks_per_request = longest.div_ceil(BLOCK);
        let blocks = batch * blocks_per_request + 1;
        let mut ids: Vec<i32> = (0..blocks as i32).collect();
        rng.shuffle(&mut ids);
        let mut normal = || (0..4).map(|_| rng.f32() - 0.5).sum::<f32>();
        let q: Vec<f32> = (0..batch * shape.s_q * shape.h_q * D_QK).map(|_| normal()).collect();
        let row = shape.h_k * D_QK;
        let mut cache = vec![f32::NAN; blocks * BLOCK * row];
        let mut table = vec![i32::MAX; batch * blocks_per_request];
        for (request, &length) in shape.lengths.iter().enumerate() {
            for token in 0..length.max(0) as usize {
                let entry = request * blocks_per_request + token / BLOCK;
                table[entry] = ids[entry];
                let at = (ids[entry] as usize * BLOCK + token % BLOCK) * row;
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
            table,
            blocks_per_request,
            scale,
            softcap: None,
            window: None,
            cut: Cut::balanced(5),
            variant: Variant::Dense,
        }
    }

    /// The same behind a window: what that hides from all query tokens may not be read, either.
    pub fn within(mut self, window: u32) -> Self {
        let row = self.shape.h_k * D_QK;
        for (request, &length) in self.shape.lengths.iter().enumerate() {
            let hidden = (length as usize).saturating_sub(window as usize + self.shape.s_q - 1);
            let first = request * self.blocks_per_request;
            for position in 0..hidden {
                let id = self.table[first + position / BLOCK] as usize;
                let at = (id * BLOCK + position % BLOCK) * row;
                self.cache.bits[at..at + row].fill(0x7fff);
                self.cache.values[at..at + row].fill(f64::NAN);
            }
            self.table[first..first + hidden / BLOCK].fill(i32::MAX);
        }
        self.window = Some(window);
        self
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
            block_table: &self.table,
            q: &self.q.bits,
            kv_cache: &self.cache.bits,
            out: &mut out,
            lse: &mut lse,
            softmax_scale: self.scale,
            softcap: self.softcap,
            causal: *causal,
            parts: *parts,
            cut: self.window.map_or(self.cut, |window| self.cut.within(window, s_q as u32)),
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
        let id = self.table[request * self.blocks_per_request + position / BLOCK] as usize;
        let at = ((id * BLOCK + position % BLOCK) * self.shape.h_k + kv_head) * D_QK;
        &self.cache.values[at..at + D_QK]
    }
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
