//! A decode step in host memory, what the kernels make of it in the SIMT machine, and what is right.

use half::bf16;
use oxmla_kernels::abi::{DenseDecodeParams, Rows};
use oxmla_kernels::decode::dense::config;
use oxmla_kernels::tile::swizzle::TILE_BYTES;
use oxmla_kernels::{launch, simulate};
use oxmla_simt::{Launch, Memory, Report, Swizzle, TensorMap, Timing, Trace};

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

/// Inputs. Everything that no request may read is NaN.
pub struct Problem {
    pub shape: Shape,
    q: Vec<bf16>,
    /// `[blocks, 64, h_k, 576]`.
    cache: Vec<bf16>,
    table: Vec<i32>,
    blocks_per_request: usize,
    scale: f32,
}

/// `out [batch, s_q, h_q, 512]`, `lse [batch, h_q, s_q]`.
pub struct Outcome {
    pub out: Vec<f64>,
    pub lse: Vec<f64>,
    /// Sum of the magnitudes of what each output is the sum of; only from the oracle.
    pub magnitude: Vec<f64>,
}

impl Problem {
    pub fn new(shape: Shape, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let batch = shape.lengths.len();
        let longest = shape.lengths.iter().copied().max().unwrap_or(0).max(1) as usize;
        let blocks_per_request = longest.div_ceil(BLOCK);
        let blocks = batch * blocks_per_request + 1;
        let mut ids: Vec<i32> = (0..blocks as i32).collect();
        rng.shuffle(&mut ids);
        let mut normal = || (0..4).map(|_| rng.f32() - 0.5).sum::<f32>();
        let q =
            (0..batch * shape.s_q * shape.h_q * D_QK).map(|_| bf16::from_f32(normal())).collect();
        let row = shape.h_k * D_QK;
        let mut cache = vec![bf16::NAN; blocks * BLOCK * row];
        let mut table = vec![i32::MAX; batch * blocks_per_request];
        for (request, &length) in shape.lengths.iter().enumerate() {
            for token in 0..length.max(0) as usize {
                let entry = request * blocks_per_request + token / BLOCK;
                table[entry] = ids[entry];
                let at = (ids[entry] as usize * BLOCK + token % BLOCK) * row;
                cache[at..at + row].fill_with(|| bf16::from_f32(normal()));
            }
        }
        Self { shape, q, cache, table, blocks_per_request, scale: (D_QK as f32).powf(-0.5) }
    }

    /// Runs both kernels.
    pub fn run(&self, seed: u64, timing: Timing) -> Result<Outcome, Box<Report>> {
        self.run_as(|launch| launch.seed(seed).timing(timing)).map(|(outcome, _)| outcome)
    }

    /// Runs both kernels, each launch changed by `configure`. The trace is that of the decode kernel.
    pub fn run_as(
        &self,
        configure: impl Fn(Launch) -> Launch,
    ) -> Result<(Outcome, Trace), Box<Report>> {
        let Shape { lengths, s_q, h_q, h_k, parts, causal } = &self.shape;
        let (s_q, h_q, h_k, batch) = (*s_q, *h_q, *h_k, lengths.len());
        let rows = Rows::pack(s_q as u32, h_q as u32, h_k as u32);
        let tiles = rows.tiles();
        let mut out = vec![bf16::NAN; batch * s_q * h_q * D_V];
        let mut lse = vec![f32::NAN; batch * h_q * s_q];
        let partial_rows = (2 * parts * tiles * 64) as usize;
        let mut partial_out = vec![0f32; partial_rows * D_V];
        let mut partial_lse = vec![0f32; partial_rows];

        let mut memory = Memory::new();
        let q = memory.read_only(&self.q);
        let cache = memory.read_only(&self.cache);
        let params = DenseDecodeParams {
            lengths: memory.read_only(lengths),
            block_table: memory.read_only(&self.table),
            out: memory.uninitialised(&mut out),
            lse: memory.uninitialised(&mut lse),
            partial_out: memory.uninitialised(&mut partial_out),
            partial_lse: memory.uninitialised(&mut partial_lse),
            out_stride_batch: (s_q * h_q * D_V) as u64,
            out_stride_token: (h_q * D_V) as u64,
            out_stride_head: D_V as u64,
            lse_stride_batch: (h_q * s_q) as u64,
            lse_stride_head: s_q as u64,
            table_stride: self.blocks_per_request as u32,
            batch: batch as u32,
            parts: *parts,
            rows,
            causal: u32::from(*causal),
            scale_log2: self.scale * std::f32::consts::LOG2_E,
            reserved: 0,
        };
        let map = |address, rows: [usize; 3], strides: [usize; 3]| TensorMap {
            address,
            element_bytes: 2,
            dimensions: [D_QK].iter().chain(&rows).map(|&d| d as u64).collect(),
            strides: strides.iter().map(|&s| 2 * s as u64).collect(),
            tile: vec![64, 64, 1, 1],
            element_strides: vec![1; 4],
            swizzle: Swizzle::B128,
        };
        let (list, groups) = (rows.rows as usize, rows.groups as usize);
        let blocks = self.cache.len() / (BLOCK * h_k * D_QK);
        let q_map = map(q, [list, groups, batch], [D_QK, list * D_QK, s_q * h_q * D_QK]);
        let kv_map = map(cache, [BLOCK, h_k, blocks], [h_k * D_QK, D_QK, BLOCK * h_k * D_QK]);
        let q_map = memory.tensor_map(q_map).expect("a valid map");
        let kv_map = memory.tensor_map(kv_map).expect("a valid map");

        let decode = configure(geometry(&launch::DENSE_DECODE_BF16, [tiles, *parts, 1]))
            .shared_buffers(&buffers())
            .run(&memory, || simulate::dense_decode_bf16(q_map, kv_map, &params))?;
        configure(geometry(&launch::COMBINE_BF16, [batch as u32 * tiles * 8, 1, 1]))
            .run(&memory, || simulate::combine_bf16(&params))?;
        drop(memory);
        let outcome = Outcome {
            out: out.iter().map(|x| x.to_f64()).collect(),
            lse: lse.iter().map(|&x| x.into()).collect(),
            magnitude: Vec::new(),
        };
        Ok((outcome, decode))
    }

