//! Dependent launches.

pub use oxmla_simt::grid::{launch_dependents, wait};
