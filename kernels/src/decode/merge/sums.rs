//! Weighted sums of partial results.

use seq_macro::seq;

use crate::attention::sink;
use crate::ptx::{math, shared};
use crate::tile::element::Element;

/// Below every real LSE, and finite: the difference of two of them is 0, not NaN.
const NO_REFERENCE: f32 = -1.0e30;

/// Weighted sums of pieces, of `N` units.
pub struct Sums<const N: usize> {
    /// What weights are relative to, in powers of two: the largest LSE so far.
    reference: [f32; 2],
    /// Sum of the weights.
    weight: [f32; 2],
    /// `[unit][row][column]`: two columns of one chunk, two of the next.
    pub values: [[[f32; 4]; 2]; N],
}

impl<const N: usize> Sums<N> {
    /// Of nothing.
    #[inline(always)]
    pub fn new() -> Self {
        let values = [[[0.0; 4]; 2]; N];
        Self { reference: [NO_REFERENCE; 2], weight: [0.0; 2], values }
    }

    /// Adds pieces, one after the other, relative to the largest LSE among them and those before. `words` are
    /// as [`crate::attention::epilogue::partial_pair`] has them.
    #[inline(always)]
    pub fn add_pieces<E: Element, const PIECES: usize>(
        &mut self,
        lse: &[[f32; 2]; PIECES],
        words: &[[[u32; 4]; N]; PIECES],
    ) {
        seq!(R in 0..2 {
            let mut reference = self.reference[R];
            seq!(I in 0..8 {
                if I < PIECES {
                    reference = math::max(reference, lse[I % PIECES][R]);
                }
            });
            self.rescale::<R>(reference);
            seq!(I in 0..8 {
                if I < PIECES {
                    let weight = math::exp2(lse[I % PIECES][R] - reference);
                    self.weight[R] += weight;
                    seq!(U in 0..4 {
                        if U < N {
                            let words = &words[I % PIECES][U % N];
                            let ([a, b], [c, d]) = (E::unpack(words[R]), E::unpack(words[R + 2]));
                            add_weighted(&mut self.values[U % N][R], weight, [a, b, c, d]);
                        }
                    });
                }
            });
        });
    }

    /// Adds other sums.
    #[inline(always)]
    pub fn add(&mut self, other: &Self) {
        seq!(R in 0..2 {
            let reference = math::max(self.reference[R], other.reference[R]);
            self.rescale::<R>(reference);
            let factor = math::exp2(other.reference[R] - reference);
            self.weight[R] = math::fma(factor, other.weight[R], self.weight[R]);
            seq!(U in 0..4 {
                if U < N {
                    add_weighted(&mut self.values[U % N][R], factor, other.values[U % N][R]);
                }
            });
        });
    }

    #[inline(always)]
    fn rescale<const ROW: usize>(&mut self, reference: f32) {
        let factor = math::exp2(self.reference[ROW] - reference);
        self.reference[ROW] = reference;
        self.weight[ROW] *= factor;
        seq!(U in 0..4 {
            if U < N {
                self.values[U % N][ROW] = self.values[U % N][ROW].map(|sum| sum * factor);
            }
        });
    }

    /// By what to multiply the values, beside scores that have none, and log2 of the sum of all weights: 0 and −∞ for a
    /// row that saw no token.
    #[inline(always)]
    pub fn finish(&self, sinks: Option<[f32; 2]>) -> ([f32; 2], [f32; 2]) {
        let (mut factor, mut log2_sum) = ([0.0; 2], [0.0; 2]);
        seq!(R in 0..2 {
            let weight = self.weight[R];
            factor[R] = sink::normaliser(weight, self.reference[R], sinks.map(|sinks| sinks[R]));
            log2_sum[R] = self.reference[R] + math::log2(weight);
        });
        (factor, log2_sum)
    }
}

#[inline(always)]
fn add_weighted(sums: &mut [f32; 4], weight: f32, values: [f32; 4]) {
    seq!(I in 0..4 { sums[I] = math::fma(weight, values[I], sums[I]); });
}

impl Sums<1> {
    /// Hands the sums to the team, each number 32 lanes after the other.
    #[inline(always)]
    pub unsafe fn store(&self, at: u32) {
        let Self { reference: [a, b], weight: [c, d], values: [[upper, lower]] } = *self;
        let ([e, f, g, h], [i, j, k, l]) = (upper, lower);
        let words = [a, b, c, d, e, f, g, h, i, j, k, l];
        // SAFETY: the caller's promise.
        seq!(I in 0..12 { unsafe { shared::store_f32(at + I * 32 * 4, words[I]) }; });
    }

    /// Takes what [`Self::store`] has handed over.
    #[inline(always)]
    pub unsafe fn load(at: u32) -> Self {
        // SAFETY: the caller's promise.
        let word = |i: u32| unsafe { shared::load_f32(at + i * 32 * 4) };
        let [a, b, c, d] = [0, 1, 2, 3].map(word);
        let values = [[[4, 5, 6, 7].map(word), [8, 9, 10, 11].map(word)]];
        Self { reference: [a, b], weight: [c, d], values }
    }
}
