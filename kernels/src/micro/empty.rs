//! Kernels without work.

use crate::ptx::grid;

/// Lets the grid behind this one start, and waits for the one in front: the least that a chain of programmatic
/// dependent launches does.
#[inline(always)]
pub fn run_dependent() {
    grid::launch_dependents();
    grid::wait();
}
