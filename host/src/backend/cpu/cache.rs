//! Cached rows on the CPU: every element in f64, rounded once, so that there is no faster and no more exact way to
//! keep apart.

use std::ptr;

use half::{bf16, f16};
use rayon::prelude::*;

use super::fp8;
use super::half_float::HalfFloat;
use crate::cache::{
    AppendRows, CacheFormat, CopyBlocks, GatherRows, Place, RmsNorm, Run, Scales, index_at,
};
use crate::dtype::DType;
use crate::tensor::{TensorMut, TensorRef};

/// Appends; the arguments have been checked, and `runs` are theirs.
pub(crate) fn append(args: &AppendRows<'_>, runs: &[Run]) {
    match args.latent.dtype() {
        DType::F16 => append_as::<f16>(args, runs),
        _ => append_as::<bf16>(args, runs),
    }
}

/// Rows are worked out side by side and stored one after the other: nothing keeps two from having the same slot.
fn append_as<T: HalfFloat>(args: &AppendRows<'_>, runs: &[Run]) {
    let places: Vec<_> = runs.iter().flat_map(Run::places).collect();
    let rows: Vec<Vec<f64>> = places
        .par_iter()
        .map(|&Place { row, position, .. }| new_row::<T>(args, row, position))
        .collect();
    let (format, block_size) = (CacheFormat::of(&args.kv_cache.as_ref()), args.kv_cache.shape()[1]);
    for (Place { request, position, .. }, row) in places.into_iter().zip(rows) {
        let [block, offset] = slot(&args.block_table, block_size, request, position);
        if let Ok(CacheFormat::Fp8(format)) = format {
            let token = fp8::quantise(format, &row, args.scales == Scales::PowerOfTwo);
            let block = args.kv_cache.address_at([block, 0, 0, 0]);
            // SAFETY: a block of the cache, which is of that format.
            unsafe { token.store(format, block_size, block, offset) };
            continue;
        }
        for (d, value) in row.into_iter().enumerate() {
            // SAFETY: an element of the cache.
            unsafe { store(&args.kv_cache, [block, offset, 0, d], T::from_f64(value)) };
        }
    }
}

/// What the cache is to hold of a token, not rounded yet.
fn new_row<T: HalfFloat>(args: &AppendRows<'_>, row: usize, position: usize) -> Vec<f64> {
    let mut latent = values::<T>(&args.latent, row);
    let mut rope = values::<T>(&args.rope, row);
    if let Some(norm) = &args.norm {
        normalise::<T>(&mut latent, norm);
    }
    if let Some(rotations) = &args.rotations {
        rotate(&mut rope, rotations, position);
    }
    latent.into_iter().chain(rope).collect()
}

/// `x · weight / sqrt(mean(x²) + eps)`.
fn normalise<T: HalfFloat>(x: &mut [f64], norm: &RmsNorm<'_>) {
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    let scale = (mean + f64::from(norm.eps)).sqrt().recip();
    for (d, x) in x.iter_mut().enumerate() {
        // SAFETY: an element of the weights.
        *x *= scale * unsafe { load::<T, 1>(&norm.weight, [d]) }.to_f64();
    }
}

/// Turns each pair of neighbours by its angle at `position`.
fn rotate(rope: &mut [f64], rotations: &TensorRef<'_>, position: usize) {
    for (pair, xy) in rope.chunks_exact_mut(2).enumerate() {
        // SAFETY: elements of the table, which has the position.
        let turn = |part| f64::from(unsafe { load::<f32, 3>(rotations, [position, pair, part]) });
        let ([x, y], [cos, sin]) = ([xy[0], xy[1]], [0, 1].map(turn));
        xy.copy_from_slice(&[x * cos - y * sin, x * sin + y * cos]);
    }
}

