//! Results against the reference.
//!
//! An element passes if its error is below an absolute bound, or below a relative one; infinities and NaN
//! must be in the same places. Beside that the whole tensor must point in the same direction:
//! `1 − 2⟨a, r⟩ / (‖a‖² + ‖r‖²)` below a bound of its own, which small errors of one sign cannot pass.

use oxmla::DType;

/// How far results may be from the reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Absolute.
    pub abs: f64,
    /// Relative.
    pub rel: f64,
    /// Cosine distance, if that is asked of the tensor.
    pub cosine: f64,
}

/// Of outputs: two units of a bf16's last place, and the rounding of probabilities.
pub const OUT: Tolerance = Tolerance { abs: 8e-4, rel: 2.01 / 128.0, cosine: 5e-6 };
/// Of each row of outputs. Rounding, of probabilities and of the row itself, leaves 4e-6; one cached token that is
/// missed among 4,096 makes 1.2e-4, far less than the bounds on elements let through.
pub const OUT_ROW: Tolerance = Tolerance { abs: f64::INFINITY, rel: f64::INFINITY, cosine: 2e-5 };
/// Of LSE, whose direction means nothing.
pub const LSE: Tolerance = Tolerance { abs: 1e-6, rel: 8.01 / 65_536.0, cosine: f64::INFINITY };

/// Largest relative error of `tanh.approx`, by the PTX ISA.
const TANH_ERROR: f64 = 1.0 / 2048.0;
/// Largest relative errors of rounding to f16 and to bf16.
const F16_ROUNDING: f64 = 1.0 / 2048.0;
const BF16_ROUNDING: f64 = 1.0 / 256.0;

impl Tolerance {
    /// The same where scores are capped: they are then off by up to `cap` · 2^−11, and so is the LSE;
    /// probabilities by twice as much of themselves, for their sum is off, too. Elements are about 1.
    #[must_use]
    pub fn capped(self, cap: f64) -> Self {
        let off = 2.0 * cap * TANH_ERROR;
        Self { abs: self.abs + off, rel: self.rel, cosine: self.cosine + off * off }
    }

    /// The same for LSE over an FP8 cache, with scores of products of `width` elements multiplied by `scale`. What a code
    /// stands for is rounded to f16 twice, scale and product, and once to `dtype` in the reference: off by less than the
    /// mean square of each, a third of the largest. Elements of queries and keys are about 0.1. The errors of a score add up
    /// like steps of a random walk, and six standard deviations of that are let through; the mean over the tokens of an
    /// LSE is off by less.
    #[must_use]
    pub fn over_fp8(self, dtype: DType, width: usize, scale: f64) -> Self {
        let reference = if dtype == DType::F16 { F16_ROUNDING } else { BF16_ROUNDING };
        let element = ((2.0 * F16_ROUNDING.powi(2) + reference.powi(2)) / 3.0).sqrt();
        let score = scale * (width as f64).sqrt() * 0.1 * 0.1 * element;
        Self { abs: self.abs + 6.0 * score, ..self }
    }
}

/// A comparison, element by element.
#[derive(Clone, Debug)]
pub struct Comparison {
    tolerance: Tolerance,
    worst: f64,
    dot: f64,
    norms: f64,
    failed: usize,
    first_failure: Option<String>,
}

impl Comparison {
    /// Nothing compared yet.
    #[must_use]
    pub const fn new(tolerance: Tolerance) -> Self {
        Self { tolerance, worst: 0.0, dot: 0.0, norms: 0.0, failed: 0, first_failure: None }
    }

    /// Compares an element; `place` names it, should it fail.
    pub fn add(&mut self, actual: f64, reference: f64, place: impl FnOnce() -> String) {
        let share = self.share_of_tolerance(actual, reference);
        self.worst = self.worst.max(share);
        if actual.is_finite() && reference.is_finite() {
            self.dot += actual * reference;
            self.norms += actual * actual + reference * reference;
        }
        if share >= 1.0 {
            self.failed += 1;
            self.first_failure
                .get_or_insert_with(|| format!("{}: {actual} instead of {reference}", place()));
        }
    }

