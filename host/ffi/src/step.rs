//! Steps, and planning them.

use std::ffi::c_void;

use oxmla::{DType, Error, Location, Mask, Step, TensorRef};

use crate::choice::{self, OxmlaMemory};
use crate::failure::{Failure, Result};
use crate::planner::OxmlaPlanner;
use crate::pointer;

/// One decode step.
#[repr(C)]
pub struct OxmlaStep {
    /// Cached tokens of each request, those of this step's query tokens included: `[batch]`, from 0 on.
    pub lengths: *const i32,
    /// Block ids: `[batch, max_blocks]`. Of each row the first `ceil(length / block_size)` count, but for those of
    /// blocks that are before the windows of all query tokens.
    pub block_table: *const i32,
    /// Requests.
    pub batch: usize,
    /// Columns of the block table.
    pub max_blocks: usize,
    /// From one row of the block table to the next, in elements.
    pub table_stride: usize,
    /// Query tokens per request.
    pub s_q: u32,
    /// Which cached tokens they see, a value of `OxmlaMask`.
    pub mask: u32,
    /// Where lengths and block table are, a value of `OxmlaMemory`.
    pub memory: u32,
    /// Sliding window: query token `i`, which is the cached token `own = length - s_q + i`, sees of what `mask` lets it
    /// see the tokens `p > own - window`, as many up to its own as the window has. 0 for no window.
    pub window: u32,
}

impl OxmlaStep {
    /// Mask and window.
    fn mask(&self) -> Result<Mask> {
        let mask = choice::mask(self.mask)?;
        Ok(if self.window == 0 { mask } else { mask.within(self.window) })
    }

    /// Refuses pointers that cannot be followed, and more than the planner is made for: what cannot be left to it,
    /// because it gets views.
    fn check(&self, planner: &OxmlaPlanner) -> Result<()> {
        let config = planner.planner.config();
        check_capacity("batch", self.batch, config.max_batch)?;
        check_capacity("max_blocks", self.max_blocks, config.max_blocks_per_sequence)?;
        if self.batch > 0 {
            pointer::check_present("lengths", self.lengths)?;
        }
        if self.batch > 0 && self.max_blocks > 0 {
            pointer::check_present("block_table", self.block_table)?;
        }
        pointer::check_alignment("lengths", self.lengths)?;
        pointer::check_alignment("block_table", self.block_table)
    }
}

/// Plans the next step.
///
/// # Safety
/// As for [`oxmla_plan`](crate::entry::oxmla_plan).
pub unsafe fn plan(
    planner: &mut OxmlaPlanner,
    step: &OxmlaStep,
    stream: *mut c_void,
) -> Result<()> {
    step.check(planner)?;
    match choice::memory(step.memory)? {
        // SAFETY: the caller's promise.
        OxmlaMemory::Host => unsafe { plan_from_host(planner, step, stream) },
        // SAFETY: the caller's promise.
        OxmlaMemory::Device => unsafe { plan_from_device(planner, step, stream) },
    }
}

/// # Safety
/// As for [`plan`].
unsafe fn plan_from_host(
    planner: &mut OxmlaPlanner,
    step: &OxmlaStep,
    stream: *mut c_void,
) -> Result<()> {
    let address = step.block_table.expose_provenance() as u64;
    let (shape, strides) = ([step.batch, step.max_blocks], [step.table_stride, 1]);
    // SAFETY: the caller's promise; the planner's maximum bounds the batch.
    let (stream, lengths, block_table) = unsafe {
        (
            planner.stream(stream)?,
            pointer::integers("lengths", step.lengths, step.batch)?,
            TensorRef::from_raw(address, DType::I32, &shape, &strides, Location::Host)
                .map_err(|error| Failure::about("table_stride", &error))?,
        )
    };
    let (s_q, mask) = (step.s_q, step.mask()?);
    let step = Step { lengths, block_table, s_q, mask };
    planner.plan = Some(planner.planner.plan(stream, step)?);
    Ok(())
}

/// # Safety
/// As for [`plan`].
#[cfg(feature = "cuda")]
unsafe fn plan_from_device(
    planner: &mut OxmlaPlanner,
    step: &OxmlaStep,
    stream: *mut c_void,
) -> Result<()> {
    let oxmla::Device::Cuda(device) = planner.planner.device().clone() else {
        return Err(not_on_a_gpu());
    };
    let (s_q, mask) = (step.s_q, step.mask()?);
    // SAFETY: the caller's promise.
    let stream = unsafe { planner.stream(stream)? };
    // SAFETY: the caller's promise.
    unsafe { planner.downloads.fetch(&device, stream, step)? };
    let (lengths, table) = planner.downloads.views(step.batch, step.max_blocks)?;
    let step = Step { lengths, block_table: table, s_q, mask };
    planner.plan = Some(planner.planner.plan(stream, step)?);
    Ok(())
}

/// # Safety
/// None is needed: without GPUs there is nothing to follow.
#[cfg(not(feature = "cuda"))]
unsafe fn plan_from_device(_: &mut OxmlaPlanner, _: &OxmlaStep, _: *mut c_void) -> Result<()> {
    Err(not_on_a_gpu())
}

fn not_on_a_gpu() -> Failure {
    Failure::invalid(
        "`memory` must be OXMLA_MEMORY_HOST, for the planner is for the CPU".to_owned(),
    )
}

fn check_capacity(quantity: &'static str, got: usize, limit: usize) -> Result<()> {
    if got <= limit { Ok(()) } else { Err(Error::Capacity { quantity, limit, got }.into()) }
}
