//! Sparse attention on the CPU: f32 against the oracle, what is left out, and what is refused.

use half::bf16;
use oxmla::*;

const D_V: usize = 512;

/// Random numbers that are the same in every run (SplitMix64, Vigna 2015).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Between −1 and 1.
    fn element(&mut self) -> bf16 {
        bf16::from_f32((self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0)
    }
}

/// A cache and the lists of all query tokens. What no list names is NaN.
struct Listed {
    cache: Vec<bf16>,
    shape: [usize; 4],
    /// From one block to the next: blocks have a gap behind them.
    block_stride: usize,
    indices: Vec<i32>,
    topk: usize,
    lengths: Option<Vec<i32>>,
}

impl Listed {
    fn new(
        random: &mut Random,
        [tokens, topk, d_qk]: [usize; 3],
        [blocks, size]: [usize; 2],
        lengths: Option<Vec<i32>>,
    ) -> Self {
        let rows = blocks * size;
        let nothing = [-1, i32::MIN, i32::MAX, rows as i32];
        let indices: Vec<i32> = (0..tokens * topk)
            .map(|_| match random.below(5) {
                0 => nothing[random.below(4)],
                _ => random.below(rows) as i32,
            })
            .collect();
        let block_stride = size * d_qk + 16;
        let mut cache = vec![bf16::NAN; blocks * block_stride];
        for (token, list) in indices.chunks(topk.max(1)).enumerate() {
            let length = lengths.as_ref().map_or(topk as i32, |lengths| lengths[token]);
            let named = list.iter().take(length.max(0) as usize);
            for &index in named.filter(|&&index| (0..rows as i32).contains(&index)) {
                let (block, place) = (index as usize / size, index as usize % size);
                let row = block * block_stride + place * d_qk;
                cache[row..row + d_qk].fill_with(|| random.element());
            }
        }
        Self { cache, shape: [blocks, size, 1, d_qk], block_stride, indices, topk, lengths }
    }

    fn view(&self, tokens: usize) -> Result<Selection<'_>> {
        let d_qk = self.shape[3];
        let strides = [self.block_stride, d_qk, d_qk, 1];
        let lengths = self.lengths.as_ref();
        Ok(Selection {
            kv_cache: TensorRef::with_strides(&self.cache, &self.shape, &strides)?,
            indices: TensorRef::from_slice(&self.indices, &[tokens, self.topk])?,
            lengths: lengths.map(|l| TensorRef::from_slice(l, &[tokens])).transpose()?,
        })
    }
}

/// A step, whose sizes the test states.
struct Step {
    tokens: usize,
    h_q: usize,
    d_qk: usize,
    q: Vec<bf16>,
    list: Listed,
    extra: Option<Listed>,
    sink: Option<Vec<f32>>,
}

#[derive(Debug, PartialEq)]
struct Results {
    out: Vec<bf16>,
    lse: Vec<f32>,
    max_logits: Vec<f32>,
}

impl Step {
    fn run(&self, device: &Device, prefill: bool) -> Result<Results> {
        let Self { tokens, h_q, d_qk, .. } = *self;
        let mut out = vec![bf16::NAN; tokens * h_q * D_V];
        let (mut lse, mut max) = (vec![f32::NAN; tokens * h_q], vec![f32::NAN; tokens * h_q]);
        let sink = self.sink.as_ref();
        let args = SparseAttention {
            q: TensorRef::from_slice(&self.q, &[tokens, h_q, d_qk])?,
            selection: self.list.view(tokens)?,
            extra: self.extra.as_ref().map(|extra| extra.view(tokens)).transpose()?,
            sink: sink.map(|sink| TensorRef::from_slice(sink, &[h_q])).transpose()?,
            out: TensorMut::from_slice(&mut out, &[tokens, h_q, D_V])?,
            lse: TensorMut::from_slice(&mut lse, &[tokens, h_q])?,
            softmax_scale: (d_qk as f32).sqrt().recip(),
        };
        let stream = device.stream()?;
        if prefill {
            let max_logits = TensorMut::from_slice(&mut max, &[tokens, h_q])?;
            sparse_prefill(device, stream.as_ref(), args, Some(max_logits))?;
        } else {
            let config = SparsePlannerConfig { h_q: h_q as u32, max_tokens: tokens };
            let planner = SparsePlanner::new(device, config)?;
            let extra_topk = self.extra.as_ref().map_or(0, |extra| extra.topk);
            let plan = planner.plan(SparseStep { tokens, topk: self.list.topk, extra_topk })?;
            sparse_decode(&planner, &plan, stream.as_ref(), args)?;
        }
        Ok(Results { out, lse, max_logits: max })
    }
}

