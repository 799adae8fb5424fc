//! Sparse attention in host memory, what the kernels make of it in the SIMT machine, and what is right.

use half::bf16;
use oxmla_kernels::abi::Cut;
use oxmla_kernels::simulate::{Error, Listed, SparseCache, SparseStep, SparseWork};
use oxmla_simt::{Launch, Trace};

const D_V: usize = 512;
/// What an output may be off, relative to the sum of the magnitudes that it is made of: probabilities and outputs are
/// rounded, by half a unit in the last place each.
const OUT_TOLERANCE: f64 = 2.0 / 256.0;
const LSE_TOLERANCE: f64 = 1e-5;

/// How the cache of a list lies in memory.
#[derive(Clone, Debug)]
pub struct Blocks {
    pub blocks: usize,
    pub size: usize,
    /// Elements behind each block and each row.
    pub gaps: [usize; 2],
}

/// A cache, of which everything is NaN that no list names, and lists.
#[derive(Clone, Debug)]
pub struct List {
    pub cache: Vec<u16>,
    /// The cache that `cache` was dequantised from.
    pub codes: Option<Vec<u8>>,
    pub shape: Blocks,
    pub d_qk: usize,
    pub indices: Vec<i32>,
    pub topk: usize,
    pub lengths: Option<Vec<i32>>,
}

impl List {
    /// Lists of which every fifth index names nothing, in one way or the other.
    fn new(
        rng: &mut fastrand::Rng,
        (tokens, d_qk): (usize, usize),
        topk: usize,
        lengths: Option<Vec<i32>>,
        shape: Blocks,
    ) -> Self {
        let rows = (shape.blocks * shape.size) as i32;
        let nothing = [-1, i32::MIN, i32::MAX, rows];
        let index = |rng: &mut fastrand::Rng| match rng.usize(..5) {
            0 => nothing[rng.usize(..4)],
            _ => rng.i32(0..rows),
        };
        let indices = (0..tokens * topk).map(|_| index(rng)).collect();
        let mut list = Self { cache: Vec::new(), codes: None, shape, d_qk, indices, topk, lengths };
        list.fill(rng, tokens);
        list
    }

    /// Numbers in the rows that count, NaN everywhere else.
    fn fill(&mut self, rng: &mut fastrand::Rng, tokens: usize) {
        let [block_stride, _] = self.strides();
        self.cache = vec![0x7fff; self.shape.blocks * block_stride];
        for token in 0..tokens {
            for row in self.named(token) {
                let at = self.place(row);
                self.cache[at..at + self.d_qk].fill_with(|| normal(rng).to_bits());
            }
        }
    }

    fn strides(&self) -> [usize; 2] {
        let [behind_block, behind_row] = self.shape.gaps;
        let row = self.d_qk + behind_row;
        [self.shape.size * row + behind_block, row]
    }

    pub fn place(&self, row: usize) -> usize {
        let [block, stride] = self.strides();
        row / self.shape.size * block + row % self.shape.size * stride
    }

    /// The rows that a query token attends to.
    fn named(&self, token: usize) -> Vec<usize> {
        let length = self.lengths.as_ref().map_or(self.topk as i32, |lengths| lengths[token]);
        let rows = (self.shape.blocks * self.shape.size) as i64;
        self.indices[token * self.topk..][..self.topk]
            .iter()
            .take(length.max(0) as usize)
            .filter(|&&index| (0..rows).contains(&i64::from(index)))
            .map(|&index| index as usize)
            .collect()
    }

    fn view(&self) -> Listed<'_> {
        let (cache, strides) = match &self.codes {
            Some(bytes) => (SparseCache::Fp8(self.format(), bytes), self.code_strides()),
            None => (SparseCache::Elements(&self.cache), self.strides()),
        };
        Listed {
            cache,
            block_size: self.shape.size as u32,
            blocks: self.shape.blocks as u32,
            strides,
            indices: &self.indices,
            lengths: self.lengths.as_deref(),
        }
    }

    fn row(&self, row: usize) -> Vec<f64> {
        let at = self.place(row);
        self.cache[at..at + self.d_qk].iter().map(|&b| bf16::from_bits(b).to_f64()).collect()
    }
}

/// Which kernel, and CTAs for each tile.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    Decode(u32, Cut),
    Prefill(u32),
}

#[derive(Clone, Debug)]
pub struct Problem {
    pub tokens: usize,
    pub h_q: usize,
    pub d_qk: usize,
    q: Vec<u16>,
    pub list: List,
    pub extra: Option<List>,
    pub sink: Option<Vec<f32>>,
    pub work: Work,
    rng: fastrand::Rng,
}

#[derive(Debug, PartialEq)]
pub struct Outcome {
    pub out: Vec<u16>,
    pub lse: Vec<f32>,
    pub max_logits: Vec<f32>,
}

fn normal(rng: &mut fastrand::Rng) -> bf16 {
    bf16::from_f32((0..4).map(|_| rng.f32() - 0.5).sum())
}

