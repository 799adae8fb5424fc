//! The launch of the simulated normalisation. Tensors are packed first; a failed launch leaves them as they were.

use oxmla_kernels::simulate;

use super::packed::{Packed, Results};
use super::{Simulator, element, report};
use crate::error::Result;
use crate::norm::NormaliseRows;

/// Normalises; the arguments have been checked.
pub(crate) fn normalise_rows(simulator: Simulator, args: &NormaliseRows<'_>) -> Result<()> {
    let [rows, width] = [args.x.shape()[0], args.x.shape()[1]];
    if rows == 0 {
        return Ok(());
    }
    let (x, weight) = (Packed::new(&args.x)?, Packed::new(&args.norm.weight)?);
    let mut y = Results::new(&args.y)?;
    let launch = simulate::NormRows {
        element: element(args.x.dtype()),
        rows: rows as u32,
        width: width as u32,
        x: x.as_slice(),
        x_stride: width,
        weight: weight.as_slice(),
        eps: args.norm.eps,
        y: y.as_mut_slice(),
        y_stride: width,
    };
    launch.run(|launch| simulator.configure(launch)).map_err(report)?;
    y.store(&args.y);
    Ok(())
}
