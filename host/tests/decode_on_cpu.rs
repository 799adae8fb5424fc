//! The CPU backend against its oracle, and both against what can be worked out by hand.

use half::{bf16, f16};
use oxmla::{
    BlockTable, Decode, Device, Element, Mask, MlaDims, Planner, PlannerConfig, Result, Step,
    StreamRef, TensorMut, TensorRef, decode,
};

/// Blocks of the cache of every case.
const BLOCKS: usize = 24;

/// One decode: a batch and its queries, over a cache that is NaN wherever nobody should look.
#[derive(Clone)]
struct Case<T> {
    dims: MlaDims,
    lengths: Vec<i32>,
    s_q: usize,
    mask: Mask,
    q: Vec<T>,
    kv_cache: Vec<T>,
    block_size: usize,
    table: BlockTable,
    softmax_scale: f32,
    softcap: Option<f32>,
}

/// Output and LSE.
struct Outcome {
    out: Vec<f32>,
    lse: Vec<f32>,
}

trait Float: Element + From<i8> + Into<f32> {
    const NAN: Self;
    fn nearest(value: f32) -> Self;
}

impl Float for bf16 {
    const NAN: Self = bf16::NAN;
    fn nearest(value: f32) -> Self {
        Self::from_f32(value)
    }
}

impl Float for f16 {
    const NAN: Self = f16::NAN;
    fn nearest(value: f32) -> Self {
        Self::from_f32(value)
    }
}

/// Numbers between −1 and 1, the same in every run (a linear congruential generator, Knuth's constants).
fn numbers<T: Float>(seed: u64) -> impl Iterator<Item = T> {
    let mut state = seed;
    std::iter::from_fn(move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(T::nearest((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0))
    })
}

impl<T: Float> Case<T> {
    /// Random numbers in blocks handed out from the end of the cache.
    fn random(h_q: u32, h_k: u32, lengths: &[i32], s_q: usize, mask: Mask) -> Result<Self> {
        Self::paged(64, h_q, h_k, lengths, s_q, mask)
    }

    /// The same numbers in blocks of `block_size` tokens.
    fn paged(
        block_size: usize,
        h_q: u32,
        h_k: u32,
        lengths: &[i32],
        s_q: usize,
        mask: Mask,
    ) -> Result<Self> {
        let dims = MlaDims::new(h_q, h_k)?;
        let token = h_k as usize * 576;
        let mut kv_cache = vec![T::NAN; BLOCKS * block_size * token];
        let mut values = numbers(7);
        let mut free = (0..BLOCKS).rev();
        let mut rows = Vec::new();
        for &length in lengths {
            let ids: Vec<_> = free.by_ref().take((length as usize).div_ceil(block_size)).collect();
            for position in 0..length as usize {
                let at = (ids[position / block_size] * block_size + position % block_size) * token;
                kv_cache[at..at + token].fill_with(|| values.next().unwrap());
            }
            rows.push(ids.iter().map(|&id| id as i32).collect::<Vec<_>>());
        }
        let rows: Vec<_> = rows.iter().map(|row| &**row).collect();
        let q = numbers(8).take(lengths.len() * s_q * h_q as usize * 576).collect();
        let table = BlockTable::from_rows_of(block_size, lengths, &rows)?;
        let softmax_scale = 1.0 / 24.0;
        let lengths = lengths.to_vec();
        let softcap = None;
        Ok(Self {
            dims,
            lengths,
            s_q,
            mask,
            q,
            kv_cache,
            block_size,
            table,
            softmax_scale,
            softcap,
        })
    }

    fn q_shape(&self) -> [usize; 4] {
        [self.lengths.len(), self.s_q, self.dims.h_q() as usize, 576]
    }

    fn kv_shape(&self) -> [usize; 4] {
        [BLOCKS, self.block_size, self.dims.h_k() as usize, 576]
    }

    fn planner(&self, device: &Device) -> Result<Planner> {
        let config = PlannerConfig {
            dims: self.dims,
            dtype: T::DTYPE,
            max_batch: self.lengths.len(),
            max_blocks_per_sequence: self.table.max_blocks().max(1),
            max_s_q: self.s_q as u32,
            block_size: self.block_size,
            blocks_in_cache: BLOCKS,
        };
        Planner::new(device, config)
    }

