//! Special registers.

pub use oxmla_simt::special::{clock, cta_x, cta_y, grid_x, lane, thread_index, warp};
