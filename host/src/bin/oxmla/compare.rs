//! Whether a result is near enough to its reference.

use std::fmt;

use oxmla::{DType, Device};

/// How far a result may be from its reference.
///
/// An element is near enough if its difference is below `absolute`, or below `relative` times the reference.
/// Infinities and NaN must be where the reference has them.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    absolute: f64,
    relative: f64,
    /// Bound of the cosine distance `1 − 2⟨a, r⟩ / (‖a‖² + ‖r‖²)` of the whole tensor.
    cosine: Option<f64>,
}

impl Tolerance {
    /// For outputs, which are bf16 or f16.
    pub const OUT: Self = Self { absolute: 8e-4, relative: 2.01 / 128.0, cosine: Some(5e-6) };
    /// For log-sum-exps, which are f32.
    pub const LSE: Self = Self { absolute: 1e-6, relative: 8.01 / 65536.0, cosine: None };

    /// For log-sum-exps over a cache of type `cache`, by `device`. What an FP8 code stands for is an f16 for the kernels,
    /// whose rounding, 1/2048 at most, is in the scores: a few times 10⁻⁴ where they are of the order of 1.
    pub fn of_lse(cache: DType, device: &Device) -> Self {
        match device {
            Device::Cpu(_) => Self::LSE,
            _ if cache == DType::U8 => Self { absolute: 1e-3, ..Self::LSE },
            _ => Self::LSE,
        }
    }

    fn accepts(&self, element: &Element) -> bool {
        let (got, expected) = (f64::from(element.got), f64::from(element.expected));
        if !got.is_finite() || !expected.is_finite() {
            return got == expected || (got.is_nan() && expected.is_nan());
        }
        let difference = (got - expected).abs();
        difference < self.absolute || difference < self.relative * expected.abs()
    }
}

/// One element of both tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Element {
    /// Position in the flattened tensors.
    pub index: usize,
    /// The result.
    pub got: f32,
    /// The reference.
    pub expected: f32,
}

impl Element {
    /// The difference; infinite where only one of the two is finite, and where infinities or NaN differ.
    fn difference(&self) -> f64 {
        if self.got == self.expected || (self.got.is_nan() && self.expected.is_nan()) {
            return 0.0;
        }
        let difference = (f64::from(self.got) - f64::from(self.expected)).abs();
        if difference.is_nan() { f64::INFINITY } else { difference }
    }
}

/// How a result compares with its reference.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Elements compared.
    pub elements: usize,
    /// Elements that are not near enough.
    pub failures: usize,
    /// The first of them.
    pub first_failure: Option<Element>,
    /// Largest difference.
    pub largest_difference: f64,
    /// Cosine distance over the elements that are finite in both.
    pub cosine_distance: f64,
    tolerance: Tolerance,
}

impl Comparison {
    /// Compares two tensors of one shape.
    pub fn new(got: &[f32], expected: &[f32], tolerance: Tolerance) -> Self {
        let elements = got.iter().zip(expected).enumerate();
        let elements = elements.map(|(index, (&got, &expected))| Element { index, got, expected });
        let mut comparison = Self {
            elements: 0,
            failures: 0,
            first_failure: None,
            largest_difference: 0.0,
            cosine_distance: 0.0,
            tolerance,
        };
        let (mut product, mut squares) = (0.0, 0.0);
        for element in elements {
            comparison.add(element);
            let (got, expected) = (f64::from(element.got), f64::from(element.expected));
            if got.is_finite() && expected.is_finite() {
                product += got * expected;
                squares += got * got + expected * expected;
            }
        }
        if squares > 0.0 {
            comparison.cosine_distance = 1.0 - 2.0 * product / squares;
        }
        comparison
    }

    /// Whether every element is near enough, and the tensor as a whole.
    pub fn passes(&self) -> bool {
        self.failures == 0 && self.tolerance.cosine.is_none_or(|bound| self.cosine_distance < bound)
    }

