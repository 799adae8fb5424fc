//! Planners.

use std::ffi::{CString, c_char, c_void};

use oxmla::{BLOCK_SIZE, DecodePlan, Device, Location, MlaDims, Planner, PlannerConfig, StreamRef};

use crate::choice::{self, OxmlaDevice};
use crate::failure::{Failure, Result};

/// What a planner is made for. Memory is reserved for the maxima once; steps may be smaller.
#[repr(C)]
pub struct OxmlaPlannerConfig {
    /// Query heads.
    pub h_q: u32,
    /// KV heads; 1 for MLA as DeepSeek publishes it. Divides `h_q`.
    pub h_k: u32,
    /// Type of queries, cache and output, a value of `OxmlaDtype`: bf16 or f16.
    pub dtype: u32,
    /// Most query tokens per request.
    pub max_s_q: u32,
    /// Most requests in a step.
    pub max_batch: usize,
    /// Most blocks of a request; also the most columns of a step's block table.
    pub max_blocks_per_sequence: usize,
    /// Blocks of the cache; every block id is less.
    pub blocks_in_cache: usize,
    /// Tokens after which every request is split, 64 times a power of two, for results that do not depend on
    /// what else is in the batch; 0 to share out the work evenly instead.
    pub piece_tokens: u32,
    /// Tokens of a block: 16, 32, 64 or 128; 0 for 64.
    pub block_size: u32,
}

/// Plans decode steps on one device, and owns the memory that they need besides the tensors. It holds one
/// step: a plan replaces the one before.
///
/// One thread at a time uses a planner, whichever.
pub struct OxmlaPlanner {
    pub planner: Planner,
    /// The latest step, if there was one.
    pub plan: Option<DecodePlan>,
    /// Lengths and block table of a step that was on the GPU.
    #[cfg(feature = "cuda")]
    pub downloads: crate::download::Downloads,
    explanation: CString,
}

impl OxmlaPlanner {
    /// A planner; `device` is a value of `OxmlaDevice`.
    pub fn new(device: u32, config: &OxmlaPlannerConfig) -> Result<Self> {
        let device = match choice::device(device)? {
            OxmlaDevice::Cpu => Device::cpu(),
            OxmlaDevice::CurrentContext => of_current_context()?,
        };
        let block_size =
            if config.block_size == 0 { BLOCK_SIZE } else { config.block_size as usize };
        let planner_config = PlannerConfig {
            dims: MlaDims::new(config.h_q, config.h_k)?,
            dtype: choice::dtype(format_args!("`dtype`"), config.dtype)?,
            max_batch: config.max_batch,
            max_blocks_per_sequence: config.max_blocks_per_sequence,
            max_s_q: config.max_s_q,
            block_size,
            blocks_in_cache: config.blocks_in_cache,
        };
        let planner = match config.piece_tokens {
            0 => Planner::new(&device, planner_config)?,
            tokens => Planner::deterministic(&device, planner_config, tokens)?,
        };
        Ok(Self {
            planner,
            plan: None,
            #[cfg(feature = "cuda")]
            downloads: crate::download::Downloads::default(),
            explanation: CString::default(),
        })
    }

    /// The latest plan in words, kept until the next call.
    pub fn explain(&mut self) -> Result<*const c_char> {
        self.explanation = CString::new(self.plan()?.explain()).unwrap_or_default();
        Ok(self.explanation.as_ptr())
    }

    /// The latest plan.
    pub fn plan(&self) -> Result<&DecodePlan> {
        self.plan.as_ref().ok_or_else(Failure::no_plan)
    }

    /// The stream that a caller hands over.
    ///
    /// # Safety
    /// As for [`StreamRef::from_raw`], if the planner is for a GPU.
    pub unsafe fn stream<'a>(&self, raw: *mut c_void) -> Result<StreamRef<'a>> {
        match self.planner.device().location() {
            // SAFETY: the caller's promise.
            Location::Cuda { ordinal } => Ok(unsafe { StreamRef::from_raw(raw, ordinal) }),
            Location::Host if raw.is_null() => Ok(StreamRef::cpu()),
            Location::Host => Err(Failure::invalid(
                "`stream` must be null, for the planner is for the CPU".to_owned(),
            )),
        }
    }
}

#[cfg(feature = "cuda")]
fn of_current_context() -> Result<Device> {
    Ok(Device::Cuda(oxmla::backend::cuda::CudaDevice::of_current_context()?))
}

#[cfg(not(feature = "cuda"))]
fn of_current_context() -> Result<Device> {
    let reason = "this library was built without its `cuda` feature".to_owned();
    Err(oxmla::Error::NoDriver { reason }.into())
}
