//! The simulator: the GPU's own kernels, executed on the CPU thread by thread by the SIMT machine.
//!
//! It is there to find mistakes: a missing wait, fence or barrier, an access out of bounds or to memory that
//! nothing wrote ends the call with [`Error::Simulation`], which says where. It is some thousand times slower
//! than the CPU backend, and follows any strides.

pub(crate) mod cache;
pub(crate) mod norm;
mod packed;
pub(crate) mod product;
pub(crate) mod sparse;

pub use oxmla_kernels::simulate::Timing;
use oxmla_kernels::simulate::{self, CachedTokens, DenseDecode, ElementType};

use self::packed::{Packed, Results};
use crate::attention::Decode;
use crate::cache::{CacheFormat, Fp8Format};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::plan::{DecodePlan, Planner};

/// Most CTAs that share the cached tokens of a tile of query rows. A GPU has as many as it has room for; four split
/// requests in every way that the kernels know, and leave something to do for each.
const MOST_PARTS: u32 = 4;
/// CTAs of a launch, where it does not have more tiles: all are there together, 384 threads each with a stack of its
/// own.
const MOST_CTAS: u32 = 12;

/// Parts for that many tiles of query rows.
pub(crate) fn parts(tiles: u32) -> u32 {
    (MOST_CTAS / tiles).clamp(1, MOST_PARTS)
}

/// The SIMT machine as a device. Its memory is the host's.
///
/// The results do not depend on how it is set; whether a mistake in a kernel shows may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Simulator {
    /// Decides which warp runs when, and in which order copies complete. The same seed gives the same run.
    pub seed: u64,
    /// When copies complete.
    pub timing: Timing,
}

impl Simulator {
    /// What the device calls itself.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        "simulated GPU"
    }

    fn configure(self, launch: simulate::Launch) -> simulate::Launch {
        launch.seed(self.seed).timing(self.timing)
    }
}

/// Decode attention; the arguments have been checked.
pub(crate) fn decode(
    simulator: Simulator,
    planner: &Planner,
    plan: &DecodePlan,
    args: &Decode<'_>,
) -> Result<()> {
    let batch = plan.batch();
    if batch == 0 {
        return Ok(());
    }
    let (dims, tables) = (planner.config().dims, planner.tables());
    let block_table: Vec<i32> =
        (0..batch).flat_map(|request| tables.ids(request)).copied().collect();
    let q = Packed::new(&args.q)?;
    let (elements, bytes): (Packed<'_, u16>, Packed<'_, u8>);
    let kv_cache = if args.kv_cache.dtype() == DType::U8 {
        bytes = Packed::new(&args.kv_cache)?;
        match CacheFormat::of(&args.kv_cache)? {
            CacheFormat::Fp8(Fp8Format::Planar644) => CachedTokens::Planar644(bytes.as_slice()),
            _ => CachedTokens::Token656(bytes.as_slice()),
        }
    } else {
        elements = Packed::new(&args.kv_cache)?;
        CachedTokens::Elements(elements.as_slice())
    };
    let (mut out, mut lse) = (Results::new(&args.out)?, Results::new(&args.lse)?);
    let step = DenseDecode {
        element: element(planner.config().dtype),
        s_q: plan.s_q(),
        h_q: dims.h_q(),
        h_k: dims.h_k(),
        lengths: tables.lengths(batch),
        block_size: planner.config().block_size as u32,
        block_table: &block_table,
        q: q.as_slice(),
        kv_cache,
        out: out.as_mut_slice(),
        lse: lse.as_mut_slice(),
        softmax_scale: args.softmax_scale,
        softcap: args.softcap,
        causal: plan.mask().is_causal(),
        parts: plan.parts(),
        cut: plan.cut(),
        reach: plan.reach(),
        variant: plan.variant(),
    };
    step.run(|launch| simulator.configure(launch)).map_err(report)?;
    out.store(&args.out);
    lse.store(&args.lse);
    Ok(())
}

/// What the kernels call a type that has been checked.
const fn element(dtype: DType) -> ElementType {
    match dtype {
        DType::F16 => ElementType::F16,
        _ => ElementType::Bf16,
    }
}

fn report(error: simulate::Error) -> Error {
    Error::Simulation { report: error.to_string() }
}
