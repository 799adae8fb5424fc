//! What a decode step needs to know, worked out once per step and used by all layers.

mod decode_plan;
mod kernel;
mod planner;
pub mod schedule;
mod splitting;
mod step;
mod tables;
mod views;
#[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "only GPUs have a workspace"))]
mod workspace;

pub use decode_plan::DecodePlan;
pub use kernel::Variant;
pub use planner::{Planner, PlannerConfig};
pub(crate) use planner::{divide, multiprocessors};
pub(crate) use splitting::Splitting;
pub use step::{Mask, Step};
pub(crate) use tables::Tables;
pub(crate) use workspace::Workspace;
