//! Rows normalised by the root of their mean square.

use anyhow::{Result, ensure};
use oxmla::norm::{NormaliseRows, RmsNorm, normalise_rows};
use oxmla::{DType, Device, Error, Location, TensorMut, TensorRef};

use super::products::operand::{Operand, ensure_near};
use crate::guarded::Guarded;
use crate::layout::Layout;
use crate::session::Session;

const EPS: f32 = 1e-6;

/// Widths with fewer vectors than lanes, with what a warp has at a time, and with more; rows with gaps.
pub fn rows(session: &mut Session) -> Result<()> {
    let device = session.device().clone();
    for (seed, (dtype, [rows, width])) in [
        (DType::Bf16, [1, 8]),
        (DType::F16, [3, 264]),
        (DType::Bf16, [130, 1536]),
        (DType::F16, [2, 1544]),
        (DType::Bf16, [5, 4104]),
    ]
    .into_iter()
    .enumerate()
    {
        let strides = |gap| Layout { shape: [1, rows, width], strides: [0, width + gap, 1] };
        let x = Operand::new(&device, dtype, strides(8), seed as u64)?;
        let weight = Operand::new(&device, dtype, Layout::packed([1, 1, width]), seed as u64 + 9)?;
        let layout = Layout { shape: [rows, width], strides: [width + 16, 1] };
        let mut results = Vec::new();
        for _ in 0..2 {
            let mut y = Guarded::<u16, 2>::new(&device, dtype, layout)?;
            let args = NormaliseRows {
                x: matrix(&x)?,
                norm: RmsNorm { weight: vector(&weight)?, eps: EPS },
                y: y.view_mut()?,
            };
            normalise_rows(&device, session.stream().as_ref(), args)?;
            session.stream().synchronize()?;
            results.push(y.snapshot()?);
        }
        ensure!(results[0].same_bits(&results[1]), "the second run gave other bits");
        let weights = weight.row([0, 0]);
        for row in 0..rows {
            let values = x.row([0, row]);
            let mean = values.iter().map(|x| x * x).sum::<f64>() / width as f64;
            let scale = (mean + f64::from(EPS)).sqrt().recip();
            for (column, (x, weight)) in values.iter().zip(&weights).enumerate() {
                let expected = x * scale * weight;
                let name = || format!("{dtype}, {rows} × {width}: column {column} of row {row}");
                let bits = results[0].at([row, column]);
                ensure_near(dtype, bits, (expected, expected.abs()), 0, name)?;
            }
        }
    }
    Ok(())
}

/// `[1, rows, columns]` as a matrix.
fn matrix(operand: &Operand) -> oxmla::Result<TensorRef<'_>> {
    let view = operand.view()?;
    let (shape, strides) = (&view.shape()[1..], &view.strides()[1..]);
    // SAFETY: the elements of the tensor, for as long.
    unsafe { TensorRef::from_raw(view.address(), view.dtype(), shape, strides, view.location()) }
}

/// `[1, 1, columns]` as a vector.
fn vector(operand: &Operand) -> oxmla::Result<TensorRef<'_>> {
    let view = operand.view()?;
    let shape = &view.shape()[2..];
    // SAFETY: the elements of the tensor, for as long.
    unsafe { TensorRef::from_raw(view.address(), view.dtype(), shape, &[1], view.location()) }
}

/// Rows that make no sense, each with one thing wrong: refused by name, and nothing is written.
pub fn refused(session: &mut Session) -> Result<()> {
    let device = session.device().clone();
    let memory = device.alloc_zeroed(1 << 16)?;
    let mut results = device.alloc_zeroed(1 << 16)?;
    let here = device.location();
    let mut refusal = |dtype: DType, shape: [usize; 2], y: [usize; 2], weight: usize, eps: f32| {
        let args = NormaliseRows {
            x: memory.view(dtype, &shape)?,
            norm: RmsNorm { weight: memory.view(DType::Bf16, &[weight])?, eps },
            y: results.view_mut(DType::Bf16, &y)?,
        };
        Ok::<_, Error>(normalise_rows(&device, session.stream().as_ref(), args).err())
    };
    let bf16 = DType::Bf16;
    ensure!(refusal(bf16, [2, 64], [2, 64], 64, EPS)?.is_none(), "a good call is refused");
    ensure!(refusal(bf16, [0, 64], [0, 64], 64, EPS)?.is_none(), "no rows are refused");
    let wrong = |arg, axis, expected, got| Some(Error::ShapeMismatch { arg, axis, expected, got });
    let rows = refusal(bf16, [2, 64], [3, 64], 64, EPS)?;
    ensure!(rows == wrong("y", "rows", 2, 3), "{rows:?}");
    let width = refusal(bf16, [2, 64], [2, 64], 72, EPS)?;
    ensure!(width == wrong("weight", "width", 64, 72), "{width:?}");
    let nothing = refusal(bf16, [2, 0], [2, 0], 0, EPS)?;
    ensure!(matches!(nothing, Some(Error::OutOfRange { arg: "width", .. })), "{nothing:?}");
    let single = refusal(DType::F32, [2, 64], [2, 64], 64, EPS)?;
    ensure!(single == Some(Error::UnsupportedDType { arg: "x", got: DType::F32 }), "{single:?}");
    let other = refusal(DType::F16, [2, 64], [2, 64], 64, EPS)?;
    ensure!(matches!(other, Some(Error::DTypeMismatch { arg: "y", .. })), "{other:?}");
    for eps in [-1.0, f32::NAN, f32::INFINITY] {
        let error = refusal(bf16, [2, 64], [2, 64], 64, eps)?;
        ensure!(matches!(error, Some(Error::InvalidNumber { arg: "eps", .. })), "{error:?}");
    }
    let odd = refusal(bf16, [2, 60], [2, 60], 60, EPS)?;
    let refused = matches!(odd, Some(Error::InvalidNumber { arg: "width", .. }));
    ensure!(refused != matches!(device, Device::Cpu(_)), "{odd:?}");
    if here != Location::Host {
        layouts(session, &memory)?;
    }
    Ok(())
}

/// What the loads of a GPU cannot follow.
fn layouts(session: &Session, memory: &oxmla::Buffer) -> Result<()> {
    let device = session.device();
    let refusal = |offset: u64, stride: usize| {
        let (address, here) = (memory.address(), memory.location());
        // SAFETY: inside the buffer; the call is refused.
        let (x, y) = unsafe {
            (
                TensorRef::from_raw(address + offset, DType::Bf16, &[2, 64], &[stride, 1], here)?,
                TensorMut::from_raw(address + 4096, DType::Bf16, &[2, 64], &[64, 1], here)?,
            )
        };
        let norm = RmsNorm { weight: memory.view(DType::Bf16, &[64])?, eps: EPS };
        let args = NormaliseRows { x, norm, y };
        Ok::<_, Error>(normalise_rows(device, session.stream().as_ref(), args).err())
    };
    let odd = refusal(2, 64)?;
    ensure!(matches!(odd, Some(Error::Misaligned { arg: "x", .. })), "{odd:?}");
    let odd = refusal(0, 68)?;
    ensure!(matches!(odd, Some(Error::MisalignedStride { arg: "x", .. })), "{odd:?}");
    Ok(())
}
