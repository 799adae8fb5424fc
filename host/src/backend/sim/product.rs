//! The launch of a simulated matrix product. Tensors are packed first; a failed launch leaves them as they were.

use oxmla_kernels::gemm::tiling::Tiling;
use oxmla_kernels::simulate::{self, Strides, TurnedRows};

use super::packed::{Packed, Results};
use super::{Simulator, element, report};
use crate::error::{Error, Result};
use crate::gemm::Product;

/// Multiprocessors of the simulated GPU: enough for CTAs to share tiles.
const MULTIPROCESSORS: u32 = 4;

/// Multiplies; the arguments have been checked.
pub(crate) fn run(simulator: Simulator, product: &Product<'_>) -> Result<()> {
    if product.is_empty() {
        return Ok(());
    }
    let tiling = Tiling::choose(&product.shape, MULTIPROCESSORS);
    let tiling = tiling.ok_or(Error::SizeOverflow { what: "product" })?;
    let (x, weight) = (Packed::<u16>::new(&product.x)?, Packed::<u16>::new(&product.weight)?);
    let mut y = Results::<u16>::with_content(&product.y)?;
    let turning = match &product.turning {
        None => None,
        Some(turning) => Some((
            Packed::new(&turning.rotations)?,
            Packed::new(&turning.lengths)?,
            turning.tokens_per_request as u32,
        )),
    };
    let launch = simulate::Gemm {
        element: element(product.x.dtype()),
        shape: product.shape,
        tiling,
        x: (x.as_slice(), packed(product.x.shape())),
        weight: (weight.as_slice(), packed(product.weight.shape())),
        y: (y.as_mut_slice(), packed(product.y.shape())),
        turns: turning.as_ref().map(|(rotations, lengths, tokens_per_request)| TurnedRows {
            rotations: rotations.as_slice(),
            lengths: lengths.as_slice(),
            tokens_per_request: *tokens_per_request,
        }),
    };
    launch.run(|launch| simulator.configure(launch)).map_err(report)?;
    y.store(&product.y);
    Ok(())
}

/// Strides without gaps.
fn packed(shape: &[usize]) -> Strides {
    Strides { batch: shape[1] * shape[2], row: shape[2] }
}
