//! What a step has uploaded, for other work of the same step.

use super::decode_plan::DecodePlan;
use super::planner::Planner;
use crate::dtype::DType;
use crate::error::Result;
use crate::tensor::TensorRef;

impl Planner {
    /// Cached tokens of each request of the plan's step: `[batch] i32` on the planner's device, always at the same
    /// address. On a GPU they are there for work that comes after [`plan`](Planner::plan) in the order of its
    /// stream.
    ///
    /// # Errors
    /// [`PlanOfAnotherPlanner`](crate::Error::PlanOfAnotherPlanner), [`StalePlan`](crate::Error::StalePlan).
    pub fn lengths(&self, plan: &DecodePlan) -> Result<TensorRef<'_>> {
        self.check_plan(plan)?;
        Ok(self.step_view(0, [plan.batch()]))
    }

    /// Block ids of each request of the plan's step: `[batch, max_blocks_per_sequence] i32`, as
    /// [`lengths`](Planner::lengths). Entries behind a request's last block mean nothing,
    /// and those before all windows are 0.
    ///
    /// # Errors
    /// As for [`lengths`](Planner::lengths).
    pub fn block_table(&self, plan: &DecodePlan) -> Result<TensorRef<'_>> {
        self.check_plan(plan)?;
        let shape = [plan.batch(), self.config().max_blocks_per_sequence];
        Ok(self.step_view(self.tables().ids_offset(), shape))
    }

    fn step_view<const RANK: usize>(&self, offset: u64, shape: [usize; RANK]) -> TensorRef<'_> {
        let address = self.step_address() + offset;
        TensorRef::contiguous(address, DType::I32, shape.into(), self.device().location())
    }

    fn step_address(&self) -> u64 {
        #[cfg(feature = "cuda")]
        if let Some(workspace) = self.workspace() {
            return workspace.step();
        }
        self.tables().address()
    }
}