    fn step(&self) -> Step<'_> {
        Step::new(&self.table, self.s_q as u32, self.mask)
    }

    /// Decodes contiguous tensors.
    fn run(&self, device: &Device) -> Result<Outcome> {
        let q = TensorRef::from_slice(&self.q, &self.q_shape())?;
        let kv_cache = TensorRef::from_slice(&self.kv_cache, &self.kv_shape())?;
        self.run_on(device, q, kv_cache)
    }

    fn run_on(&self, device: &Device, q: TensorRef, kv_cache: TensorRef) -> Result<Outcome> {
        let [batch, s_q, h_q, _] = self.q_shape();
        let mut out = vec![T::NAN; batch * s_q * h_q * 512];
        let mut lse = vec![f32::NAN; batch * h_q * s_q];
        let mut planner = self.planner(device)?;
        let plan = planner.plan(StreamRef::cpu(), self.step())?;
        let args = Decode {
            q,
            kv_cache,
            out: TensorMut::from_slice(&mut out, &[batch, s_q, h_q, 512])?,
            lse: TensorMut::from_slice(&mut lse, &[batch, h_q, s_q])?,
            softmax_scale: self.softmax_scale,
            softcap: self.softcap,
        };
        decode(&planner, &plan, StreamRef::cpu(), args)?;
        Ok(Outcome { out: out.into_iter().map(Into::into).collect(), lse })
    }
}

/// Whether all numbers agree: within `absolute` or within `relative`.
fn assert_close(found: &[f32], expected: &[f32], absolute: f32, relative: f32) {
    assert_eq!(found.len(), expected.len());
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs();
        let agree =
            found == expected || difference < absolute || difference < relative * expected.abs();
        assert!(agree, "element {index}: {found} instead of {expected}");
    }
}

fn check<T: Float>(h_q: u32, h_k: u32, lengths: &[i32], s_q: usize, mask: Mask) -> Result<()> {
    let case = Case::<T>::random(h_q, h_k, lengths, s_q, mask)?;
    let (fast, oracle) = (case.run(&Device::cpu())?, case.run(&Device::oracle())?);
    assert_close(&fast.out, &oracle.out, 8e-4, 2.01 / 128.0);
    assert_close(&fast.lse, &oracle.lse, 1e-6, 8.01 / 65536.0);
    Ok(())
}

#[test]
fn one_head() -> Result<()> {
    check::<bf16>(1, 1, &[1, 64, 200], 1, Mask::None)
}

#[test]
fn many_heads_and_query_tokens() -> Result<()> {
    check::<bf16>(70, 1, &[130, 0, 3, 65], 2, Mask::Causal)
}

#[test]
fn several_kv_heads_in_f16() -> Result<()> {
    check::<f16>(9, 3, &[129, 2, 0], 4, Mask::Causal)?;
    check::<f16>(8, 8, &[129, 2, 0], 4, Mask::None)
}

#[test]
fn every_tail_of_a_block() -> Result<()> {
    for first in (0..130).step_by(10) {
        let lengths: Vec<i32> = (first..first + 8).collect();
        check::<bf16>(2, 1, &lengths, 3, Mask::Causal)?;
    }
    Ok(())
}

/// With equal keys the output is the mean of the values: here, of the positions that a token sees.
#[test]
fn the_mean_of_what_is_seen() -> Result<()> {
    let mut case = Case::<f16>::random(3, 1, &[100, 1], 2, Mask::Causal)?;
    for request in 0..2 {
        for position in 0..case.lengths[request] as usize {
            let block = case.table.ids()[request * case.table.max_blocks() + position / 64];
            let at = (block as usize * 64 + position % 64) * 576;
            // Column 0 counts tokens; queries look at the rope alone, which is the same everywhere.
            case.kv_cache[at..at + 512].fill(f16::ZERO);
            case.kv_cache[at] = f16::nearest(position as f32);
            case.kv_cache[at + 512..at + 576].fill(f16::nearest(0.25));
        }
    }
    for row in case.q.chunks_exact_mut(576) {
        row[..512].fill(f16::ZERO);
        row[512..].fill(f16::ONE);
    }
    let score = 64.0 * 0.25 * case.softmax_scale;
    for device in [Device::cpu(), Device::oracle()] {
        let Outcome { out, lse } = case.run(&device)?;
        let columns: Vec<_> = out.chunks_exact(512).map(|row| row[0]).collect();
        let means = [[49.0; 3], [49.5; 3], [0.0; 3], [0.0; 3]].concat();
        assert_close(&columns, &means, 1e-6, 1e-6);
        let seen = [99.0f32, 100.0, 0.0, 1.0].map(|tokens| tokens.ln() + score);
        let [a, b, c, d] = seen;
        let expected = [[a, b], [a, b], [a, b], [c, d], [c, d], [c, d]].concat();
        assert_close(&lse, &expected, 1e-6, 1e-6);
        assert_eq!(lse[6], f32::NEG_INFINITY);
    }
    Ok(())
}