fn step(seed: u64, [tokens, h_q, topk, d_qk]: [usize; 4]) -> Step {
    let mut random = Random(seed);
    let q = (0..tokens * h_q * d_qk).map(|_| random.element()).collect();
    let list = Listed::new(&mut random, [tokens, topk, d_qk], [7, 29], None);
    Step { tokens, h_q, d_qk, q, list, extra: None, sink: None }
}

fn near(a: f32, b: f32) -> bool {
    a == b || (a - b).abs() < 1e-4 * b.abs().max(1.0)
}

/// Both ways, in f32, agree with the oracle.
fn check(step: &Step) -> Result<Results> {
    let expected = step.run(&Device::oracle(), true)?;
    for prefill in [true, false] {
        let got = step.run(&Device::cpu(), prefill)?;
        for (a, b) in got.out.iter().zip(&expected.out) {
            assert!((a.to_f32() - b.to_f32()).abs() < 0.01, "{a} is not {b}");
        }
        let pairs = got.lse.iter().zip(&expected.lse);
        let pairs =
            pairs.chain(got.max_logits.iter().zip(&expected.max_logits).filter(|_| prefill));
        for (&a, &b) in pairs {
            assert!(near(a, b), "{a} is not {b}");
        }
    }
    Ok(expected)
}

#[test]
fn any_number_of_heads_and_indices() -> Result<()> {
    for (seed, (h_q, topk)) in
        [(1, 1), (16, 63), (64, 64), (65, 200), (128, 130)].into_iter().enumerate()
    {
        for d_qk in [576, 512] {
            check(&step(seed as u64, [3, h_q, topk, d_qk]))?;
        }
    }
    Ok(())
}

/// Lists of which nothing counts, nothing exists or nothing is there.
#[test]
fn tokens_that_attend_to_nothing() -> Result<()> {
    let mut random = Random(1);
    let mut step = step(2, [4, 3, 5, 576]);
    step.list = Listed::new(&mut random, [4, 5, 576], [2, 9], Some(vec![0, -7, 99, 2]));
    step.list.indices[15..17].fill(-1);
    let results = check(&step)?;
    for token in [0, 1, 3] {
        assert!(results.out[token * 3 * D_V..][..3 * D_V].iter().all(|o| o.to_f32() == 0.0));
        assert_eq!(results.lse[token * 3..][..3], [f32::NEG_INFINITY; 3]);
        assert_eq!(results.max_logits[token * 3..][..3], [f32::NEG_INFINITY; 3]);
    }
    assert!(results.lse[2 * 3].is_finite());
    (step.list.topk, step.list.lengths) = (0, None);
    step.list.indices.clear();
    assert_eq!(check(&step)?.lse, [f32::NEG_INFINITY; 12]);
    Ok(())
}

#[test]
fn a_second_cache_with_lengths_of_its_own() -> Result<()> {
    let mut random = Random(5);
    let mut step = step(6, [3, 20, 70, 512]);
    step.extra = Some(Listed::new(&mut random, [3, 33, 512], [3, 5], Some(vec![33, 0, 20])));
    let both = check(&step)?;
    step.extra = None;
    let one = check(&step)?;
    assert_ne!(both.lse[0], one.lse[0]);
    assert_eq!(both.lse[20..40], one.lse[20..40]);
    Ok(())
}

/// The output shrinks by the sink's share, and nothing else changes.
#[test]
fn sinks() -> Result<()> {
    let mut step = step(9, [2, 4, 50, 576]);
    let without = step.run(&Device::oracle(), true)?;
    step.sink = Some(vec![f32::NEG_INFINITY, f32::INFINITY, without.lse[2], 0.5]);
    let with = check(&step)?;
    assert_eq!(with.lse, without.lse);
    assert_eq!(with.out[..D_V], without.out[..D_V]);
    assert!(with.out[D_V..2 * D_V].iter().all(|o| o.to_f32() == 0.0));
    for (a, b) in with.out[2 * D_V..3 * D_V].iter().zip(&without.out[2 * D_V..]) {
        assert!((a.to_f32() - b.to_f32() / 2.0).abs() < 0.002, "{a} is not half of {b}");
    }
    Ok(())
}

/// A token that is named twice counts twice, wherever it is named.
#[test]
fn duplicates_count() -> Result<()> {
    let mut step = step(3, [1, 1, 2, 576]);
    step.list.indices = vec![3, 3];
    step.list.cache.fill(bf16::ONE);
    let twice = check(&step)?;
    (step.list.indices, step.list.topk) = (vec![3], 1);
    let once = check(&step)?;
    assert!(near(twice.lse[0], once.lse[0] + 2f32.ln()));
    assert_eq!(twice.out, once.out);
    Ok(())
}
