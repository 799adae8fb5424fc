//! What the calls cost the host.

use allocation_counter::measure;
use anyhow::{Result, ensure};
use oxmla::DType;
use oxmla::cache::{CopyBlocks, GatherRows, append, copy_blocks, gather};

use super::step::{Shape, Step};
use crate::layout::{BLOCK, D_K};
use crate::session::Session;

/// Nothing is allocated on the host, whatever is moved.
pub fn allocations(session: &mut Session) -> Result<()> {
    let shape = Shape { requests: vec![(2, 66), (1, 1)], ..Shape::default() };
    let dtype = shape.dtype;
    let device = session.device().clone();
    let mut step = Step::new(&device, shape, 60)?;
    let cache_shape = *step.cache.shape();
    let mut cache = device.alloc_zeroed(cache_shape[0] * BLOCK * D_K * 2)?;
    let (offsets, pairs) = (device.upload(&[0, 66, 67])?, device.upload(&[0, 1])?);
    let mut out = device.alloc(67 * D_K * 2)?;
    let stream = session.stream().as_ref();
    let mut calls = || -> oxmla::Result<()> {
        append(&device, stream, step.args()?)?;
        let kv_cache = cache.view_mut(dtype, &cache_shape)?;
        copy_blocks(
            &device,
            stream,
            CopyBlocks { pairs: pairs.view(DType::I32, &[1, 2])?, kv_cache },
        )?;
        let rows = GatherRows {
            kv_cache: cache.view(dtype, &cache_shape)?,
            block_table: step.device_table.view(DType::I32, &[2, step.columns])?,
            offsets: offsets.view(DType::I32, &[3])?,
            out: out.view_mut(dtype, &[67, D_K])?,
        };
        gather(&device, stream, rows)
    };
    calls()?;
    let mut outcome = Ok(());
    let counted = measure(|| outcome = (0..20).try_for_each(|_| calls()));
    outcome?;
    session.stream().synchronize()?;
    let count = counted.count_total;
    ensure!(count == 0, "60 calls made {count} allocations");
    Ok(())
}
