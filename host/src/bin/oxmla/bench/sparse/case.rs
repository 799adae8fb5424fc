//! Configurations, by the names that the baselines give them.

use super::super::case::{Cache, Case as DenseCase, Distribution};
use oxmla::cache::Fp8Format;
use oxmla::{BLOCK_SIZE, DType};
use oxmla_bench::Work;

/// Indices of one call: each query token has distinct tokens of its own request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Requests; 1 for a prefill.
    pub batch: usize,
    /// Query tokens of a request.
    pub s_q: usize,
    /// Query heads.
    pub heads: usize,
    /// Dimensions of a query.
    pub d_qk: usize,
    /// Cached tokens of a request.
    pub cached: usize,
    /// Tokens that each query token attends to.
    pub topk: usize,
    /// What a cached token is: in FP8, of 656 bytes for queries of 576 dimensions, of 584 for those of 512.
    pub cache: Cache,
}

/// FlashMLA's rows of decode, which are over an FP8 cache of 656 bytes a token, and some of ours.
pub const DECODE: [Case; 8] = [
    decode(2, 128, 2048),
    decode(64, 128, 2048),
    decode(128, 128, 2048),
    decode(148, 128, 16_384),
    decode(128, 64, 2048),
    decode(128, 16, 2048),
    Case { d_qk: 512, ..decode(2, 128, 2048) },
    Case { d_qk: 512, ..decode(128, 128, 2048) },
];

/// FlashMLA's rows of prefill.
pub const PREFILL: [Case; 4] = [
    prefill(576, 8192, 2048),
    prefill(576, 32_768, 2048),
    prefill(576, 131_072, 2048),
    prefill(512, 32_768, 1024),
];

const fn decode(batch: usize, heads: usize, topk: usize) -> Case {
    let cache = Cache::Elements;
    Case { batch, s_q: 2, heads, d_qk: 576, cached: 32_768, topk, cache }
}

const fn prefill(d_qk: usize, cached: usize, topk: usize) -> Case {
    let cache = Cache::Elements;
    Case { batch: 1, s_q: 4096, heads: 128, d_qk, cached, topk, cache }
}

impl Case {
    /// Query tokens of all requests.
    pub const fn tokens(&self) -> usize {
        self.batch * self.s_q
    }

    /// FLOP of a call: scores, and their product with the values.
    pub const fn flop(&self) -> f64 {
        let rows = (self.tokens() * self.heads) as f64;
        rows * self.topk as f64 * 2.0 * (self.d_qk + 512) as f64
    }

    /// Bytes of queries, of outputs, and of what each query token attends to.
    pub const fn bytes(&self) -> f64 {
        let rows = (self.tokens() * self.heads) as f64;
        let listed = (self.tokens() * self.topk) as f64;
        2.0 * rows * (self.d_qk + 512) as f64 + listed * self.token_bytes() as f64
    }

    /// Bytes of a cached token.
    pub const fn token_bytes(&self) -> usize {
        match self.cache {
            Cache::Elements => 2 * self.d_qk,
            Cache::Fp8 | Cache::Fp8Math => self.format().bytes_per_token() as usize,
        }
    }

    /// What a call has to do at least: as [`Case::flop`] and [`Case::bytes`] count, but with no cached token twice.
    pub fn work(&self) -> Work {
        let twice = (self.tokens() * self.topk).saturating_sub(self.batch * self.cached);
        let bytes = self.bytes() - (twice * self.token_bytes()) as f64;
        Work { flop: self.flop(), bytes }
    }

    /// The FP8 format for queries of these dimensions; that of FP8 math, if it is asked for, which the library refuses.
    pub const fn format(&self) -> Fp8Format {
        match self.cache {
            Cache::Fp8Math => Fp8Format::Planar644,
            _ if self.d_qk == 512 => Fp8Format::Paged584,
            _ => Fp8Format::Token656,
        }
    }

    /// The dense decode of as many query tokens that each see `topk` tokens of their own.
    pub const fn dense(&self, seed: u64) -> DenseCase {
        DenseCase {
            batch: self.tokens() as u32,
            heads: self.heads as u32,
            kv_heads: 1,
            s_q: 1,
            seq_len: self.topk as u32,
            distribution: Distribution::Fixed,
            dtype: DType::Bf16,
            cache: Cache::Elements,
            block_size: BLOCK_SIZE,
            causal: false,
            window: None,
            softcap: None,
            seed,
        }
    }

    /// As the baselines write a decode: `sdec_b2_sq2_h128_sk32768_top2048`, and what they have not measured.
    pub fn decode_name(&self) -> String {
        let Self { batch, s_q, heads, d_qk, cached, topk, .. } = self;
        let width = if *d_qk == 576 { "" } else { "d512_" };
        let cache = if self.cache == Cache::Fp8 { "" } else { "_bf16" };
        format!("sdec_{width}b{batch}_sq{s_q}_h{heads}_sk{cached}_top{topk}{cache}")
    }

    /// As the baselines write a prefill: `spre_d576_h128_sq4096_skv8192_top2048`.
    pub fn prefill_name(&self) -> String {
        let Self { s_q, heads, d_qk, cached, topk, .. } = self;
        format!("spre_d{d_qk}_h{heads}_sq{s_q}_skv{cached}_top{topk}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FlashMLA's row: 3516.7 µs are 664 TFLOP/s and 3,072 GB/s.
    #[test]
    fn work_is_counted_as_the_baselines_count() {
        let case = PREFILL[0];
        assert_eq!(case.prefill_name(), "spre_d576_h128_sq4096_skv8192_top2048");
        assert_eq!((case.flop() / 3516.7e6).round(), 664.0);
        assert_eq!((case.bytes() / 3516.7e3).round(), 3072.0);
        // 4,096 · 128 rows of 2,176 bytes, and 8,192 tokens of 1,152.
        assert_eq!(case.work().bytes, 524_288.0 * 2176.0 + 8192.0 * 1152.0);
        let case = Case { cache: Cache::Fp8, ..DECODE[2] };
        assert_eq!(case.work().bytes, case.bytes());
        assert_eq!(case.decode_name(), "sdec_b128_sq2_h128_sk32768_top2048");
        assert_eq!((case.bytes() / 364.2e3).round(), 1140.0);
        let case = Case { cache: Cache::Fp8, ..DECODE[6] };
        assert_eq!(case.decode_name(), "sdec_d512_b2_sq2_h128_sk32768_top2048");
        let case = PREFILL[3];
        assert_eq!((case.flop() / 1912.2e6).round(), 575.0);
        assert_eq!(DECODE[0].decode_name(), "sdec_b2_sq2_h128_sk32768_top2048_bf16");
        assert_eq!((DECODE[2].flop() / 364.2e6).round(), 401.0);
    }
}
