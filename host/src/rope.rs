//! Rotary position embedding: angles, their table, and what YaRN changes in the softmax scale.

use std::f64::consts::TAU;

use oxmla_kernels::decode::dense::config::D_ROPE;

use crate::error::{Error, Result};

/// Pairs of elements that a rotation turns: 32 of the 64 rotary dimensions.
pub const ROPE_PAIRS: usize = D_ROPE as usize / 2;

/// YaRN: positions beyond those that a model was trained on, by turning the slow pairs more slowly. The fields
/// are those of `rope_scaling` in a checkpoint's `config.json`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// By what the context grows: 40 for DeepSeek-V3.
    pub factor: f64,
    /// Positions of the first training: 4,096.
    pub original_max_position_embeddings: f64,
    /// A pair that turns at least so often within the first training keeps its speed: 32.
    pub beta_fast: f64,
    /// A pair that turns at most so often within the first training turns `factor` times slower: 1.
    pub beta_slow: f64,
    /// Weight of the factor of cosines and sines: 1.
    pub mscale: f64,
    /// Weight of the factor of the softmax scale, by which that of cosines and sines is divided: 1; 0 where
    /// the checkpoint has none.
    pub mscale_all_dim: f64,
}

/// The rotary embedding of a model: element pairs `(2 i, 2 i + 1)` of a token's 64 rotary dimensions turn by its
/// position times the frequency of pair `i`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    theta: f64,
    yarn: Option<Yarn>,
}

impl Rope {
    /// The embedding with base `theta` (`rope_theta`), stretched by `yarn`.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] names the field that makes no sense.
    pub fn new(theta: f64, yarn: Option<Yarn>) -> Result<Self> {
        check("rope_theta", "finite and greater than 1", theta, theta > 1.0)?;
        if let Some(yarn) = &yarn {
            yarn.check()?;
        }
        Ok(Self { theta, yarn })
    }

    /// Radians per position of each pair.
    #[must_use]
    pub fn frequencies(&self) -> [f64; ROPE_PAIRS] {
        std::array::from_fn(|pair| {
            let plain = self.theta.powf(-(pair as f64) / ROPE_PAIRS as f64);
            self.yarn.map_or(plain, |yarn| plain * yarn.slowdown(pair, self.theta))
        })
    }

    /// Cosine and sine of every pair at positions `0..positions`, as the kernels read them:
    /// `[positions, 32, 2] f32`. Angles are taken in f64, so that late positions are as exact as early ones.
    #[must_use]
    pub fn table(&self, positions: usize) -> Vec<f32> {
        let (frequencies, amplitude) = (self.frequencies(), self.amplitude());
        let turn = |position: usize, frequency: f64| {
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            [(amplitude * cos) as f32, (amplitude * sin) as f32]
        };
        (0..positions)
            .flat_map(|position| frequencies.map(|frequency| turn(position, frequency)))
            .flatten()
            .collect()
    }

    /// By what the table's cosines and sines are multiplied: 1 without YaRN, and for DeepSeek-V3.
    #[must_use]
    pub fn amplitude(&self) -> f64 {
        self.yarn.map_or(1.0, |yarn| yarn.gain(yarn.mscale) / yarn.gain(yarn.mscale_all_dim))
    }

    /// The softmax scale of heads of `d_qk` dimensions before absorption (192 for DeepSeek-V3):
    /// `1 / sqrt(d_qk)`, times the square of YaRN's factor.
    #[must_use]
    pub fn softmax_scale(&self, d_qk: usize) -> f32 {
        let gain = self.yarn.map_or(1.0, |yarn| yarn.gain(yarn.mscale_all_dim));
        (gain * gain / (d_qk as f64).sqrt()) as f32
    }
}

impl Yarn {
    /// YaRN as DeepSeek-V3 and R1 use it.
    #[must_use]
    pub const fn deepseek_v3() -> Self {
        Self {
            factor: 40.0,
            original_max_position_embeddings: 4096.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            mscale: 1.0,
            mscale_all_dim: 1.0,
        }
    }

    /// By what the frequency of `pair` is multiplied: 1 for fast pairs, `1 / factor` for slow ones, in between
    /// for those between.
    fn slowdown(&self, pair: usize, theta: f64) -> f64 {
        let last = f64::from(D_ROPE - 1);
        let first_slowed = self.pair_with_turns(self.beta_fast, theta).floor().max(0.0);
        let last_kept = self.pair_with_turns(self.beta_slow, theta).ceil().min(last);
        // The ramp must have a slope where both ends fall together.
        let ramp = (last_kept - first_slowed).max(1e-3);
        let slowed = ((pair as f64 - first_slowed) / ramp).clamp(0.0, 1.0);
        slowed / self.factor + (1.0 - slowed)
    }

    /// The pair, as a fraction, that turns `turns` times within the first training.
    fn pair_with_turns(&self, turns: f64, theta: f64) -> f64 {
        let positions_per_radian = self.original_max_position_embeddings / (turns * TAU);
        ROPE_PAIRS as f64 * positions_per_radian.ln() / theta.ln()
    }

    /// The attention factor of a longer context: `0.1 · weight · ln(factor) + 1`.
    fn gain(&self, weight: f64) -> f64 {
        0.1 * weight * self.factor.ln() + 1.0
    }