/// Gathers; the arguments have been checked, and `runs` are theirs.
pub(crate) fn gather(args: &GatherRows<'_>, runs: &[Run]) {
    match args.out.dtype() {
        DType::F16 => gather_as::<f16>(args, runs),
        _ => gather_as::<bf16>(args, runs),
    }
}

fn gather_as<T: HalfFloat>(args: &GatherRows<'_>, runs: &[Run]) {
    let (format, block_size) = (CacheFormat::of(&args.kv_cache), args.kv_cache.shape()[1]);
    let places: Vec<_> = runs.iter().flat_map(Run::places).collect();
    places.par_iter().for_each(|&Place { request, row, position }| {
        let [block, offset] = slot(&args.block_table, block_size, request, position);
        if let Ok(CacheFormat::Fp8(format)) = format {
            let block = args.kv_cache.address_at([block, 0, 0, 0]);
            // SAFETY: a block of the cache, which is of that format.
            let values = unsafe { fp8::dequantise(format, block_size, block, offset) };
            for (d, value) in values.into_iter().enumerate() {
                // SAFETY: an element of the output, which no other row has.
                unsafe { store(&args.out, [row, d], T::from_f32(value)) };
            }
            return;
        }
        for d in 0..args.out.shape()[1] {
            // SAFETY: an element of the cache, and one of the output, which no other row has.
            unsafe {
                let bits: u16 = load(&args.kv_cache, [block, offset, 0, d]);
                store(&args.out, [row, d], bits);
            }
        }
    });
}

/// Copies blocks, from and to; the arguments have been checked.
pub(crate) fn copy_blocks(args: &CopyBlocks<'_>, copies: &[[usize; 2]]) {
    match args.kv_cache.dtype() {
        DType::U8 => copy_blocks_of::<u8>(args, copies),
        _ => copy_blocks_of::<u16>(args, copies),
    }
}

/// `T` has the size of the cache's elements.
fn copy_blocks_of<T: Copy>(args: &CopyBlocks<'_>, copies: &[[usize; 2]]) {
    let (cache, shape) = (args.kv_cache.as_ref(), args.kv_cache.shape());
    for &[from, to] in copies {
        for (offset, head) in (0..shape[1]).flat_map(|t| (0..shape[2]).map(move |h| (t, h))) {
            for d in 0..shape[3] {
                // SAFETY: elements of the cache.
                unsafe {
                    let bits: T = load(&cache, [from, offset, head, d]);
                    store(&args.kv_cache, [to, offset, head, d], bits);
                }
            }
        }
    }
}

/// Block and offset of a token whose block is in the table.
fn slot(
    block_table: &TensorRef<'_>,
    block_size: usize,
    request: usize,
    position: usize,
) -> [usize; 2] {
    let block = index_at(block_table, [request, position / block_size]);
    [block as usize, position % block_size]
}

/// A row of a matrix of `T`.
fn values<T: HalfFloat>(matrix: &TensorRef<'_>, row: usize) -> Vec<f64> {
    // SAFETY: an element of the matrix.
    (0..matrix.shape()[1]).map(|d| unsafe { load::<T, 2>(matrix, [row, d]) }.to_f64()).collect()
}

/// # Safety
/// The tensor is on the host, its elements are aligned `T`s or as large as they, and `index` is inside its shape.
pub(super) unsafe fn load<T: Copy, const RANK: usize>(
    tensor: &TensorRef<'_>,
    index: [usize; RANK],
) -> T {
    // SAFETY: the caller's promise.
    unsafe { ptr::with_exposed_provenance::<T>(tensor.address_at(index)).read() }
}

/// # Safety
/// As for [`load`], and nobody else reads or writes the element.
pub(super) unsafe fn store<T, const RANK: usize>(
    tensor: &TensorMut<'_>,
    index: [usize; RANK],
    value: T,
) {
    // SAFETY: the caller's promise.
    unsafe { ptr::with_exposed_provenance_mut::<T>(tensor.address_at(index)).write(value) }
}
