//! The tensors of a case on a device.

use std::sync::Arc;

use anyhow::Result;
use oxmla::{Buffer, Decode, Device, Planner, PlannerConfig, Step, Stream, TensorRef};

use crate::case::Case;
use crate::element::ElementPool;
use crate::guarded::{Guarded, Snapshot};
use crate::inputs::{Cache, Queries};
use crate::layout::{self, Layout};

/// A cache on the host and on a device.
#[derive(Debug)]
pub struct PlacedCache {
    /// The host's.
    pub host: Cache,
    /// The device's, the same bytes.
    pub buffer: Buffer,
}

impl PlacedCache {
    /// Copies a cache to a device.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn new(device: &Device, host: Cache) -> Result<Self> {
        let buffer = upload(device, &host.bits)?;
        Ok(Self { host, buffer })
    }

    /// Whether the device's bytes are still the host's.
    ///
    /// # Errors
    /// Those of [`Buffer::read`].
    pub fn is_untouched(&self) -> oxmla::Result<bool> {
        let mut bits = vec![0u16; self.host.bits.len()];
        self.buffer.read(0, bytemuck::cast_slice_mut(&mut bits))?;
        Ok(bits == self.host.bits)
    }
}

/// A case that is ready to be attended to.
#[derive(Debug)]
pub struct Scene {
    /// What it was made from.
    pub case: Case,
    /// Cached tokens.
    pub cache: Arc<PlacedCache>,
    /// Queries, on the host.
    pub queries: Queries,
    /// Queries, on the device.
    pub q: Buffer,
    /// The output.
    pub out: Guarded<u16, 4>,
    /// The LSE.
    pub lse: Guarded<f32, 3>,
}

/// What attention gave.
#[derive(Clone, Debug)]
pub struct Results {
    /// `[batch, s_q, h_q, 512]`, by bits.
    pub out: Snapshot<u16, 4>,
    /// `[batch, h_q, s_q]`.
    pub lse: Snapshot<f32, 3>,
}

impl Scene {
    /// Queries and room for results of `case`, whose cache is there already.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn new(
        device: &Device,
        case: &Case,
        pool: &ElementPool,
        cache: Arc<PlacedCache>,
    ) -> Result<Self> {
        let queries = Queries::new(case, pool);
        let q = upload(device, &queries.bits)?;
        let out = Guarded::new(device, case.dtype, layout::outputs(case))?;
        let lse = Guarded::new(device, oxmla::DType::F32, layout::lse(case))?;
        Ok(Self { case: case.clone(), cache, queries, q, out, lse })
    }

    /// What a planner for exactly this case is made with.
    ///
    /// # Errors
    /// Those of [`Case::dims`].
    pub fn planner_config(&self) -> oxmla::Result<PlannerConfig> {
        Ok(PlannerConfig {
            dims: self.case.dims()?,
            dtype: self.case.dtype,
            max_batch: self.case.batch,
            max_blocks_per_sequence: self.cache.host.max_blocks,
            max_s_q: self.case.s_q as u32,
            block_size: self.case.block_size,
            blocks_in_cache: self.cache.host.blocks(),
        })
    }

    /// The decode step.
    ///
    /// # Errors
    /// None: the table has the shape it claims.
    pub fn step(&self) -> oxmla::Result<Step<'_>> {
        let Cache { lengths, table, max_blocks, .. } = &self.cache.host;
        let block_table = TensorRef::from_slice(table, &[self.case.batch, *max_blocks])?;
        Ok(Step { lengths, block_table, s_q: self.case.s_q as u32, mask: self.case.mask })
    }

    /// The tensors.
    ///
    /// # Errors
    /// None: buffers have the sizes that their views need.
    pub fn args(&mut self) -> oxmla::Result<Decode<'_>> {
        Ok(Decode {
            q: view(&self.q, &self.case, &self.queries.layout)?,
            kv_cache: view(&self.cache.buffer, &self.case, &self.cache.host.layout)?,
            out: self.out.view_mut()?,
            lse: self.lse.view_mut()?,
            softmax_scale: self.case.scale,
            softcap: self.case.softcap,
        })
    }

    /// Plans and attends with a planner of its own, and waits.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn attend(&mut self, device: &Device, stream: &Stream) -> oxmla::Result<()> {
        let mut planner = Planner::new(device, self.planner_config()?)?;
        self.attend_with(&mut planner, stream)
    }

    /// Plans and attends with a planner that may be made for more, and waits.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn attend_with(&mut self, planner: &mut Planner, stream: &Stream) -> oxmla::Result<()> {
        let plan = planner.plan(stream.as_ref(), self.step()?)?;
        oxmla::decode(planner, &plan, stream.as_ref(), self.args()?)?;
        stream.synchronize()
    }

    /// What the last attention gave.
    ///
    /// # Errors
    /// If something was written outside the results.
    pub fn results(&self) -> Result<Results> {
        use anyhow::Context;
        Ok(Results {
            out: self.out.snapshot().context("out")?,
            lse: self.lse.snapshot().context("lse")?,
        })
    }
}

impl Results {
    /// Whether two results are the same, bit by bit.
    #[must_use]
    pub fn same_bits(&self, other: &Self) -> bool {
        self.out.same_bits(&other.out) && self.lse.same_bits(&other.lse)
    }
}

fn upload(device: &Device, bits: &[u16]) -> Result<Buffer> {
    let mut buffer = device.alloc(size_of_val(bits))?;
    buffer.write(0, bytemuck::cast_slice(bits))?;
    Ok(buffer)
}

fn view<'a>(buffer: &'a Buffer, case: &Case, layout: &Layout<4>) -> oxmla::Result<TensorRef<'a>> {
    let Layout { shape, strides } = layout;
    // SAFETY: the buffer was made from the elements that the layout reaches, and is borrowed for as long as
    // the view; nothing writes to it.
    unsafe { TensorRef::from_raw(buffer.address(), case.dtype, shape, strides, buffer.location()) }
}
