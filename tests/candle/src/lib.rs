//! candle-transformers' DeepSeek-V2 beside the same model with oxmla's attention: one set of random weights, two
//! implementations, the logits of both. Neither was written with a look at the other.

mod attention;
mod compare;
mod model;
mod tensors;
mod weights;

pub use compare::{Outcome, compare};
