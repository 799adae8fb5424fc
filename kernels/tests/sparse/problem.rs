//! Sparse attention in host memory, what the kernels make of it in the SIMT machine, and what is right.

use half::bf16;
use oxmla_kernels::abi::Cut;
use oxmla_kernels::simulate::{Error, Listed, SparseCache, SparseStep, SparseWork};
use oxmla_simt::{Launch, Trace};

const D_V: usize = 512;
/// What an output may be off, relative to the sum of the magnitudes that it is made of: probabilities and outputs are
/// rounded, by half a unit in the last place each.
const OUT_TOLERANCE: f64 = 2.0 / 256.0;

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
    /// What its tokens stand for, without any rounding: row by row.
    pub exact: Vec<f64>,
    /// Its largest scale that is a number.
    pub largest_scale: f32,
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
        let mut list = Self {
            cache: Vec::new(),
            codes: None,
            exact: Vec::new(),
            largest_scale: 0.0,
            shape,
            d_qk,
            indices,
            topk,
            lengths,
        };
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
        if self.codes.is_some() {
            return self.exact[row * self.d_qk..][..self.d_qk].to_vec();
        }
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

/// What the numbers of a problem over FP8 caches are multiplied by.
pub struct Magnitudes {
    /// Scales of a row, by its number and the tile: a power of two.
    pub scale: fn(usize, usize) -> f32,
    /// Rope parts.
    pub rope: f64,
    /// Queries.
    pub q: f64,
}

impl Default for Magnitudes {
    fn default() -> Self {
        Self { scale: |_, _| 1.0, rope: 1.0, q: 1.0 }
    }
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
    pub fn in_fp8(self) -> Self {
        self.in_fp8_of(&Magnitudes::default())
    }

    /// The same of other magnitudes.
    pub fn in_fp8_of(mut self, magnitudes: &Magnitudes) -> Self {
        for q in &mut self.q {
            *q = bf16::from_f64(bf16::from_bits(*q).to_f64() * magnitudes.q).to_bits();
        }
        self.list.quantise(&mut self.rng, magnitudes);
        if let Some(extra) = &mut self.extra {
            extra.quantise(&mut self.rng, magnitudes);
        }
        self
    }

    /// What an LSE may be off: keys with scales of any value are rounded to 11 bits, those with powers of two not at all.
    pub fn lse_tolerance(&self) -> f64 {
        if self.list.codes.is_some() && self.d_qk == 576 { 2e-4 } else { 1e-5 }
    }

    /// What an output may be off where there is next to nothing. Tiles of FP8 caches count in a unit that is an eighth of the
    /// largest scale at most, and 2^−64 at least. Scales are off by up to 2^−25 units, and codes go up to 448; what is less
    /// than half a step of the least unit is lost.
    fn least(&self) -> f64 {
        let lists = || [Some(&self.list), self.extra.as_ref()].into_iter().flatten();
        if lists().all(|list| list.codes.is_none()) {
            return 1e-6;
        }
        let largest = lists().map(|list| f64::from(list.largest_scale)).fold(0.0, f64::max);
        (largest / 8.0 * 448.0 * 2f64.powi(-25)).max(2f64.powi(-88))
    }

    /// Root of the mean square of what outputs and LSE are off, of what the tokens of FP8 caches stand for.
    pub fn distance(&self, got: &Outcome) -> [f64; 2] {
        let mut off = [0.0; 2];
        for (token, head) in
            (0..self.tokens).flat_map(|token| (0..self.h_q).map(move |head| (token, head)))
        {
            let right = self.right(&self.rows(token), token, head);
            let row = token * self.h_q + head;
            let out = got.out[row * D_V..][..D_V].iter().zip(&right.out);
            off[0] += out.map(|(&a, b)| (bf16::from_bits(a).to_f64() - b).powi(2)).sum::<f64>();
            off[1] += (f64::from(got.lse[row]) - right.lse).powi(2);
        }
        off.map(f64::sqrt)
    }

    /// What a query token attends to.
    fn rows(&self, token: usize) -> Vec<Vec<f64>> {
        let of = |list: &List| -> Vec<Vec<f64>> {
            list.named(token).into_iter().map(|row| list.row(row)).collect()
        };
        of(&self.list).into_iter().chain(self.extra.iter().flat_map(of)).collect()
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
            let kv = self.rows(token);
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
        let right = self.right(kv, token, head);
        let near = |a: f32, b: f64| {
            f64::from(a) == b || (f64::from(a) - b).abs() <= self.lse_tolerance() * b.abs().max(1.0)
        };
        assert!(near(got.lse[row], right.lse), "{name}: LSE {} is not {}", got.lse[row], right.lse);
        if let Work::Prefill(_) = self.work {
            let (largest, maximum) = (got.max_logits[row], right.maximum);
            assert!(near(largest, maximum), "{name}: maximum {largest} is not {maximum}");
        }
        for (d, (out, magnitude)) in right.out.iter().zip(&right.magnitude).enumerate() {
            let a = bf16::from_bits(got.out[row * D_V + d]).to_f64();
            let near = (a - out).abs() <= OUT_TOLERANCE * magnitude + self.least();
            assert!(near, "{name}: out[{d}] is {a}, not {out}");
        }
    }

    /// Attention in f64.
    fn right(&self, kv: &[Vec<f64>], token: usize, head: usize) -> Right {
        let row = token * self.h_q + head;
        let q = self.q[row * self.d_qk..][..self.d_qk].iter().map(|&b| bf16::from_bits(b).to_f64());
        let q: Vec<f64> = q.collect();
        let dot = |k: &Vec<f64>| -> f64 { q.iter().zip(k).map(|(a, b)| a * b).sum() };
        let scores: Vec<f64> = kv.iter().map(|k| dot(k) * f64::from(self.scale())).collect();
        let maximum = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|score| (score - maximum).exp()).sum();
        let lse = if kv.is_empty() { f64::NEG_INFINITY } else { maximum + sum.ln() };
        let sink = self.sink.as_ref().map_or(0.0, |sink| (f64::from(sink[head]) - maximum).exp());
        let mut right = Right { out: vec![0.0; D_V], magnitude: vec![0.0; D_V], lse, maximum };
        for (k, score) in kv.iter().zip(&scores) {
            let probability = (score - maximum).exp() / (sum + sink);
            let sums = right.out.iter_mut().zip(&mut right.magnitude);
            for ((out, magnitude), value) in sums.zip(k) {
                *out += probability * value;
                *magnitude += probability * value.abs();
            }
        }
        right
    }
}

/// What is right for a row.
struct Right {
    out: Vec<f64>,
    /// Sums of the magnitudes that outputs are made of.
    magnitude: Vec<f64>,
    lse: f64,
    maximum: f64,
}
