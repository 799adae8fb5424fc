//! Configurations to measure.

use clap::ValueEnum;
use oxmla::cache::Fp8Format;
use oxmla::{BLOCK_SIZE, DType, Mask};
use oxmla_bench::Work;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution as _, StandardNormal};
use serde::Serialize;

use crate::elements::Rng;

/// How the lengths of the requests in a batch are spread around the sequence length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// All the same
    Fixed,
    /// Normal, with half the sequence length as deviation, but at least one token
    Normal,
    /// Request i has 2·i tokens more
    Ramp,
}

/// Bytes of a token of 16-bit elements.
const BYTES_PER_TOKEN: f64 = 1152.0;
/// What a cached token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Cache {
    /// Elements of the type of the queries
    Elements,
    /// 656 bytes: e4m3, four scales, and the rope part in bf16
    Fp8,
    /// 644 bytes: e4m3, one scale, and the rope part in bf16; multiplied in FP8
    #[serde(rename = "fp8-math")]
    Fp8Math,
}

impl Cache {
    /// The FP8 format, if it is one.
    pub const fn fp8(self) -> Option<Fp8Format> {
        match self {
            Self::Elements => None,
            Self::Fp8 => Some(Fp8Format::Token656),
            Self::Fp8Math => Some(Fp8Format::Planar644),
        }
    }

    /// What the name of a configuration ends in.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Elements => "",
            Self::Fp8 => "_fp8",
            Self::Fp8Math => "_fp8_math",
        }
    }
}

/// One configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Requests.
    pub batch: u32,
    /// Query heads.
    pub heads: u32,
    /// KV heads.
    pub kv_heads: u32,
    /// Query tokens per request.
    pub s_q: u32,
    /// Cached tokens of a request, before `distribution`.
    pub seq_len: u32,
    /// How lengths are spread.
    pub distribution: Distribution,
    /// Type of queries, cache and output.
    pub dtype: DType,
    /// What a cached token is.
    pub cache: Cache,
    /// Tokens of a block.
    pub block_size: usize,
    /// Whether the last query token's own row is hidden from the ones before it.
    pub causal: bool,
    /// Tokens of a sliding window.
    pub window: Option<u32>,
    /// Soft cap of the scaled scores.
    pub softcap: Option<f32>,
    /// Seed of lengths, block table and elements.
    pub seed: u64,
}

impl Case {
    /// Cached tokens of each request.
    pub fn lengths(&self) -> Vec<i32> {
        let mean = f64::from(self.seq_len);
        let mut rng = Rng::seed_from_u64(self.seed);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let length = |request: u32| match self.distribution {
            Distribution::Fixed => mean,
            Distribution::Normal => (mean + normal() * mean / 2.0).max(1.0),
            Distribution::Ramp => mean + 2.0 * f64::from(request),
        };
        (0..self.batch).map(length).map(|length| length as i32).collect()
    }

    /// What query tokens see.
    pub fn mask(&self) -> Mask {
        let mask = if self.causal { Mask::Causal } else { Mask::None };
        self.window.map_or(mask, |tokens| mask.within(tokens))
    }

    /// What a decode call of these lengths has to do: behind a window, with what is in it. A causal mask counts as none.
    pub fn work(&self, lengths: &[i32]) -> Work {
        let (batch, s_q) = (lengths.len(), self.s_q as usize);
        // What a query token with so many behind it sees.
        let seen = |behind: usize| -> usize {
            let window = self.window.map_or(usize::MAX, |tokens| tokens as usize);
            let most = window.saturating_add(behind);
            lengths.iter().map(|&length| most.min(length as usize)).sum()
        };
        let tokens = seen(s_q - 1);
        let mut work = Work::of_decode(batch, s_q, self.heads, self.kv_heads, tokens);
        if self.window.is_some() && tokens > 0 {
            let by_all: usize = (0..s_q).map(seen).sum();
            work.flop *= by_all as f64 / (s_q * tokens) as f64;
        }
        if let Some(format) = self.cache.fp8() {
            work.bytes -= tokens as f64 * (BYTES_PER_TOKEN - f64::from(format.bytes_per_token()));
        }
        work
    }