    fn check(&self) -> Result<()> {
        let positive = "finite and greater than 0";
        let not_negative = "finite and at least 0";
        let Self { factor, beta_fast, beta_slow, mscale, mscale_all_dim, .. } = *self;
        let original = self.original_max_position_embeddings;
        check("factor", "finite and at least 1", factor, factor >= 1.0)?;
        check("original_max_position_embeddings", positive, original, original > 0.0)?;
        check("beta_slow", positive, beta_slow, beta_slow > 0.0)?;
        check("beta_fast", "finite and at least `beta_slow`", beta_fast, beta_fast >= beta_slow)?;
        check("mscale", not_negative, mscale, mscale >= 0.0)?;
        check("mscale_all_dim", not_negative, mscale_all_dim, mscale_all_dim >= 0.0)
    }
}

fn check(arg: &'static str, expected: &'static str, got: f64, holds: bool) -> Result<()> {
    if got.is_finite() && holds {
        return Ok(());
    }
    Err(Error::InvalidNumber { arg, expected, got })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deepseek_v3() -> Rope {
        Rope::new(10_000.0, Some(Yarn::deepseek_v3())).unwrap()
    }

    #[test]
    fn plain_frequencies_are_a_geometric_sequence() {
        let frequencies = Rope::new(10_000.0, None).unwrap().frequencies();
        assert_eq!(frequencies[0], 1.0);
        assert!((frequencies[16] - 0.01).abs() < 1e-15);
        assert!((frequencies[31] - 1.333_521_432_163_324e-4).abs() < 1e-15);
    }

    /// By hand: 4096 positions are 32 turns for pair 10.47 and one turn for pair 22.51, so the ramp runs from
    /// pair 10 to pair 23.
    #[test]
    fn yarn_slows_the_slow_pairs_down() {
        let plain = Rope::new(10_000.0, None).unwrap().frequencies();
        let stretched = deepseek_v3().frequencies();
        let ratio = |pair: usize| stretched[pair] / plain[pair];
        assert_eq!([0, 9, 10].map(ratio), [1.0; 3]);
        assert!((ratio(11) - (1.0 / 13.0 / 40.0 + 12.0 / 13.0)).abs() < 1e-12);
        assert!((ratio(22) - (12.0 / 13.0 / 40.0 + 1.0 / 13.0)).abs() < 1e-12);
        assert!([23, 31].map(ratio).iter().all(|ratio| (ratio - 1.0 / 40.0).abs() < 1e-12));
    }

    #[test]
    fn a_factor_of_1_changes_nothing() {
        let yarn = Yarn { factor: 1.0, ..Yarn::deepseek_v3() };
        let (with, without) = (Rope::new(1e4, Some(yarn)), Rope::new(1e4, None));
        let (with, without) = (with.unwrap(), without.unwrap());
        for (with, without) in with.frequencies().into_iter().zip(without.frequencies()) {
            assert!((with - without).abs() <= 1e-15 * without);
        }
        assert_eq!(with.table(3), without.table(3));
        assert_eq!(with.softmax_scale(192), without.softmax_scale(192));
    }

    #[test]
    fn the_table_has_cosine_and_sine_of_every_pair() {
        let table = Rope::new(10_000.0, None).unwrap().table(4);
        assert_eq!(table.len(), 4 * ROPE_PAIRS * 2);
        assert_eq!(table[..4], [1.0, 0.0, 1.0, 0.0]);
        let third = &table[3 * 2 * ROPE_PAIRS..];
        assert_eq!(third[..2], [3f64.cos() as f32, 3f64.sin() as f32]);
        assert_eq!(third[32..34], [0.03f64.cos() as f32, 0.03f64.sin() as f32]);
    }

    /// 0.1 ln 40 + 1 = 1.3688879…
    #[test]
    fn factors_of_yarn() {
        let squared = 1.368_887_945_411_394 * 1.368_887_945_411_394;
        let scale = deepseek_v3().softmax_scale(192);
        assert!((f64::from(scale) - squared / 192f64.sqrt()).abs() < 1e-8);
        assert_eq!(deepseek_v3().amplitude(), 1.0);
        let yarn = Yarn { mscale: 0.707, mscale_all_dim: 0.0, ..Yarn::deepseek_v3() };
        let rope = Rope::new(10_000.0, Some(yarn)).unwrap();
        assert!((rope.amplitude() - 1.260_803_777_405_856).abs() < 1e-12);
        assert_eq!(rope.softmax_scale(192), (1.0 / 192f64.sqrt()) as f32);
        assert!((rope.table(1)[0] - 1.260_803_8).abs() < 1e-6);
    }

    #[test]
    fn fields_without_sense_are_named() {
        let refused = |theta, yarn| match Rope::new(theta, yarn) {
            Err(Error::InvalidNumber { arg, .. }) => arg,
            other => panic!("{other:?}"),
        };
        let yarn = Yarn::deepseek_v3();
        assert_eq!(refused(1.0, None), "rope_theta");
        assert_eq!(refused(f64::NAN, None), "rope_theta");
        assert_eq!(refused(1e4, Some(Yarn { factor: 0.5, ..yarn })), "factor");
        assert_eq!(refused(1e4, Some(Yarn { beta_slow: 0.0, ..yarn })), "beta_slow");
        assert_eq!(refused(1e4, Some(Yarn { beta_fast: 0.5, ..yarn })), "beta_fast");
        assert_eq!(refused(1e4, Some(Yarn { mscale: f64::INFINITY, ..yarn })), "mscale");
        assert_eq!(refused(1e4, Some(Yarn { mscale_all_dim: -1.0, ..yarn })), "mscale_all_dim");
        let yarn = Yarn { original_max_position_embeddings: 0.0, ..yarn };
        assert_eq!(refused(1e4, Some(yarn)), "original_max_position_embeddings");
    }
}