#[test]
fn strides_are_followed() -> Result<()> {
    let case = Case::<bf16>::random(6, 2, &[70, 5], 2, Mask::Causal)?;
    let expected = case.run(&Device::cpu())?;
    // Queries with their axes reversed; cached rows 600 apart, in every second block.
    let [batch, s_q, h_q, d] = case.q_shape();
    let mut q = vec![bf16::NAN; case.q.len()];
    for (index, &value) in case.q.iter().enumerate() {
        let (b, s) = (index / (s_q * h_q * d), index / (h_q * d) % s_q);
        let (h, d) = (index / d % h_q, index % d);
        q[((d * h_q + h) * s_q + s) * batch + b] = value;
    }
    let q_strides = [1, batch, batch * s_q, batch * s_q * h_q];
    let kv_strides = [2 * 64 * 2 * 600, 2 * 600, 600, 1];
    let mut kv_cache = vec![bf16::NAN; BLOCKS * kv_strides[0]];
    for (row, values) in case.kv_cache.chunks_exact(576).enumerate() {
        let (block, token) = (row / 128, row % 128);
        let at = block * kv_strides[0] + token * 600;
        kv_cache[at..at + 576].copy_from_slice(values);
    }
    for device in [Device::cpu(), Device::oracle()] {
        let q = TensorRef::with_strides(&q, &case.q_shape(), &q_strides)?;
        let kv_cache = TensorRef::with_strides(&kv_cache, &case.kv_shape(), &kv_strides)?;
        let found = case.run_on(&device, q, kv_cache)?;
        assert_close(&found.out, &expected.out, 8e-4, 2.01 / 128.0);
        assert_close(&found.lse, &expected.lse, 1e-6, 8.01 / 65536.0);
    }
    Ok(())
}

#[test]
fn gaps_in_the_output_are_left_alone() -> Result<()> {
    let case = Case::<bf16>::random(3, 1, &[70, 0], 1, Mask::None)?;
    let expected = case.run(&Device::cpu())?;
    for device in [Device::cpu(), Device::oracle()] {
        let mut planner = case.planner(&device)?;
        let plan = planner.plan(StreamRef::cpu(), case.step())?;
        let mut out = vec![bf16::NAN; 2 * 3 * 520];
        let mut lse = vec![f32::NAN; 2 * 3 * 2];
        let args = Decode {
            q: TensorRef::from_slice(&case.q, &case.q_shape())?,
            kv_cache: TensorRef::from_slice(&case.kv_cache, &case.kv_shape())?,
            out: TensorMut::with_strides(&mut out, &[2, 1, 3, 512], &[3 * 520, 0, 520, 1])?,
            lse: TensorMut::with_strides(&mut lse, &[2, 3, 1], &[6, 2, 1])?,
            softmax_scale: case.softmax_scale,
            softcap: case.softcap,
        };
        decode(&planner, &plan, StreamRef::cpu(), args)?;
        for (row, expected) in out.chunks_exact(520).zip(expected.out.chunks_exact(512)) {
            let found: Vec<f32> = row.iter().map(|value| value.to_f32()).collect();
            assert_close(&found[..512], expected, 8e-4, 2.01 / 128.0);
            assert!(found[512..].iter().all(|value| value.is_nan()));
        }
        assert!(lse.chunks_exact(2).all(|pair| !pair[0].is_nan() && pair[1].is_nan()));
    }
    Ok(())
}

#[test]
fn two_runs_agree_bit_by_bit() -> Result<()> {
    let case = Case::<bf16>::random(16, 1, &[300, 64, 10], 2, Mask::Causal)?;
    let (first, second) = (case.run(&Device::cpu())?, case.run(&Device::cpu())?);
    assert_eq!((first.out, first.lse), (second.out, second.lse));
    Ok(())
}

#[test]
fn nan_in_a_visible_row_reaches_the_tokens_that_see_it_and_no_other() -> Result<()> {
    let mut case = Case::<bf16>::random(2, 1, &[70, 70], 2, Mask::Causal)?;
    // The last token of the first request: its last query token sees it, the one before does not.
    let at = (case.table.ids()[1] as usize * 64 + 5) * 576;
    case.kv_cache[at + 3] = bf16::NAN;
    for device in [Device::cpu(), Device::oracle()] {
        let Outcome { lse, .. } = case.run(&device)?;
        let is_nan: Vec<_> = lse.iter().map(|value| value.is_nan()).collect();
        assert_eq!(is_nan, [false, true, false, true, false, false, false, false]);
    }
    Ok(())
}

