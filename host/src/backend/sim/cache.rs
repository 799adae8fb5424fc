//! Launches of the simulated cache kernels. Tensors are packed first; a failed launch leaves them as they were.

use oxmla_kernels::simulate;

use super::packed::{Packed, Results};
use super::{Simulator, element, report};
use crate::cache::{AppendRows, CacheFormat, CopyBlocks, GatherRows, Scales};
use crate::error::Result;
use crate::tensor::{TensorMut, TensorRef};

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
    let mut cache = CacheBytes::new(&args.kv_cache)?;
    let launch = simulate::AppendRows {
        element: element(args.latent.dtype()),
        format: format(&args.kv_cache.as_ref())?,
        block_size: args.kv_cache.shape()[1] as u32,
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
        power_of_two_scales: args.scales == Scales::PowerOfTwo,
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
    let format = format(&args.kv_cache)?;
    let (elements, bytes): (Packed<'_, u16>, Packed<'_, u8>);
    let kv_cache = match format {
        simulate::CacheFormat::Elements => {
            elements = Packed::new(&args.kv_cache)?;
            bytemuck::cast_slice(elements.as_slice())
        }
        simulate::CacheFormat::Fp8(_) => {
            bytes = Packed::new(&args.kv_cache)?;
            bytes.as_slice()
        }
    };
    let table = Packed::new(&args.block_table)?;
    let offsets = Packed::new(&args.offsets)?;
    let mut out = Results::with_content(&args.out)?;
    let launch = simulate::GatherRows {
        element: element(args.out.dtype()),
        format,
        block_size: args.kv_cache.shape()[1] as u32,
        rows: rows as u32,
        kv_cache,
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
    let mut cache = CacheBytes::new(&args.kv_cache)?;
    let launch = simulate::CopyBlocks {
        bytes_per_block: args.bytes_per_block(),
        pairs: pairs.as_slice(),
        kv_cache: cache.as_mut_slice(),
    };
    launch.run(|launch| simulator.configure(launch)).map_err(report)?;
    cache.store(&args.kv_cache);
    Ok(())
}

/// What the kernels call the format of a cache that has been checked.
fn format(kv_cache: &TensorRef<'_>) -> Result<simulate::CacheFormat> {
    Ok(match CacheFormat::of(kv_cache)? {
        CacheFormat::Elements(_) => simulate::CacheFormat::Elements,
        CacheFormat::Fp8(format) => simulate::CacheFormat::Fp8(format),
    })
}

/// A cache to change, as its bytes.
enum CacheBytes {
    Elements(Results<u16>),
    Fp8(Results<u8>),
}

impl CacheBytes {
    fn new(kv_cache: &TensorMut<'_>) -> Result<Self> {
        Ok(match CacheFormat::of(&kv_cache.as_ref())? {
            CacheFormat::Elements(_) => Self::Elements(Results::with_content(kv_cache)?),
            CacheFormat::Fp8(_) => Self::Fp8(Results::with_content(kv_cache)?),
        })
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        match self {
            Self::Elements(elements) => bytemuck::cast_slice_mut(elements.as_mut_slice()),
            Self::Fp8(bytes) => bytes.as_mut_slice(),
        }
    }

    fn store(&self, kv_cache: &TensorMut<'_>) {
        match self {
            Self::Elements(elements) => elements.store(kv_cache),
            Self::Fp8(bytes) => bytes.store(kv_cache),
        }
    }
}
