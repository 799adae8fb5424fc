//! Decode attention: few query tokens per request, against everything the request has cached.
//!
//! `schedule` divides the cached tokens among CTAs, `walk` follows it on the device; `dense` computes each
//! piece; `merge` brings the pieces of requests together that were split, at the end of the same kernel.

pub mod dense;
pub mod merge;
pub mod schedule;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(crate) mod walk;
