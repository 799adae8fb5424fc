//! What a call has to do at least, whatever kernel does it.

use serde::Deserialize;

/// Floating-point operations and bytes of memory traffic.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Work {
    /// `h_q · s_q · (2·576 + 2·512)` per cached token: scores, and their product with the values. A causal
    /// mask counts as none.
    pub flop: f64,
    /// Queries, cached rows and outputs, each once, at two bytes an element.
    pub bytes: f64,
}

impl Work {
    /// The work of `batch` requests with `tokens` cached tokens in all.
    pub fn of_decode(batch: usize, s_q: usize, h_q: u32, h_k: u32, tokens: usize) -> Self {
        const D_QK: f64 = 576.0;
        const D_V: f64 = 512.0;
        const ELEMENT: f64 = 2.0;
        let (tokens, h_q, h_k) = (tokens as f64, f64::from(h_q), f64::from(h_k));
        let query_rows = batch as f64 * s_q as f64 * h_q;
        Self {
            flop: h_q * s_q as f64 * (2.0 * D_QK + 2.0 * D_V) * tokens,
            bytes: (query_rows * (D_QK + D_V) + tokens * h_k * D_QK) * ELEMENT,
        }
    }

    /// 10¹² FLOP per second of a call that takes `us` microseconds.
    pub fn tflops(&self, us: f64) -> f64 {
        self.flop / us * 1e-6
    }

    /// 10⁹ bytes per second of a call that takes `us` microseconds.
    pub fn gbps(&self, us: f64) -> f64 {
        self.bytes / us * 1e-3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows of the baselines: 128 requests of 4,116.9 tokens on average, one query token, 128 heads.
    #[test]
    fn agrees_with_the_baselines() {
        let tokens = (4116.8828125 * 128.0) as usize;
        let work = Work::of_decode(128, 1, 128, 1, tokens);
        assert_eq!((work.flop, work.bytes), (146_773_393_408.0, 642_710_656.0));
        assert!((work.tflops(275.0563) - 533.612).abs() < 0.01);
        assert!((work.gbps(275.0563) - 2336.65).abs() < 0.01);
    }

    #[test]
    fn each_kv_head_is_read() {
        let one = Work::of_decode(1, 1, 8, 1, 1000);
        let four = Work::of_decode(1, 1, 8, 4, 1000);
        assert_eq!(one.flop, four.flop);
        assert_eq!(four.bytes - one.bytes, 3.0 * 1000.0 * 576.0 * 2.0);
    }
}
