//! f16 tiles of an FP8 cache, and what brings products of them to where softmax and output want them.

use core::marker::PhantomData;

use super::queries;
use super::unit::Unit;
use crate::abi::DenseDecodeParams;
use crate::attention::rows::Tile;
use crate::attention::softmax::OnlineSoftmax;
use crate::decode::dense::math::Math;
use crate::decode::header::Header;
use crate::tile::element::{Element, F16};

/// Latent tiles in f16 that count in a [`Unit`], rotary tiles of type `E`, in the same unit.
pub struct InUnits<E> {
    /// Rows of Q that exist.
    rows: u32,
    /// By what to multiply scores in the two rows of this thread, but for the unit of the block.
    scales: [f32; 2],
    /// That of the current block; 0 before the first, when there are no results.
    unit: f32,
    /// By what results of earlier blocks come into it.
    moved: f32,
    element: PhantomData<E>,
}

impl<E: Element> Math for InUnits<E> {
    type Latent = F16;
    type Rope = E;
    type Out = E;

    #[inline(always)]
    fn new(tile: &Tile) -> Self {
        Self { rows: tile.count(), scales: [1.0; 2], unit: 0.0, moved: 0.0, element: PhantomData }
    }

    #[inline(always)]
    fn softmax() -> OnlineSoftmax {
        OnlineSoftmax::for_f16()
    }

    #[inline(always)]
    unsafe fn begin(&mut self, params: &DenseDecodeParams, shared: u32) {
        self.unit = 0.0;
        self.scales = [params.scale_log2; 2];
        if E::IS_BF16 {
            // SAFETY: the caller's promise.
            let units = unsafe { queries::convert(self.rows, shared) };
            self.scales = units.map(|unit| unit * params.scale_log2);
        }
    }

    #[inline(always)]
    fn scales(&mut self, _params: &DenseDecodeParams, header: &Header) -> [f32; 2] {
        let unit = Unit::of(header);
        self.moved = self.unit * unit.inverse();
        self.unit = unit.value();
        // Neither 0 nor infinite: hidden scores are −∞, and scores of nothing are 0.
        self.scales.map(|scale| (scale * self.unit).clamp(f32::MIN_POSITIVE, f32::MAX))
    }

    #[inline(always)]
    fn rescale(&self, factors: [f32; 2]) -> [f32; 2] {
        factors.map(|factor| factor * self.moved)
    }

    #[inline(always)]
    fn finish(&self, normaliser: [f32; 2]) -> [f32; 2] {
        normaliser.map(|factor| factor * self.unit)
    }
}
