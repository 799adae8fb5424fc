//! `y = x · weightᵀ`.

use anyhow::{Result, ensure};
use oxmla::gemm::{Gemm, Workspace, gemm};
use oxmla::{DType, Device};

use super::operand::{Operand, dot, ensure_near};
use crate::guarded::Guarded;
use crate::layout::Layout;
use crate::random::hash;
use crate::session::Session;

/// Elements of a product that are compared, all of them if there are fewer: an oracle's row of `o_proj` takes as long as
/// 16,384 elements of a small product.
const COMPARED: usize = 3_000;

/// Sizes `[batch, m, n, k]` with tails, one and several tiles and shares, in both types: right, twice the same bits,
/// nothing else written.
pub fn small(session: &mut Session) -> Result<()> {
    let sizes = [
        [1, 1, 8, 8],
        [1, 1, 136, 520],
        [1, 7, 256, 192],
        [1, 64, 128, 64],
        [1, 65, 72, 328],
        [1, 130, 136, 72],
        [1, 200, 40, 136],
        [1, 300, 264, 64],
        [3, 5, 136, 72],
        [2, 129, 64, 136],
    ];
    for (seed, sizes) in sizes.into_iter().enumerate() {
        for dtype in [DType::Bf16, DType::F16] {
            for gap in [0, 8] {
                check(session, dtype, sizes, gap, seed as u64)?;
            }
        }
    }
    // Nothing to compute.
    for sizes in [[0, 3, 8, 8], [1, 0, 8, 8], [1, 3, 0, 8]] {
        check(session, DType::Bf16, sizes, 0, 0)?;
    }
    Ok(())
}

/// The projections of DeepSeek-V3, of one token and of many.
#[cfg(feature = "gpu")]
pub fn layer_sizes(session: &mut Session) -> Result<()> {
    let dtype = DType::Bf16;
    for (n, k) in [(1536, 7168), (24_576, 1536), (576, 7168), (7168, 16_384)] {
        let weight = Operand::new(session.device(), dtype, Layout::packed([1, n, k]), 1)?;
        for m in [1, 17, 64, 128, 200, 256, 4096] {
            let x = Operand::new(session.device(), dtype, Layout::packed([1, m, k]), m as u64)?;
            check_product(session, &x, &weight, Layout::packed([1, m, n]))?;
        }
    }
    Ok(())
}

fn check(
    session: &Session,
    dtype: DType,
    [batch, m, n, k]: [usize; 4],
    gap: usize,
    seed: u64,
) -> Result<()> {
    let layout = |rows: usize, columns: usize| {
        let row = columns + gap;
        Layout { shape: [batch, rows, columns], strides: [rows * row + gap, row, 1] }
    };
    let x = Operand::new(session.device(), dtype, layout(m, k), seed)?;
    let weight = Operand::new(session.device(), dtype, layout(n, k), seed + 100)?;
    check_product(session, &x, &weight, layout(m, n))
}

/// Multiplies twice: near enough to f64, the same bits, nothing else written.
fn check_product(
    session: &Session,
    x: &Operand,
    weight: &Operand,
    layout: Layout<3>,
) -> Result<()> {
    let (device, dtype) = (session.device(), x.dtype);
    let [batch, m, n] = layout.shape;
    let k = x.layout.shape[2];
    let mut y = Guarded::<u16, 3>::new(device, dtype, layout)?;
    let name = format!("{dtype} [{batch}, {m}, {n}, {k}], strides {:?}", layout.strides);
    multiply(session, device, x, weight, &mut y)?;
    let first = y.snapshot()?;
    let count = batch * m * n;
    let compared = count.min(COMPARED);
    for index in 0..compared {
        let element =
            if compared < count { hash(k as u64, index as u64) as usize % count } else { index };
        let (b, row, output) = (element / n / m, element / n % m, element % n);
        let expected = dot(&x.row([b, row]), &weight.row([b, output]));
        let place = || format!("{name}: element {output} of row {row} of product {b}");
        ensure_near(dtype, first.at([b, row, output]), expected, k, place)?;
    }
    y.refill()?;
    multiply(session, device, x, weight, &mut y)?;
    ensure!(y.snapshot()?.same_bits(&first), "{name}: the second run gave other bits");
    Ok(())
}

fn multiply(
    session: &Session,
    device: &Device,
    x: &Operand,
    weight: &Operand,
    y: &mut Guarded<u16, 3>,
) -> Result<()> {
    let workspace = Workspace::new(device)?;
    let args = Gemm { x: x.view()?, weight: weight.view()?, y: y.view_mut()? };
    gemm(device, session.stream().as_ref(), &workspace, args)?;
    session.stream().synchronize()?;
    Ok(())
}