    /// Error of an element as a share of what is allowed; 1 and more fails.
    fn share_of_tolerance(&self, actual: f64, reference: f64) -> f64 {
        if actual.is_finite() && reference.is_finite() {
            let error = (actual - reference).abs();
            let relative = if error == 0.0 { 0.0 } else { error / reference.abs() };
            return (error / self.tolerance.abs).min(relative / self.tolerance.rel);
        }
        let same = actual == reference || (actual.is_nan() && reference.is_nan());
        if same { 0.0 } else { f64::INFINITY }
    }

    /// Largest error of an element, as a share of what is allowed.
    #[must_use]
    pub const fn worst(&self) -> f64 {
        self.worst
    }

    /// Cosine distance of all elements.
    #[must_use]
    pub fn cosine(&self) -> f64 {
        if self.norms == 0.0 { 0.0 } else { 1.0 - 2.0 * self.dot / self.norms }
    }

    /// Whether everything is within the tolerance; if not, what is not.
    ///
    /// # Errors
    /// Words for people.
    pub fn verdict(&self) -> Result<(), String> {
        if let Some(first) = &self.first_failure {
            return Err(format!("{} elements are wrong, the first of them {first}", self.failed));
        }
        let (cosine, bound) = (self.cosine(), self.tolerance.cosine);
        if cosine >= bound {
            return Err(format!("the cosine distance is {cosine:e}, not below {bound:e}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(tolerance: Tolerance, pairs: &[(f64, f64)]) -> Result<(), String> {
        let mut comparison = Comparison::new(tolerance);
        for &(actual, reference) in pairs {
            comparison.add(actual, reference, || "here".into());
        }
        comparison.verdict()
    }

    #[test]
    fn one_bound_is_enough() {
        assert_eq!(verdict(OUT, &[(1.0, 1.0), (0.0, 0.0), (7e-4, 0.0), (-7e-4, 0.0)]), Ok(()));
        assert_eq!(verdict(OUT, &[(1.0, 1.0), (100.0, 100.1), (100.0, 99.9)]), Ok(()));
        assert!(verdict(OUT, &[(1.0, 1.0), (9e-4, 0.0)]).is_err());
        assert!(verdict(OUT, &[(1.02, 1.0)]).is_err());
        assert!(verdict(LSE, &[(5.0, 5.001)]).is_err());
    }

    #[test]
    fn what_is_not_finite_must_be_the_same() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        assert_eq!(verdict(LSE, &[(inf, inf), (-inf, -inf), (nan, nan)]), Ok(()));
        for pair in [(inf, -inf), (nan, inf), (nan, 0.0), (0.0, nan), (0.0, -inf), (inf, 0.0)] {
            assert!(verdict(LSE, &[pair]).is_err(), "{pair:?}");
        }
    }

    /// A score of −0.0020158, rounded; and with a key in which one group of 128 has a scale 3 % too large.
    #[test]
    fn scores_over_fp8_may_be_rounded_but_not_wrong() {
        for (dtype, rounded) in [(DType::F16, 3e-6), (DType::Bf16, 2e-5)] {
            let tolerance = LSE.over_fp8(dtype, 576, 1.0 / 24.0);
            assert!(verdict(LSE, &[(-0.0020158 + rounded, -0.0020158)]).is_err());
            assert_eq!(verdict(tolerance, &[(-0.0020158 + rounded, -0.0020158)]), Ok(()));
            assert!(verdict(tolerance, &[(-0.0020158 + 1.5e-4, -0.0020158)]).is_err());
        }
    }

    /// Each element is within its bound, but all are too large.
    #[test]
    fn a_common_factor_is_found() {
        assert!(verdict(OUT, &[(0.1014, 0.1); 100]).is_err());
        assert_eq!(verdict(OUT, &[(0.1014, 0.1), (-0.0986, -0.1), (10.0, 10.0)]), Ok(()));
    }
}
