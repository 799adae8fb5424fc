//! f16 tiles of an FP8 cache, and what brings products of them to where softmax and output want them.

use core::marker::PhantomData;

use super::queries;
use super::unit::Unit;
use crate::attention::rows::Tile;
use crate::attention::softmax::OnlineSoftmax;
use crate::decode::dense::math::Math;
use crate::decode::header::Header;
use crate::tile::element::{Element, F16};

/// Latent tiles in f16 that count in a [`Unit`], rotary tiles of type `E`, in the same unit. Queries of `D_QK` dimensions,
/// whose own units have their place in shared memory at `Q_UNITS`.
pub struct InUnits<E, const D_QK: u32, const Q_UNITS: u32> {
    /// Rows of Q that exist.
    rows: u32,
    /// What the two rows of this thread in Q count in.
    rows_units: [f32; 2],
    element: PhantomData<E>,
}

impl<E: Element, const D_QK: u32, const Q_UNITS: u32> Math for InUnits<E, D_QK, Q_UNITS> {
    type Latent = F16;
    type Rope = E;
    type Out = E;

    #[inline(always)]
    fn new(tile: &Tile) -> Self {
        Self { rows: tile.count(), rows_units: [1.0; 2], element: PhantomData }
    }

    #[inline(always)]
    fn softmax(wants_maxima: bool) -> OnlineSoftmax {
        OnlineSoftmax::for_f16(wants_maxima)
    }

    #[inline(always)]
    unsafe fn begin(&mut self, shared: u32) {
        if E::IS_BF16 {
            // SAFETY: the caller's promise.
            self.rows_units = unsafe { queries::convert::<D_QK, Q_UNITS>(self.rows, shared) };
        }
    }

    #[inline(always)]
    fn scales(&self, header: &Header, scale: f32) -> [f32; 2] {
        let unit = Unit::of(header).value();
        // Neither 0 nor infinite: hidden scores are −∞, and scores of nothing are 0.
        self.rows_units.map(|row| (row * scale * unit).clamp(f32::MIN_POSITIVE, f32::MAX))
    }

    #[inline(always)]
    fn rescale(&self, header: &Header, factors: [f32; 2]) -> [f32; 2] {
        let moved = Unit::moved(header);
        factors.map(|factor| factor * moved)
    }

    #[inline(always)]
    fn finish(&self, header: &Header, normaliser: [f32; 2]) -> [f32; 2] {
        let unit = Unit::of(header).value();
        normaliser.map(|factor| factor * unit)
    }
}
