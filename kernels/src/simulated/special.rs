//! Special registers.

pub use oxmla_simt::special::{cta_x, cta_y, lane, thread_index, warp};
