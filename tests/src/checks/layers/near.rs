//! How far a layer may be from the CPU's.
//!
//! The CPU keeps what is between operations in f32; a GPU rounds it. A rounding to nearest is off by 0.41 of the half
//! unit of 1, rms, relative to the rms of what is rounded: by a uniform error of up to half a unit, whose rms is
//! 1 / √3 of that, of mantissas between 1 and 2, whose rms is 1.44 or so. Products with random weights leave such a
//! share of the whole as it is. Errors of scores come out times their deviation, which is below 2, since that is what
//! the derivative of the softmax makes of them. So the variances of these roundings add up, in units of one:
//!
//! | | GPU | CPU | share |
//! |---|---|---|---|
//! | compressed queries, normalised, expanded | 3 | | 3 · 2² |
//! | absorbed queries | 1 | 1 | 2 · 2² |
//! | rows for the cache, as projected and as cached: in scores and as values | 2 | 2 | 4 · (2² + 1) |
//! | probabilities | 1 | | 1 |
//! | attention's output | 1 | 1 | 2 |
//! | values, output | 2 | 1 | 3 |

use anyhow::{Result, ensure};
use oxmla::DType;

use crate::element::widen;

/// Sum of the shares.
const ROUNDINGS: f64 = 12.0 + 8.0 + 20.0 + 1.0 + 2.0 + 3.0;
/// Deviations that the furthest of a million normal numbers is off, and half as much again.
const FURTHEST: f64 = 7.5;

/// What is allowed, rms, as a share of the rms of what is expected.
fn tolerance(dtype: DType) -> f64 {
    let half_unit = if dtype == DType::F16 { 2f64.powi(-11) } else { 2f64.powi(-8) };
    0.41 * half_unit * ROUNDINGS.sqrt()
}

/// Refuses numbers that are further from those expected than roundings explain; NaN stays NaN. The share of the
/// tolerance that was needed.
pub fn ensure_near(dtype: DType, got: &[u16], expected: &[u16], name: &str) -> Result<f64> {
    ensure!(got.len() == expected.len(), "{name}: {} elements", got.len());
    let values = |bits: &[u16]| {
        let mut values = vec![0.0; bits.len()];
        widen(dtype, bits, &mut values);
        values
    };
    let (mut errors, mut squares, mut furthest, mut count) = (0.0, 0.0, 0.0, 0);
    for (index, (got, expected)) in values(got).into_iter().zip(values(expected)).enumerate() {
        ensure!(
            got.is_finite() == expected.is_finite(),
            "{name}: element {index} is {got}, not {expected}"
        );
        if expected.is_finite() {
            let error = f64::from(got) - f64::from(expected);
            errors += error * error;
            squares += f64::from(expected) * f64::from(expected);
            furthest = error.abs().max(furthest);
            count += 1;
        }
    }
    ensure!(count > 0 && squares > 0.0, "{name}: nothing to compare");
    let rms = (squares / f64::from(count)).sqrt();
    let share = (errors / squares).sqrt() / tolerance(dtype);
    ensure!(share <= 1.0, "{name}: off by {share:.2} of the tolerance, rms");
    let worst = furthest / rms / (FURTHEST * tolerance(dtype));
    ensure!(worst <= 1.0, "{name}: an element is off by {worst:.2} of the tolerance");
    Ok(share.max(worst))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::layers::model::random;

    #[test]
    fn roundings_pass_and_mistakes_do_not() -> Result<()> {
        for dtype in [DType::Bf16, DType::F16] {
            let expected = random(dtype, 10_000, 1.0, 1);
            ensure_near(dtype, &expected, &expected, "the same")?;
            let mut got = expected.clone();
            got.iter_mut().step_by(2).for_each(|bits| *bits += 1);
            ensure_near(dtype, &got, &expected, "every other is off by a unit")?;
            got.iter_mut().for_each(|bits| *bits += 4);
            assert!(ensure_near(dtype, &got, &expected, "all are off by more").is_err());
            let mut one = expected.clone();
            one[5000] ^= 0x8000;
            one[5000] |= 0x0100;
            assert!(ensure_near(dtype, &one, &expected, "one has another sign").is_err());
            one[5000] = 0x7fff;
            assert!(ensure_near(dtype, &one, &expected, "one is NaN").is_err());
        }
        Ok(())
    }
}
