//! Tensors that are not those of the plan.

use anyhow::{Context, Result};
use oxmla::{DType, Decode, Error, Location, StreamRef, TensorMut, TensorRef, decode};

use super::Bench;

/// A tensor of a decode, by name, with the names of its axes.
type Tensor = (&'static str, [&'static str; 4]);

const TENSORS: [Tensor; 4] = [
    ("q", ["batch", "s_q", "h_q", "d_qk"]),
    ("kv_cache", ["blocks", "block_size", "h_k", "d_qk"]),
    ("out", ["batch", "s_q", "h_q", "d_v"]),
    ("lse", ["batch", "h_q", "s_q", ""]),
];

pub fn all(bench: &mut Bench<'_>) -> Result<()> {
    for (arg, axes) in TENSORS {
        shapes(bench, arg, axes)
            .and_then(|()| dtypes(bench, arg))
            .and_then(|()| elsewhere(bench, arg))
            .and_then(|()| odd_address(bench, arg))
            .context(arg)?;
    }
    scales(bench)?;
    foreign_stream(bench)
}

/// One axis less, and each axis one smaller and one larger.
fn shapes(bench: &mut Bench<'_>, arg: &'static str, axes: [&'static str; 4]) -> Result<()> {
    let rank = if arg == "lse" { 3 } else { 4 };
    let error = Error::RankMismatch { arg, expected: rank, got: rank - 1 };
    bench.decode_refuses(&error, |args| {
        change(args, arg, |view| view.resize(|shape| shape.truncate(rank - 1)))
    })?;
    for (index, &axis) in axes[..rank].iter().enumerate() {
        for grow in [true, false] {
            let expected = View::of(&bench.scene.args()?, arg).shape[index];
            let got = if grow { expected + 1 } else { expected - 1 };
            let error = Error::ShapeMismatch { arg, axis, expected, got };
            bench.decode_refuses(&error, |args| {
                change(args, arg, |view| view.resize(|shape| shape[index] = got))
            })?;
        }
    }
    Ok(())
}

fn dtypes(bench: &mut Bench<'_>, arg: &'static str) -> Result<()> {
    let expected = if arg == "lse" { DType::F32 } else { DType::Bf16 };
    for got in [DType::F16, DType::F32, DType::I32, DType::Bf16] {
        if got != expected {
            let error = Error::DTypeMismatch { arg, expected, got };
            bench.decode_refuses(&error, |args| change(args, arg, |view| view.dtype = got))?;
        }
    }
    Ok(())
}

/// Memory of another device.
fn elsewhere(bench: &mut Bench<'_>, arg: &'static str) -> Result<()> {
    let (expected, got) = (bench.device().location(), bench.elsewhere());
    let error = Error::LocationMismatch { arg, expected, got };
    bench.decode_refuses(&error, |args| change(args, arg, |view| view.location = got))
}

/// An address that no element can have. A GPU asks for more, see `layouts`.
fn odd_address(bench: &mut Bench<'_>, arg: &'static str) -> Result<()> {
    let View { address, dtype, .. } = View::of(&bench.scene.args()?, arg);
    let required = dtype.size();
    let error = Error::Misaligned { arg, required, got: address + 1 };
    bench.decode_refuses(&error, |args| change(args, arg, |view| view.address += 1))
}

fn scales(bench: &mut Bench<'_>) -> Result<()> {
    for got in [0.0, -0.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        bench.decode_refuses(&Error::InvalidScale { got }, |args| {
            args.softmax_scale = got;
            Ok(())
        })?;
        bench.decode_refuses(&Error::InvalidSoftcap { got }, |args| {
            args.softcap = Some(got);
            Ok(())
        })?;
    }
    // The kernels divide the scale by the cap.
    for got in [1e-38, 3e38] {
        bench.decode_refuses(&Error::InvalidSoftcap { got }, |args| {
            args.softmax_scale = if got > 1.0 { 1e-3 } else { 1e3 };
            args.softcap = Some(got);
            Ok(())
        })?;
    }
    Ok(())
}

/// A stream of another device.
fn foreign_stream(bench: &mut Bench<'_>) -> Result<()> {
    let (expected, got) = (bench.device().location(), bench.elsewhere());
    let stream = match got {
        Location::Host => StreamRef::cpu(),
        // SAFETY: the default stream always lives; and the call is refused before it uses it.
        Location::Cuda { ordinal } => unsafe { StreamRef::from_raw(std::ptr::null_mut(), ordinal) },
    };
    let outcome = decode(&bench.planner, &bench.plan, stream, bench.scene.args()?);
    bench.check(&Error::LocationMismatch { arg: "stream", expected, got }, outcome)
}

/// A view, to be changed.
pub struct View {
    pub address: u64,
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
    pub location: Location,
}

/// Changes one tensor of `args`. The result may reach outside the memory that is there: only for calls that
/// must be refused.
pub fn change(args: &mut Decode<'_>, arg: &str, edit: impl FnOnce(&mut View)) -> oxmla::Result<()> {
    let mut view = View::of(args, arg);
    edit(&mut view);
    let View { address, dtype, shape, strides, location } = view;
    // SAFETY: what these views reach is not read or written, for the call that gets them is refused.
    unsafe {
        match arg {
            "q" => args.q = TensorRef::from_raw(address, dtype, &shape, &strides, location)?,
            "kv_cache" => {
                args.kv_cache = TensorRef::from_raw(address, dtype, &shape, &strides, location)?
            }
            "out" => args.out = TensorMut::from_raw(address, dtype, &shape, &strides, location)?,
            _ => args.lse = TensorMut::from_raw(address, dtype, &shape, &strides, location)?,
        }
    }
    Ok(())
}

impl View {
    /// A tensor of `args`.
    pub fn of(args: &Decode<'_>, arg: &str) -> Self {
        macro_rules! view {
            ($tensor:expr) => {
                Self {
                    address: $tensor.address(),
                    dtype: $tensor.dtype(),
                    shape: $tensor.shape().to_vec(),
                    strides: $tensor.strides().to_vec(),
                    location: $tensor.location(),
                }
            };
        }
        match arg {
            "q" => view!(args.q),
            "kv_cache" => view!(args.kv_cache),
            "out" => view!(args.out),
            _ => view!(args.lse),
        }
    }

    /// Another shape, without gaps.
    pub fn resize(&mut self, edit: impl FnOnce(&mut Vec<usize>)) {
        edit(&mut self.shape);
        self.strides =
            (0..self.shape.len()).map(|axis| self.shape[axis + 1..].iter().product()).collect();
    }
}
