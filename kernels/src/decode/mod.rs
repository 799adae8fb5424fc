//! Decode attention: few query tokens per request, against everything the request has cached.
//!
//! `schedule` divides the cached tokens among CTAs, `walk` follows it on the device; `dense` computes each
//! piece; `combine` merges the pieces of requests that were split.

pub mod combine;
pub mod dense;
pub mod schedule;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub(crate) mod walk;
