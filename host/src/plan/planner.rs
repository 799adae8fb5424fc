//! The planner.

use std::sync::atomic::{AtomicU64, Ordering};

use oxmla_kernels::decode::schedule::K_BLOCK;

use super::decode_plan::{DecodePlan, Summary};
use super::kernel::{self, Variant};
use super::schedule::{self, Cut, Reach};
use super::splitting::Splitting;
use super::step::Step;
use super::tables::{self, Tables};
use super::workspace::Workspace;
use crate::cache::check_block_size;
use crate::check;
use crate::device::Device;
use crate::dims::MlaDims;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::stream::StreamRef;

/// What a planner is made for. Memory is reserved for the maxima once; steps may be smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannerConfig {
    /// Heads and widths.
    pub dims: MlaDims,
    /// Type of queries, cache and output: bf16 or f16.
    pub dtype: DType,
    /// Most requests in a step.
    pub max_batch: usize,
    /// Most blocks of a request; also the most columns of a step's block table.
    pub max_blocks_per_sequence: usize,
    /// Most query tokens per request.
    pub max_s_q: u32,
    /// Tokens of a block: 16, 32, 64 or 128. Results do not depend on it; on the CPU, but for their last bits.
    pub block_size: usize,
    /// Blocks of the cache; every block id is less.
    pub blocks_in_cache: usize,
}

/// Plans decode steps on one device, and owns the memory that they need besides the tensors: lengths and
/// block table where the kernels read them, partial results of requests that are split, and counters of these.
///
/// That memory is one step's. Steps on one stream follow each other in order; a caller with several streams
/// orders them, as for any memory that they share.
#[derive(Debug)]
pub struct Planner {
    id: u64,
    step: u64,
    device: Device,
    config: PlannerConfig,
    splitting: Splitting,
    preferred: Option<Variant>,
    /// CTAs of the paired kernel that the device has room for at once.
    room: u32,
    tables: Tables,
    /// `None` on the host, which reads `tables` and keeps no partial results.
    workspace: Option<Workspace>,
}

impl Planner {
    /// A planner for `device`, that shares out the work evenly.
    ///
    /// Where a request is split then depends on what else is in the batch, and so do the last bits of its result;
    /// the same step gives the same bits every time.
    ///
    /// # Errors
    /// - [`Error::UnsupportedDType`] if the type is neither bf16 nor f16, [`Error::UnsupportedBlockSize`].
    /// - [`Error::OutOfRange`] if a maximum is 0, or more than the kernels can count.
    /// - [`Error::OutOfMemory`], [`Error::SizeOverflow`], [`Error::Driver`], or [`Error::ModuleLoad`]: the first planner
    ///   of a type loads its kernels, see [`Device::load`].
    pub fn new(device: &Device, config: PlannerConfig) -> Result<Self> {
        Self::with_splitting(device, config, Splitting::Balanced)
    }

    /// A planner for `device`, for results that do not depend on what else is in the batch: every request is split
    /// into pieces of `piece_tokens` tokens, 64 times a power of two, whatever its neighbours are.
    ///
    /// It costs balance, for a part of the work is whole pieces; a merge for every request of more than one piece,
    /// also where [`Planner::new`] would not have split it; and room for all partial results of the largest step,
    /// 1 KB for each query row of each piece. Short pieces balance better, long ones merge less.
    ///
    /// # Errors
    /// As for [`Planner::new`], and [`Error::InvalidPiece`].
    pub fn deterministic(
        device: &Device,
        config: PlannerConfig,
        piece_tokens: u32,
    ) -> Result<Self> {
        let blocks = piece_tokens / K_BLOCK;
        if !blocks.is_power_of_two() || !piece_tokens.is_multiple_of(K_BLOCK) {
            return Err(Error::InvalidPiece { got: piece_tokens });
        }
        Self::with_splitting(device, config, Splitting::Fixed { log2_blocks: blocks.ilog2() })
    }

