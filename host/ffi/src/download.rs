//! Lengths and block table that are on the GPU.

use std::iter;

use oxmla::backend::cuda::CudaDevice;
use oxmla::{Error, StreamRef, TensorRef};

use crate::failure::{Failure, Result};
use crate::step::OxmlaStep;

/// Host memory for them, kept from step to step.
#[derive(Default)]
pub struct Downloads {
    lengths: Vec<i32>,
    /// Rows without gaps.
    table: Vec<i32>,
}

impl Downloads {
    /// Copies those of `step`, in the order of `stream`, and waits.
    ///
    /// # Safety
    /// `step` points to memory of `device`, and `stream` is one of its streams.
    pub unsafe fn fetch(
        &mut self,
        device: &CudaDevice,
        stream: StreamRef<'_>,
        step: &OxmlaStep,
    ) -> Result<()> {
        let too_large = Error::SizeOverflow { what: "block table" };
        let ids = step.batch.checked_mul(step.max_blocks).ok_or(too_large)?;
        self.lengths.resize(step.batch, 0);
        self.table.resize(ids, 0);
        // One copy if there are no gaps between the rows.
        let contiguous = step.table_stride == step.max_blocks;
        let row = if contiguous { ids } else { step.max_blocks };
        let rows = self.table.chunks_exact_mut(row.max(1)).enumerate().map(|(index, row)| {
            (step.block_table.wrapping_add(index * step.table_stride).addr() as u64, row)
        });
        let copies = iter::once((step.lengths.addr() as u64, &mut *self.lengths)).chain(rows);
        // SAFETY: the caller's promise.
        unsafe { device.download(stream, copies) }.map_err(Failure::from)
    }

    /// What was copied: `[batch]`, `[batch, max_blocks]`.
    pub fn views(&self, batch: usize, max_blocks: usize) -> Result<(&[i32], TensorRef<'_>)> {
        Ok((&self.lengths, TensorRef::from_slice(&self.table, &[batch, max_blocks])?))
    }
}
