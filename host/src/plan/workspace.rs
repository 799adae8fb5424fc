//! Device memory of a planner: what the kernels read besides tensors, and their partial results.

use oxmla_kernels::decode::dense::config::D_LATENT;

use crate::buffer::Buffer;
use crate::device::Device;
use crate::error::{Error, Result};

/// Query rows of a tile.
const TILE_ROWS: u64 = 64;
/// Alignment of each region, in bytes: a sector of L2 and more than vector loads need.
const ALIGNMENT: u64 = 256;

/// One allocation with three regions.
#[derive(Debug)]
pub(crate) struct Workspace {
    buffer: Buffer,
    /// Offset of `f32 [2 · parts, tiles, 64, 512]`.
    partial_out: u64,
    /// Offset of `f32 [2 · parts, tiles, 64]`.
    partial_lse: u64,
}

impl Workspace {
    /// Room for `step_bytes` bytes of lengths and block table, and for the partial results of `ctas` CTAs.
    pub fn new(device: &Device, step_bytes: usize, ctas: u64) -> Result<Self> {
        let overflow = Error::SizeOverflow { what: "workspace" };
        let regions = || {
            let rows = ctas.checked_mul(2 * TILE_ROWS)?;
            let partial_out = (step_bytes as u64).checked_next_multiple_of(ALIGNMENT)?;
            let out_bytes = rows.checked_mul(u64::from(D_LATENT) * 4)?;
            let partial_lse = partial_out.checked_add(out_bytes)?;
            let end = partial_lse.checked_add(rows.checked_mul(4)?)?;
            Some((partial_out, partial_lse, usize::try_from(end).ok()?))
        };
        let (partial_out, partial_lse, bytes) = regions().ok_or(overflow)?;
        Ok(Self { buffer: device.alloc(bytes)?, partial_out, partial_lse })
    }

    /// Bytes in all.
    pub fn bytes(&self) -> usize {
        self.buffer.len_bytes()
    }

    /// Address of lengths and block table.
    pub fn step(&self) -> u64 {
        self.buffer.address()
    }

    /// Address of the partial outputs.
    pub fn partial_out(&self) -> u64 {
        self.buffer.address() + self.partial_out
    }

    /// Address of their LSE.
    pub fn partial_lse(&self) -> u64 {
        self.buffer.address() + self.partial_lse
    }
}
