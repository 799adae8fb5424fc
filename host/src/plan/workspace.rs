//! Device memory of a planner: what the kernels read besides tensors, and their partial results.

use oxmla_kernels::decode::dense::config::D_LATENT;

use crate::buffer::Buffer;
use crate::device::Device;
use crate::error::{Error, Result};

/// Query rows of a tile.
const TILE_ROWS: u64 = 64;
/// Alignment of each region, in bytes: a sector of L2 and more than vector loads need.
const ALIGNMENT: u64 = 256;

/// One allocation with four regions.
#[derive(Debug)]
pub(crate) struct Workspace {
    buffer: Buffer,
    /// Offset of `bf16 | f16 [tiles of slots, 64, 512]`.
    partial_out: u64,
    /// Offset of `f32 [tiles of slots, 64]`.
    partial_lse: u64,
    /// Offset of `u32 [counters]`, zero between launches.
    arrivals: u64,
}

impl Workspace {
    /// Room for `step_bytes` bytes of lengths and block table, for `partial_tiles` partial results, and for
    /// `counters` counters.
    pub fn new(
        device: &Device,
        step_bytes: usize,
        partial_tiles: u64,
        counters: u64,
    ) -> Result<Self> {
        let overflow = Error::SizeOverflow { what: "workspace" };
        let behind =
            |begin: u64, bytes: u64| begin.checked_add(bytes)?.checked_next_multiple_of(ALIGNMENT);
        let regions = || {
            let rows = partial_tiles.checked_mul(TILE_ROWS)?;
            let partial_out = behind(0, step_bytes as u64)?;
            let partial_lse = behind(partial_out, rows.checked_mul(u64::from(D_LATENT) * 2)?)?;
            let arrivals = behind(partial_lse, rows.checked_mul(4)?)?;
            let end = arrivals.checked_add(counters.checked_mul(4)?)?;
            Some((partial_out, partial_lse, arrivals, usize::try_from(end).ok()?))
        };
        let (partial_out, partial_lse, arrivals, bytes) = regions().ok_or(overflow)?;
        let mut buffer = device.alloc(bytes)?;
        buffer.write(arrivals as usize, &vec![0; bytes - arrivals as usize])?;
        Ok(Self { buffer, partial_out, partial_lse, arrivals })
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

    /// Address of the counters.
    pub fn arrivals(&self) -> u64 {
        self.buffer.address() + self.arrivals
    }
}
