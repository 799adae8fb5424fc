//! Products that make no sense: refused by name, and nothing is written.

use anyhow::{Result, ensure};
use oxmla::gemm::{Absorb, Expand, Gemm, Workspace, absorb, expand, gemm};
use oxmla::{DType, Device, Error, Location, TensorMut, TensorRef};

use crate::session::Session;

/// Each with one thing wrong.
pub fn all(session: &mut Session) -> Result<()> {
    let device = session.device().clone();
    let memory = device.alloc_zeroed(1 << 20)?;
    let (address, location) = (memory.address(), memory.location());
    let view = |dtype: DType, shape: &[usize]| {
        let strides: Vec<usize> =
            (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
        // SAFETY: the memory is larger than all shapes here, and zero.
        unsafe { TensorRef::from_raw(address, dtype, shape, &strides, location) }
    };
    let workspace = Workspace::new(&device)?;
    let stream = session.stream().as_ref();
    let multiply = |x: TensorRef<'_>, weight: TensorRef<'_>, y: TensorRef<'_>| {
        let y = writable(&y)?;
        gemm(&device, stream, &workspace, Gemm { x, weight, y })
    };
    let (bf16, f32) = (DType::Bf16, DType::F32);
    let (x, weight, y) = (view(bf16, &[2, 64])?, view(bf16, &[16, 64])?, view(bf16, &[2, 16])?);
    let refusals = [
        ("x", multiply(view(f32, &[2, 64])?, weight, y)),
        ("weight", multiply(x, view(DType::F16, &[16, 64])?, y)),
        ("weight", multiply(x, view(bf16, &[16, 56])?, y)),
        ("weight", multiply(x, view(bf16, &[1, 16, 64])?, y)),
        ("y", multiply(x, weight, view(bf16, &[2, 24])?)),
        ("y", multiply(x, weight, view(bf16, &[3, 16])?)),
        ("x", multiply(view(bf16, &[64])?, weight, y)),
        ("inputs", multiply(view(bf16, &[2, 0])?, view(bf16, &[16, 0])?, y)),
        ("x", multiply(elsewhere(&x)?, weight, y)),
    ];
    for (expected, result) in refusals {
        ensure!(argument(&result) == Some(expected), "{expected}: {result:?}");
    }
    heads(&device, session, &workspace, view)
}

/// The same of `absorb` and `expand`.
fn heads<'a>(
    device: &Device,
    session: &Session,
    workspace: &Workspace,
    view: impl Fn(DType, &[usize]) -> oxmla::Result<TensorRef<'a>>,
) -> Result<()> {
    let (bf16, f32, stream) = (DType::Bf16, DType::F32, session.stream().as_ref());
    let into = |q: &[usize], w_uk: &[usize], table: &[usize], requests: usize, out: &[usize]| {
        let args = Absorb {
            q: view(bf16, q)?,
            w_uk: view(bf16, w_uk)?,
            rotations: view(f32, table)?,
            lengths: view(DType::I32, &[requests])?,
            absorbed: writable(&view(bf16, out)?)?,
        };
        absorb(device, stream, workspace, args)
    };
    let (q, w_uk, table, out) = ([4, 2, 192], [2, 512, 128], [9, 32, 2], [4, 2, 576]);
    let back = |o: &[usize], w_uv: &[usize], values: &[usize]| {
        let values = writable(&view(bf16, values)?)?;
        expand(
            device,
            stream,
            workspace,
            Expand { o: view(bf16, o)?, w_uv: view(bf16, w_uv)?, values },
        )
    };
    let refusals = [
        ("q", into(&[4, 2, 200], &w_uk, &table, 2, &out)),
        ("q", into(&q, &w_uk, &table, 3, &out)),
        ("w_uk", into(&q, &[2, 128, 512], &table, 2, &out)),
        ("w_uk", into(&q, &[3, 512, 128], &table, 2, &out)),
        ("rotations", into(&q, &w_uk, &[9, 31, 2], 2, &out)),
        ("absorbed", into(&q, &w_uk, &table, 2, &[4, 2, 512])),
        ("o", back(&[4, 2, 576], &[2, 128, 512], &[4, 2, 128])),
        ("w_uv", back(&[4, 2, 512], &[2, 512, 128], &[4, 2, 512])),
        ("values", back(&[4, 2, 512], &[2, 128, 512], &[4, 2, 64])),
    ];
    for (expected, result) in refusals {
        ensure!(argument(&result) == Some(expected), "{expected}: {result:?}");
    }
    Ok(())
}

/// The same elements to write, which no refused call does.
fn writable<'a>(tensor: &TensorRef<'a>) -> oxmla::Result<TensorMut<'a>> {
    let (address, location) = (tensor.address(), tensor.location());
    // SAFETY: nobody reads or writes through the view.
    unsafe {
        TensorMut::from_raw(address, tensor.dtype(), tensor.shape(), tensor.strides(), location)
    }
}

/// The same tensor, if it were on a GPU that nobody has.
fn elsewhere<'a>(tensor: &TensorRef<'a>) -> oxmla::Result<TensorRef<'a>> {
    let (address, location) = (tensor.address(), Location::Cuda { ordinal: 999 });
    // SAFETY: nobody reads through the view.
    unsafe {
        TensorRef::from_raw(address, tensor.dtype(), tensor.shape(), tensor.strides(), location)
    }
}

/// What a refusal names.
fn argument(result: &oxmla::Result<()>) -> Option<&'static str> {
    match result {
        Err(
            Error::RankMismatch { arg, .. }
            | Error::ShapeMismatch { arg, .. }
            | Error::DTypeMismatch { arg, .. }
            | Error::UnsupportedDType { arg, .. }
            | Error::LocationMismatch { arg, .. }
            | Error::OutOfRange { arg, .. },
        ) => Some(arg),
        _ => None,
    }
}
