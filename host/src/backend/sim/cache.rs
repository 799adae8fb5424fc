//! Launches of the simulated cache kernels. Tensors are packed first; a failed launch leaves them as they were.

use oxmla_kernels::simulate;

use super::packed::{Packed, Results};
use super::{Simulator, element, report};
use crate::cache::{AppendRows, CopyBlocks, GatherRows};
use crate::error::Result;

/// Appends; the arguments have been checked.
pub(crate) fn append(simulator: Simulator, args: &AppendRows<'_>) -> Result<()> {
    let rows = args.latent.shape()[0];
    if rows == 0 {
        return Ok(());
    }
    let (latent, rope) = (Packed::new(&args.latent)?, Packed::new(&args.rope)?);
    let weight = args.norm.map(|norm| Packed::new(&norm.weight)).transpose()?;
    let rotations = args.rotations.map(|rotations| Packed::new(&rotations)).transpose()?;
    let offsets = args.offsets.map(|offsets| Packed::new(&offsets)).transpose()?;
    let (lengths, table) = (Packed::new(&args.lengths)?, Packed::new(&args.block_table)?);
    let mut cache = Results::with_content(&args.kv_cache)?;
    let launch = simulate::AppendRows {
        element: element(args.kv_cache.dtype()),
        rows: rows as u32,
        latent: latent.as_slice(),
        latent_stride: args.latent.shape()[1],
        rope: rope.as_slice(),
        rope_stride: args.rope.shape()[1],
        weight: weight.as_ref().map(Packed::as_slice),
        eps: args.norm.map_or(0.0, |norm| norm.eps),
        rotations: rotations.as_ref().map(Packed::as_slice),
        lengths: lengths.as_slice(),
        offsets: offsets.as_ref().map(Packed::as_slice),
        block_table: table.as_slice(),
        kv_cache: cache.as_mut_slice(),
    };
    launch.run(|launch| simulator.configure(launch)).map_err(report)?;
    cache.store(&args.kv_cache);
    Ok(())
}

/// Gathers; the arguments have been checked.
pub(crate) fn gather(simulator: Simulator, args: &GatherRows<'_>) -> Result<()> {
    let rows = args.out.shape()[0];
    if rows == 0 {
        return Ok(());
    }
    let (cache, table) = (Packed::new(&args.kv_cache)?, Packed::new(&args.block_table)?);
    let offsets = Packed::new(&args.offsets)?;
    let mut out = Results::with_content(&args.out)?;
    let launch = simulate::GatherRows {
        rows: rows as u32,
        kv_cache: cache.as_slice(),
        block_table: table.as_slice(),
        offsets: offsets.as_slice(),
        out: out.as_mut_slice(),
    };
    launch.run(|launch| simulator.configure(launch)).map_err(report)?;
    out.store(&args.out);
    Ok(())
}

/// Copies blocks; the arguments have been checked.
pub(crate) fn copy_blocks(simulator: Simulator, args: &CopyBlocks<'_>) -> Result<()> {
    if args.pairs.shape()[0] == 0 {
        return Ok(());
    }
    let pairs = Packed::new(&args.pairs)?;
    let mut cache = Results::with_content(&args.kv_cache)?;
    let launch = simulate::CopyBlocks {
        h_k: args.kv_cache.shape()[2] as u32,
        pairs: pairs.as_slice(),
        kv_cache: cache.as_mut_slice(),
    };
    launch.run(|launch| simulator.configure(launch)).map_err(report)?;
    cache.store(&args.kv_cache);
    Ok(())
}