    /// Both comparisons as one, of elements of both; indices stay those of their own tensors.
    pub fn merge(&self, other: &Self) -> Self {
        Self {
            elements: self.elements + other.elements,
            failures: self.failures + other.failures,
            first_failure: self.first_failure.or(other.first_failure),
            largest_difference: self.largest_difference.max(other.largest_difference),
            cosine_distance: self.cosine_distance.max(other.cosine_distance),
            tolerance: self.tolerance,
        }
    }

    fn add(&mut self, element: Element) {
        self.elements += 1;
        self.largest_difference = self.largest_difference.max(element.difference());
        if !self.tolerance.accepts(&element) {
            self.failures += 1;
            self.first_failure.get_or_insert(element);
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "largest difference {:.2e}", self.largest_difference)?;
        if self.tolerance.cosine.is_some() {
            write!(f, ", cosine distance {:.1e}", self.cosine_distance)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f32 = f32::NAN;
    const INF: f32 = f32::INFINITY;

    fn passes(got: f32, expected: f32) -> bool {
        Comparison::new(&[got], &[expected], Tolerance { cosine: None, ..Tolerance::OUT }).passes()
    }

    #[test]
    fn small_differences_pass_and_larger_ones_fail() {
        assert!(passes(0.0, 7.9e-4));
        assert!(!passes(0.0, 8.1e-4));
        assert!(passes(1.0 + 2.0 / 128.0, 1.0));
        assert!(!passes(1.0 + 2.02 / 128.0, 1.0));
        assert!(!passes(-1.0, 1.0));
    }

    #[test]
    fn infinities_and_nan_must_be_in_their_places() {
        assert!(passes(INF, INF) && passes(-INF, -INF) && passes(NAN, NAN));
        for (got, expected) in
            [(INF, -INF), (INF, NAN), (NAN, INF), (NAN, 0.0), (0.0, NAN), (INF, 1.0), (1.0, -INF)]
        {
            assert!(!passes(got, expected), "{got} passed for {expected}");
        }
    }

    /// Ten elements in a row that are each half as large again, too small for the absolute bound to notice.
    #[test]
    fn the_cosine_distance_sees_what_single_elements_hide() {
        let expected = [1e-4; 10];
        let got = [1.5e-4; 10];
        let comparison = Comparison::new(&got, &expected, Tolerance::OUT);
        assert_eq!(comparison.failures, 0);
        assert!((comparison.cosine_distance - (1.0 - 3.0 / 3.25)).abs() < 1e-6);
        assert!(!comparison.passes());
    }

    #[test]
    fn nothing_but_zeros_is_no_distance() {
        assert!(Comparison::new(&[0.0; 4], &[0.0; 4], Tolerance::OUT).passes());
        assert!(Comparison::new(&[], &[], Tolerance::OUT).passes());
    }

    #[test]
    fn lse_is_held_to_f32() {
        let near = |got| Comparison::new(&[got], &[8.0], Tolerance::LSE).passes();
        assert!(near(8.0009) && !near(8.0011));
    }

    #[cfg(feature = "sim")]
    #[test]
    fn kernels_over_fp8_may_round_scores() {
        let near = |off, cache, device: &Device| {
            Comparison::new(&[off], &[0.0], Tolerance::of_lse(cache, device)).passes()
        };
        let (kernels, cpu) = (Device::simulator(), Device::cpu());
        assert!(near(9e-4, DType::U8, &kernels) && !near(1.1e-3, DType::U8, &kernels));
        assert!(!near(9e-4, DType::Bf16, &kernels) && !near(9e-4, DType::U8, &cpu));
    }

    #[test]
    fn the_first_failure_is_reported() {
        let comparison = Comparison::new(&[1.0, 3.0, NAN], &[1.0, 2.0, 0.0], Tolerance::OUT);
        let first = Element { index: 1, got: 3.0, expected: 2.0 };
        assert_eq!((comparison.failures, comparison.first_failure), (2, Some(first)));
        assert_eq!(comparison.largest_difference, f64::INFINITY);
    }
}