    fn with_splitting(
        device: &Device,
        config: PlannerConfig,
        splitting: Splitting,
    ) -> Result<Self> {
        check_config(&config)?;
        kernel::prepare(device, false, config.dtype)?;
        let tables = Tables::new(config.max_batch, config.max_blocks_per_sequence)?;
        let workspace = match multiprocessors(device) {
            None => None,
            Some(multiprocessors) => {
                let tiles = config.dims.rows(config.max_s_q).tiles();
                let partial_tiles = splitting.partial_tiles(&config, multiprocessors, tiles);
                let counters = config.max_batch as u64 * u64::from(tiles);
                Some(Workspace::new(device, tables.byte_len(), partial_tiles, counters)?)
            }
        };
        static PLANNERS: AtomicU64 = AtomicU64::new(0);
        let id = PLANNERS.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            id,
            step: 0,
            device: device.clone(),
            config,
            splitting,
            preferred: None,
            room: kernel::room(device, config.dtype)?,
            tables,
            workspace,
        })
    }

    /// Uses `variant` from the next plan on wherever it accepts the query rows, or with `None` again what it thinks is
    /// fastest: for measuring and testing. The results are the same, bit by bit.
    pub const fn prefer(&mut self, variant: Option<Variant>) {
        self.preferred = variant;
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// What the planner was made for.
    #[must_use]
    pub const fn config(&self) -> &PlannerConfig {
        &self.config
    }

    /// Bytes that the planner has reserved on its device.
    #[must_use]
    pub fn workspace_bytes(&self) -> usize {
        self.workspace.as_ref().map_or(self.tables.byte_len(), Workspace::bytes)
    }

    /// Plans the next step. Plans of earlier steps become stale.
    ///
    /// On a GPU, lengths and block table are uploaded in the order of `stream`; the caller may drop them at
    /// once. They go to the same addresses in every step: a graph that captured [`decode`](crate::decode) works
    /// on the new ones when it is replayed after `plan`, as long as batch, `s_q` and mask are the same. It keeps the
    /// number of parts of the plan that it was captured with, which is then perhaps not the best.
    ///
    /// # Errors
    /// - [`Error::Capacity`] if batch, `s_q` or the columns of the table are more than the planner's maxima,
    ///   [`Error::OutOfRange`] if `s_q` or the window is 0.
    /// - [`Error::RankMismatch`], [`Error::ShapeMismatch`], [`Error::DTypeMismatch`],
    ///   [`Error::LocationMismatch`] or [`Error::Misaligned`] if the table is not `[batch, max_blocks] i32` on
    ///   the host, [`Error::LocationMismatch`] if the stream is of another device.
    /// - [`Error::NegativeLength`], [`Error::LengthBeyondTable`], [`Error::BlockOutOfPool`],
    ///   [`Error::ScheduleTooLarge`].
    /// - [`Error::ModuleLoad`]: the first step with a window loads the kernels for that.
    ///
    /// These leave the planner and its current plan as they were. [`Error::Driver`], and [`Error::OutOfMemory`] if
    /// there is no page-locked memory to upload from, make that plan stale.
    pub fn plan(&mut self, stream: StreamRef<'_>, step: Step<'_>) -> Result<DecodePlan> {
        check::location("stream", stream.location(), self.device.location())?;
        self.check(&step)?;
        let rows = self.config.dims.rows(step.s_q);
        let reach = step.reach();
        let (parts, cut) = divide(&self.device, self.splitting, step.lengths, reach, rows.tiles())?;
        let pieces = schedule::pieces(step.lengths, cut, reach, parts)?;
        if step.mask.window().is_some() {
            kernel::prepare(&self.device, true, self.config.dtype)?;
        }
        self.step += 1;
        self.tables.set(&step, self.config.block_size);
        #[cfg(feature = "cuda")]
        if let (Device::Cuda(device), Some(workspace)) = (&self.device, &self.workspace) {
            let bytes = self.tables.bytes(step.lengths.len());
            crate::backend::cuda::upload(device, stream.raw(), workspace.step(), bytes)?;
        }
        let summary = Summary::new(step.lengths, pieces);
        let (blocks, preferred) = (summary.most_blocks, self.preferred);
        let variant = kernel::choose(&rows, parts, blocks, preferred, self.room);
        Ok(DecodePlan {
            planner: self.id,
            step: self.step,
            batch: step.lengths.len(),
            s_q: step.s_q,
            h_q: self.config.dims.h_q(),
            mask: step.mask,
            rows,
            parts,
            cut,
            reach,
            variant,
            summary,
        })
    }

    fn check(&self, step: &Step<'_>) -> Result<()> {
        let batch = step.lengths.len();
        check_capacity("batch", batch, self.config.max_batch)?;
        check::range("s_q", step.s_q, 1, u32::MAX)?;
        check_capacity("s_q", step.s_q as usize, self.config.max_s_q as usize)?;
        check::range("window", step.mask.window().unwrap_or(1), 1, u32::MAX)?;
        tables::check_table(&step.block_table, batch)?;
        let columns = step.block_table.shape()[1];
        check_capacity("max_blocks", columns, self.config.max_blocks_per_sequence)?;
        tables::check_ids(step, self.config.block_size, self.config.blocks_in_cache)
    }

    /// Refuses a plan that is not this planner's latest.
    pub(crate) const fn check_plan(&self, plan: &DecodePlan) -> Result<()> {
        if plan.planner != self.id {
            return Err(Error::PlanOfAnotherPlanner { plan: plan.planner, planner: self.id });
        }
        if plan.step != self.step {
            return Err(Error::StalePlan { plan: plan.step, planner: self.step });
        }
        Ok(())
    }

    /// Lengths and block table of the current step.
    pub(crate) const fn tables(&self) -> &Tables {
        &self.tables
    }

    #[cfg(feature = "cuda")]
    pub(crate) const fn workspace(&self) -> Option<&Workspace> {
        self.workspace.as_ref()
    }
}