impl Problem {
    /// Query tokens that each attend to `topk` tokens, a fifth of which are not there.
    pub fn new([tokens, h_q, d_qk]: [usize; 3], topk: usize, work: Work, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let q = (0..tokens * h_q * d_qk).map(|_| normal(&mut rng).to_bits()).collect();
        let shape = Blocks { blocks: 5, size: 53, gaps: [24, 8] };
        let list = List::new(&mut rng, (tokens, d_qk), topk, None, shape);
        Self { tokens, h_q, d_qk, q, list, extra: None, sink: None, work, rng }
    }

    /// The same over FP8 caches, whose tokens stand for other elements.
    pub fn in_fp8(mut self) -> Self {
        self.list.quantise(&mut self.rng);
        if let Some(extra) = &mut self.extra {
            extra.quantise(&mut self.rng);
        }
        self
    }

    /// The same over the 16-bit elements that the tokens of FP8 caches stand for.
    pub fn dequantised(mut self) -> Self {
        self.list.codes = None;
        if let Some(extra) = &mut self.extra {
            extra.codes = None;
        }
        self
    }

    /// Changes indices or lengths.
    pub fn with(mut self, change: impl FnOnce(&mut List)) -> Self {
        change(&mut self.list);
        self.list.fill(&mut self.rng, self.tokens);
        self
    }

    /// Adds a second cache.
    pub fn with_extra(mut self, topk: usize, lengths: Option<Vec<i32>>) -> Self {
        let shape = Blocks { blocks: 40, size: 2, gaps: [8, 0] };
        let sizes = (self.tokens, self.d_qk);
        self.extra = Some(List::new(&mut self.rng, sizes, topk, lengths, shape));
        self
    }

    fn scale(&self) -> f32 {
        (self.d_qk as f32).sqrt().recip()
    }

    /// Runs the kernel, its launch changed by `configure`.
    pub fn run(&self, configure: impl Fn(Launch) -> Launch) -> Result<(Outcome, Trace), Error> {
        let rows = self.tokens * self.h_q;
        let mut out = vec![0x7fff; rows * D_V];
        let (mut lse, mut max_logits) = (vec![f32::NAN; rows], vec![f32::NAN; rows]);
        let step = SparseStep {
            tokens: self.tokens as u32,
            h_q: self.h_q as u32,
            d_qk: self.d_qk as u32,
            q: &self.q,
            list: self.list.view(),
            extra: self.extra.as_ref().map(List::view),
            sink: self.sink.as_deref(),
            out: &mut out,
            lse: &mut lse,
            softmax_scale: self.scale(),
            work: match self.work {
                Work::Decode(parts, cut) => SparseWork::Decode { parts, cut },
                Work::Prefill(parts) => {
                    SparseWork::Prefill { parts, max_logits: Some(&mut max_logits) }
                }
            },
        };
        let trace = step.run(configure)?;
        Ok((Outcome { out, lse, max_logits }, trace))
    }

    /// Compares an outcome with f64.
    pub fn check(&self, name: &str, got: &Outcome) {
        for token in 0..self.tokens {
            let mut kv: Vec<_> =
                self.list.named(token).into_iter().map(|row| self.list.row(row)).collect();
            if let Some(extra) = &self.extra {
                kv.extend(extra.named(token).into_iter().map(|row| extra.row(row)));
            }
            for head in 0..self.h_q {
                self.check_row(
                    &format!("{name}, token {token}, head {head}"),
                    got,
                    &kv,
                    token,
                    head,
                );
            }
        }
    }

    fn check_row(&self, name: &str, got: &Outcome, kv: &[Vec<f64>], token: usize, head: usize) {
        let row = token * self.h_q + head;
        let q = self.q[row * self.d_qk..][..self.d_qk].iter().map(|&b| bf16::from_bits(b).to_f64());
        let q: Vec<f64> = q.collect();
        let dot = |k: &Vec<f64>| -> f64 { q.iter().zip(k).map(|(a, b)| a * b).sum() };
        let scores: Vec<f64> = kv.iter().map(|k| dot(k) * f64::from(self.scale())).collect();
        let maximum = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|score| (score - maximum).exp()).sum();
        let near = |a: f32, b: f64| {
            f64::from(a) == b || (f64::from(a) - b).abs() <= LSE_TOLERANCE * b.abs().max(1.0)
        };
        let lse = if kv.is_empty() { f64::NEG_INFINITY } else { maximum + sum.ln() };
        assert!(near(got.lse[row], lse), "{name}: LSE {} is not {lse}", got.lse[row]);
        if let Work::Prefill(_) = self.work {
            let largest = got.max_logits[row];
            assert!(near(largest, maximum), "{name}: maximum {largest} is not {maximum}");
        }
        let sink = self.sink.as_ref().map_or(0.0, |sink| (f64::from(sink[head]) - maximum).exp());
        for d in 0..D_V {
            let (mut out, mut magnitude) = (0.0, 0.0);
            for (k, score) in kv.iter().zip(&scores) {
                let probability = (score - maximum).exp() / (sum + sink);
                out += probability * k[d];
                magnitude += probability * k[d].abs();
            }
            let a = bf16::from_bits(got.out[row * D_V + d]).to_f64();
            let near = (a - out).abs() <= OUT_TOLERANCE * magnitude + 1e-6;
            assert!(near, "{name}: out[{d}] is {a}, not {out}");
        }
    }
}
