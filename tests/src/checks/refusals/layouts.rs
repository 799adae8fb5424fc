//! Addresses and strides that a GPU cannot follow. The CPU follows all of them.

use anyhow::{Context, Result};
use oxmla::{Error, Location};

use super::Bench;
use super::tensors::{View, change};

/// Bytes of which a GPU needs addresses and strides to be multiples.
const ALIGNMENT: usize = 16;

pub fn all(bench: &mut Bench<'_>) -> Result<()> {
    if bench.device().location() == Location::Host {
        return Ok(());
    }
    for (arg, axes) in [
        ("q", ["batch", "s_q", "h_q", "d_qk"]),
        ("kv_cache", ["blocks", "block_size", "h_k", "d_qk"]),
        ("out", ["batch", "s_q", "h_q", "d_v"]),
    ] {
        addresses(bench, arg).context(arg)?;
        for (index, axis) in axes[..3].iter().enumerate() {
            misaligned_stride(bench, arg, index, axis).context(arg)?;
        }
        huge_stride(bench, arg).context(arg)?;
        scattered_rows(bench, arg, axes[3], 3).context(arg)?;
    }
    scattered_rows(bench, "lse", "s_q", 2)?;
    uneven_queries(bench)
}

/// Aligned for the element, but not for the GPU.
fn addresses(bench: &mut Bench<'_>, arg: &'static str) -> Result<()> {
    let got = View::of(&bench.scene.args()?, arg).address + 8;
    let error = Error::Misaligned { arg, required: ALIGNMENT, got };
    bench.decode_refuses(&error, |args| change(args, arg, |view| view.address = got))
}

fn misaligned_stride(
    bench: &mut Bench<'_>,
    arg: &'static str,
    index: usize,
    axis: &'static str,
) -> Result<()> {
    let View { strides, dtype, .. } = View::of(&bench.scene.args()?, arg);
    let stride = strides[index] + 4;
    let got = (stride * dtype.size()) as u64;
    let error = Error::MisalignedStride { arg, axis, required: ALIGNMENT, got };
    bench.decode_refuses(&error, |args| {
        change(args, arg, |view| {
            make_room(view, index);
            view.strides[index] = stride;
        })
    })
}

/// The first stride that a tensor map cannot express.
fn huge_stride(bench: &mut Bench<'_>, arg: &'static str) -> Result<()> {
    let limit = 1 << 40;
    let error = Error::OutOfRange { arg, min: 0, max: limit - 1, got: limit };
    bench.decode_refuses(&error, |args| {
        change(args, arg, |view| view.strides[0] = limit as usize / view.dtype.size())
    })
}

/// Rows whose elements are not side by side.
fn scattered_rows(
    bench: &mut Bench<'_>,
    arg: &'static str,
    axis: &'static str,
    index: usize,
) -> Result<()> {
    let error = Error::StrideMismatch { arg, axis, expected: 1, got: 2 };
    bench.decode_refuses(&error, |args| {
        change(args, arg, |view| {
            make_room(view, index);
            view.strides[index] = 2;
        })
    })
}

/// A gap between the heads of one query token and those of the next.
fn uneven_queries(bench: &mut Bench<'_>) -> Result<()> {
    let View { strides, .. } = View::of(&bench.scene.args()?, "q");
    let (expected, got) = (strides[1], strides[1] + 8);
    let error = Error::StrideMismatch { arg: "q", axis: "s_q", expected, got };
    bench.decode_refuses(&error, |args| change(args, "q", |view| view.strides[1] = got))
}

/// Doubles the strides of the axes outside `index`, so that what is inside may grow.
fn make_room(view: &mut View, index: usize) {
    for stride in &mut view.strides[..index] {
        *stride *= 2;
    }
}