/// Parts and cut of a step with that many tiles of query rows.
pub(crate) fn divide(
    device: &Device,
    splitting: Splitting,
    lengths: &[i32],
    reach: Reach,
    tiles: u32,
) -> Result<(u32, Cut)> {
    let most = parts(device, tiles);
    // The simulator is for finding mistakes: it splits what it can.
    #[cfg(feature = "sim")]
    if let Device::Sim(_) = device {
        return Ok((most, splitting.cut(lengths, reach, most)?));
    }
    splitting.divide(lengths, reach, most)
}

/// Multiprocessors of a GPU.
pub(crate) fn multiprocessors(device: &Device) -> Option<u32> {
    match device {
        Device::Cpu(_) => None,
        #[cfg(feature = "sim")]
        Device::Sim(_) => None,
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => Some(device.multiprocessors()),
    }
}

/// Most parts that the cached tokens are divided into: on a GPU, one CTA of each tile for every multiprocessor.
#[cfg_attr(
    not(any(feature = "cuda", feature = "sim")),
    expect(unused_variables, reason = "the CPU has no CTAs to share out")
)]
fn parts(device: &Device, tiles: u32) -> u32 {
    match device {
        Device::Cpu(_) => 1,
        #[cfg(feature = "sim")]
        Device::Sim(_) => crate::backend::sim::parts(tiles),
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => (device.multiprocessors() / tiles).max(1),
    }
}

fn check_config(config: &PlannerConfig) -> Result<()> {
    let PlannerConfig { dims, dtype, max_batch, max_blocks_per_sequence, max_s_q, .. } = *config;
    if !dtype.is_attention_type() {
        return Err(Error::UnsupportedDType { arg: "dtype", got: dtype });
    }
    check_block_size(config.block_size)?;
    let most_blocks = i32::MAX as u32 / config.block_size as u32 + 1;
    check::range("max_s_q", max_s_q, 1, i32::MAX as u32 / dims.h_q())?;
    check::range("max_batch", max_batch as i128, 1, i32::MAX)?;
    check::range("max_blocks_per_sequence", max_blocks_per_sequence as i128, 1, most_blocks)?;
    check::range("blocks_in_cache", config.blocks_in_cache as i128, 1, i32::MAX)
}

fn check_capacity(quantity: &'static str, got: usize, limit: usize) -> Result<()> {
    if got <= limit { Ok(()) } else { Err(Error::Capacity { quantity, limit, got }) }
}