    /// The configuration in a word, as the baselines write it: `b128_sq2_h128_sk4096_var_causal`.
    pub fn name(&self) -> String {
        let Self { batch, heads, kv_heads, s_q, seq_len, .. } = self;
        let mut name = format!("b{batch}_sq{s_q}_h{heads}_sk{seq_len}");
        if *kv_heads != 1 {
            name += &format!("_hk{kv_heads}");
        }
        name += match self.distribution {
            Distribution::Fixed => "",
            Distribution::Normal => "_var",
            Distribution::Ramp => "_ramp",
        };
        if self.causal {
            name += "_causal";
        }
        if self.dtype != DType::Bf16 {
            name += &format!("_{}", self.dtype);
        }
        name += self.cache.suffix();
        if self.block_size != BLOCK_SIZE {
            name += &format!("_block{}", self.block_size);
        }
        name += &self.window.map_or_else(String::new, |tokens| format!("_win{tokens}"));
        name += &self.softcap.map_or_else(String::new, |cap| format!("_cap{cap}"));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(distribution: Distribution) -> Case {
        Case {
            batch: 1000,
            heads: 128,
            kv_heads: 1,
            s_q: 1,
            seq_len: 4096,
            distribution,
            dtype: DType::Bf16,
            cache: Cache::Elements,
            block_size: BLOCK_SIZE,
            causal: false,
            window: None,
            softcap: None,
            seed: 7,
        }
    }

    #[test]
    fn lengths_follow_the_distribution() {
        assert!(case(Distribution::Fixed).lengths().iter().all(|&length| length == 4096));
        assert_eq!(case(Distribution::Ramp).lengths()[..3], [4096, 4098, 4100]);
        let normal = case(Distribution::Normal).lengths();
        let mean = normal.iter().map(|&length| f64::from(length)).sum::<f64>() / 1000.0;
        assert!((mean - 4096.0).abs() < 200.0, "mean {mean}");
        assert!(normal.iter().all(|&length| length >= 1) && normal.contains(&1));
    }

    #[test]
    fn an_fp8_cache_has_fewer_bytes() {
        let elements = case(Distribution::Fixed);
        for (cache, bytes) in [(Cache::Fp8, 656.0), (Cache::Fp8Math, 644.0)] {
            let fp8 = Case { cache, ..elements.clone() };
            let [fewer, more] = [&fp8, &elements].map(|case| case.work(&[1000, 24]).bytes);
            assert_eq!(more - fewer, 1024.0 * (1152.0 - bytes));
        }
    }

    /// Two query tokens behind a window of 10: the first sees 11 tokens with the second's, the second 10.
    #[test]
    fn a_window_hides_work() {
        let all = Case { s_q: 2, ..case(Distribution::Fixed) };
        let windowed = Case { window: Some(10), ..all.clone() };
        let lengths = [1000, 5];
        assert_eq!(windowed.work(&lengths).bytes, all.work(&[11, 5]).bytes);
        let flop_per_token = all.work(&[1]).flop / 2.0;
        assert_eq!(windowed.work(&lengths).flop, flop_per_token * f64::from(11 + 10 + 5 + 5));
        let wide = Case { window: Some(u32::MAX), ..all.clone() };
        assert_eq!(wide.work(&lengths), all.work(&lengths));
        assert_eq!(windowed.work(&[0, 0]).flop, 0.0);
    }

    #[test]
    fn a_seed_is_one_batch() {
        let other = Case { seed: 8, ..case(Distribution::Normal) };
        assert_eq!(case(Distribution::Normal).lengths(), case(Distribution::Normal).lengths());
        assert_ne!(case(Distribution::Normal).lengths(), other.lengths());
    }

    #[test]
    fn names_tell_what_is_unusual() {
        assert_eq!(case(Distribution::Fixed).name(), "b1000_sq1_h128_sk4096");
        let usual = Case { causal: true, ..case(Distribution::Normal) };
        assert_eq!(usual.name(), "b1000_sq1_h128_sk4096_var_causal");
        assert_eq!(case(Distribution::Ramp).name(), "b1000_sq1_h128_sk4096_ramp");
        let odd = Case { kv_heads: 4, dtype: DType::F16, ..case(Distribution::Fixed) };
        assert_eq!(odd.name(), "b1000_sq1_h128_sk4096_hk4_f16");
        let fp8 = Case { cache: Cache::Fp8, ..case(Distribution::Fixed) };
        assert_eq!(fp8.name(), "b1000_sq1_h128_sk4096_fp8");
        let math = Case { cache: Cache::Fp8Math, ..fp8 };
        assert_eq!(math.name(), "b1000_sq1_h128_sk4096_fp8_math");
        let small = Case { block_size: 16, ..case(Distribution::Fixed) };
        assert_eq!(small.name(), "b1000_sq1_h128_sk4096_block16");
        let (window, softcap) = (Some(512), Some(30.0));
        let limited = Case { window, softcap, ..case(Distribution::Fixed) };
        assert_eq!(limited.name(), "b1000_sq1_h128_sk4096_win512_cap30");
        assert_eq!(limited.mask(), Mask::None.within(512));
    }
}