    /// The same in f64.
    pub fn oracle(&self) -> Outcome {
        let Shape { lengths, s_q, h_q, h_k, causal, .. } = &self.shape;
        let (s_q, h_q, h_k) = (*s_q, *h_q, *h_k);
        let lse = vec![0.0; lengths.len() * h_q * s_q];
        let mut outcome = Outcome { out: Vec::new(), lse, magnitude: Vec::new() };
        for (request, &length) in lengths.iter().enumerate() {
            for token in 0..s_q {
                let hidden = if *causal { s_q - 1 - token } else { 0 };
                let visible = (length.max(0) as usize).saturating_sub(hidden);
                for head in 0..h_q {
                    let q = ((request * s_q + token) * h_q + head) * D_QK;
                    let kv: Vec<&[bf16]> = (0..visible)
                        .map(|position| self.cached(request, position, head / (h_q / h_k)))
                        .collect();
                    let probabilities = softmax(&self.q[q..q + D_QK], &kv, self.scale.into());
                    outcome.out.extend(weigh(&probabilities.0, &kv, |v| v));
                    outcome.magnitude.extend(weigh(&probabilities.0, &kv, f64::abs));
                    outcome.lse[(request * h_q + head) * s_q + token] = probabilities.1;
                }
            }
        }
        outcome
    }

    fn cached(&self, request: usize, position: usize, kv_head: usize) -> &[bf16] {
        let id = self.table[request * self.blocks_per_request + position / BLOCK] as usize;
        let at = ((id * BLOCK + position % BLOCK) * self.shape.h_k + kv_head) * D_QK;
        &self.cache[at..at + D_QK]
    }
}

/// Each tile of the decode kernel's shared memory: no operand of a multiply spans two of Q, a stage of K and P.
fn buffers() -> [std::ops::Range<u32>; 4] {
    let from = |start, bytes| start..start + bytes;
    [
        from(config::Q, config::BLOCK_BYTES),
        from(config::K, config::BLOCK_BYTES),
        from(config::K + config::BLOCK_BYTES, config::BLOCK_BYTES),
        from(config::P, TILE_BYTES),
    ]
}

fn geometry(kernel: &launch::Kernel, grid: [u32; 3]) -> Launch {
    Launch::new(kernel.name, grid, kernel.threads)
        .shared_bytes(kernel.shared_bytes)
        .stack_bytes(512 * 1024)
}

/// Probabilities of a row, and its LSE.
fn softmax(q: &[bf16], kv: &[&[bf16]], scale: f64) -> (Vec<f64>, f64) {
    let dot = |k: &[bf16]| -> f64 { q.iter().zip(k).map(|(a, b)| a.to_f64() * b.to_f64()).sum() };
    let scores: Vec<f64> = kv.iter().map(|k| dot(k) * scale).collect();
    if scores.is_empty() {
        return (scores, f64::NEG_INFINITY);
    }
    let maximum = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let lse = maximum + scores.iter().map(|s| (s - maximum).exp()).sum::<f64>().ln();
    (scores.iter().map(|s| (s - lse).exp()).collect(), lse)
}

fn weigh(probabilities: &[f64], kv: &[&[bf16]], of: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut out = vec![0.0; D_V];
    for (p, v) in probabilities.iter().zip(kv) {
        for (o, v) in out.iter_mut().zip(*v) {
            *o += p * of(v.to_f64());
        }
    }
    out
}
