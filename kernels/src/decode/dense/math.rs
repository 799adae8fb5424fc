//! What is multiplied, and what the products stand for.

use core::marker::PhantomData;

use crate::attention::rows::Tile;
use crate::attention::softmax::OnlineSoftmax;
use crate::decode::header::Header;
use crate::tile::element::Element;

/// Types of the tiles of Q, K and P, and what brings products of them to where softmax and output want them.
pub trait Math {
    /// Of the latent tiles of Q and K, which are also V, and of P.
    type Latent: Element;
    /// Of the rotary tiles of Q and K.
    type Rope: Element;
    /// Of queries and output in global memory.
    type Out: Element;

    /// Before the first piece of `tile`.
    fn new(tile: &Tile) -> Self;

    /// The softmax of a piece. Whether the largest scores are wanted is a constant.
    fn softmax(wants_maxima: bool) -> OnlineSoftmax;

    /// Begins a piece: makes the tiles of Q that have landed what is to be multiplied.
    ///
    /// # Safety
    /// The left warpgroup calls it, converged, and nobody else looks at Q.
    unsafe fn begin(&mut self, shared: u32);

    /// By what products of the block of `header`, in the two rows of this thread, are to be multiplied, to be `scale` times
    /// those of Q and K.
    fn scales(&self, header: &Header, scale: f32) -> [f32; 2];

    /// By what to multiply the results of the blocks before that of `header`, which softmax wants to be multiplied by
    /// `factors`.
    fn rescale(&self, header: &Header, factors: [f32; 2]) -> [f32; 2];

    /// By what to multiply the results at the end of a piece, whose last block is that of `header`, and which softmax wants to
    /// be multiplied by `normaliser`.
    fn finish(&self, header: &Header, normaliser: [f32; 2]) -> [f32; 2];
}

/// Tiles as they are in global memory.
pub struct AsCached<E>(PhantomData<E>);

impl<E: Element> Math for AsCached<E> {
    type Latent = E;
    type Rope = E;
    type Out = E;

    #[inline(always)]
    fn new(_tile: &Tile) -> Self {
        Self(PhantomData)
    }

    #[inline(always)]
    fn softmax(wants_maxima: bool) -> OnlineSoftmax {
        OnlineSoftmax::new(wants_maxima)
    }

    #[inline(always)]
    unsafe fn begin(&mut self, _shared: u32) {}

    #[inline(always)]
    fn scales(&self, _header: &Header, scale: f32) -> [f32; 2] {
        [scale; 2]
    }

    #[inline(always)]
    fn rescale(&self, _header: &Header, factors: [f32; 2]) -> [f32; 2] {
        factors
    }

    #[inline(always)]
    fn finish(&self, _header: &Header, normaliser: [f32; 2]) -> [f32; 2] {
        normaliser
    }
}