/// Whatever the blocks' size is, the oracle computes the same, and the other comes as near to it as ever.
#[test]
fn blocks_of_other_sizes() -> Result<()> {
    let lengths = [1, 16, 65, 129, 0];
    for mask in [Mask::None, Mask::Causal, Mask::Causal.within(40)] {
        let of = |block_size| Case::<bf16>::paged(block_size, 3, 1, &lengths, 2, mask);
        let expected = of(64)?.run(&Device::oracle())?;
        for block_size in [16, 32, 128] {
            let case = of(block_size)?;
            let exact = case.run(&Device::oracle())?;
            assert_eq!((&exact.out, &exact.lse), (&expected.out, &expected.lse));
            let found = case.run(&Device::cpu())?;
            assert_close(&found.out, &expected.out, 8e-4, 2.01 / 128.0);
            assert_close(&found.lse, &expected.lse, 1e-5, 1e-5);
        }
    }
    Ok(())
}

/// Against attention written down once more, for windows and caps: a cache that is NaN and block ids without a meaning
/// before the windows, lengths around the ends of blocks, and windows smaller and larger than these.
#[test]
fn windows_and_soft_caps() -> Result<()> {
    for (window, softcap) in [(1, None), (63, None), (64, Some(0.5)), (130, None), (500, Some(3.0))]
    {
        for mask in [Mask::None, Mask::Causal] {
            let lengths = [1, 64, 65, 200, 0];
            let mut case = Case::<bf16>::random(3, 1, &lengths, 2, mask.within(window))?;
            case.softcap = softcap;
            let ids = case.hide(window)?;
            let expected = case.attend(&ids, window, mask == Mask::Causal);
            for device in [Device::cpu(), Device::oracle()] {
                let found = case.run(&device)?;
                assert_close(&found.out, &expected.out, 8e-4, 2.01 / 128.0);
                assert_close(&found.lse, &expected.lse, 1e-5, 1e-5);
            }
        }
    }
    Ok(())
}

impl Case<bf16> {
    /// Spoils what is before the windows of both query tokens; the ids as they were.
    fn hide(&mut self, window: u32) -> Result<Vec<i32>> {
        let (ids, columns) = (self.table.ids().to_vec(), self.table.max_blocks());
        let mut rows: Vec<Vec<i32>> = Vec::new();
        for (request, &length) in self.lengths.iter().enumerate() {
            let mut row = ids[request * columns..][..(length as usize).div_ceil(64)].to_vec();
            let hidden = (length as usize).saturating_sub(window as usize + 1);
            for position in 0..hidden {
                let at = (row[position / 64] as usize * 64 + position % 64) * 576;
                self.kv_cache[at..at + 576].fill(bf16::NAN);
            }
            row[..hidden / 64].fill(i32::MAX);
            rows.push(row);
        }
        let rows: Vec<_> = rows.iter().map(|row| &**row).collect();
        self.table = BlockTable::from_rows(&self.lengths, &rows)?;
        Ok(ids)
    }

    /// Two query tokens of three heads, in f64, each token asked whether it is seen.
    fn attend(&self, ids: &[i32], window: u32, causal: bool) -> Outcome {
        let columns = self.table.max_blocks();
        let mut out = Vec::new();
        let mut lse = vec![f32::NAN; self.lengths.len() * 3 * 2];
        for (request, token, head) in (0..self.lengths.len() * 6).map(|i| (i / 6, i / 3 % 2, i % 3))
        {
            let length = i64::from(self.lengths[request]);
            let own = length - 2 + token as i64;
            let q = &self.q[((request * 2 + token) * 3 + head) * 576..][..576];
            let (mut sum, mut row) = (0.0, vec![0.0; 512]);
            for p in (0..length).filter(|p| *p > own - i64::from(window) && (!causal || *p <= own))
            {
                let id = ids[request * columns + p as usize / 64] as usize;
                let kv = &self.kv_cache[(id * 64 + p as usize % 64) * 576..][..576];
                let dot: f64 = q.iter().zip(kv).map(|(q, k)| q.to_f64() * k.to_f64()).sum();
                let score = dot * f64::from(self.softmax_scale);
                let cap = self.softcap.map(f64::from);
                let weight = cap.map_or(score, |cap| cap * (score / cap).tanh()).exp();
                sum += weight;
                row.iter_mut().zip(kv).for_each(|(o, v)| *o += weight * v.to_f64());
            }
            lse[(request * 3 + head) * 2 + token] = sum.ln() as f32;
            let normaliser = if sum == 0.0 { 0.0 } else { 1.0 / sum };
            out.extend(row.iter().map(|o| (o * normaliser) as f32));
        }
        Outcome { out, lse }
    }
}
