//! Dependent launches: `griddepcontrol`.
//!
//! The machine runs one launch after the other. In one that is
//! [`programmatic`](crate::Launch::programmatic), it reports whatever would go wrong if both ran at once.

use crate::injection::Change;
use crate::machine::context::{execute, injected};

/// `griddepcontrol.launch_dependents`: the next launch may begin once all CTAs have come here or ended.
#[track_caller]
pub fn launch_dependents() {
    execute(|_, _| Ok(()));
}

/// `griddepcontrol.wait`: the launches before have ended, and the thread sees what they have written; so do
/// those that a barrier orders behind it.
#[track_caller]
pub fn wait() {
    if injected(Change::DropGridWait) {
        return;
    }
    execute(|gang, thread| {
        gang.wait_for_prerequisite(thread);
        Ok(())
    });
}
