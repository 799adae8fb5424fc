//! Dependent launches: `griddepcontrol`. A launch of this machine begins when the one before it has ended, so
//! that both are allowed and neither waits.

use crate::machine::context::execute;

/// `griddepcontrol.launch_dependents`.
#[track_caller]
pub fn launch_dependents() {
    execute(|_, _| Ok(()));
}

/// `griddepcontrol.wait`: the grids before have completed, and their writes are visible.
#[track_caller]
pub fn wait() {
    execute(|_, _| Ok(()));
}
