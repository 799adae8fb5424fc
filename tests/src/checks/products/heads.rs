//! Into latent space and out of it.

use anyhow::Result;
use oxmla::gemm::{Absorb, Expand, Workspace, absorb, expand};
use oxmla::{DType, ROPE_PAIRS};

use super::operand::{Operand, dot, ensure_near};
use crate::guarded::Guarded;
use crate::layout::{D_K, D_V, Layout};
use crate::random::SplitMix64;
use crate::session::Session;

const POSITIONS: usize = 300;
const ROPE: usize = 2 * ROPE_PAIRS;

/// A tensor `[tokens, heads, columns]` with gaps everywhere.
fn strided([tokens, heads, columns]: [usize; 3]) -> Layout<3> {
    let head = columns + 16;
    Layout { shape: [tokens, heads, columns], strides: [heads * head + 8, head, 1] }
}

/// Heads times W_UK, rope parts turned: tokens of one request and of several, with positions and without.
pub fn absorbed(session: &mut Session) -> Result<()> {
    let device = session.device().clone();
    let workspace = Workspace::new(&device)?;
    let mut random = SplitMix64::new(1);
    // Not of length 1, so that a pair turned twice shows.
    let rotations: Vec<f32> = (0..POSITIONS * ROPE).map(|_| random.normal() as f32).collect();
    let device_rotations = device.upload(&rotations)?;
    for (seed, (dtype, heads, nope, lengths, each)) in [
        (DType::Bf16, 2, 128, vec![1], 1),
        (DType::F16, 3, 128, vec![300, 7], 2),
        (DType::Bf16, 1, 64, vec![3, 0, 200], 4),
        (DType::Bf16, 2, 128, vec![77], 70),
    ]
    .into_iter()
    .enumerate()
    {
        let (seed, tokens) = (seed as u64, lengths.len() * each);
        let q = Operand::new(&device, dtype, strided([tokens, heads, nope + ROPE]), seed)?;
        let w_uk = Operand::new(&device, dtype, Layout::packed([heads, D_V, nope]), seed + 50)?;
        let mut out = Guarded::<u16, 3>::new(&device, dtype, strided([tokens, heads, D_K]))?;
        let device_lengths = device.upload(&lengths)?;
        let args = Absorb {
            q: q.view()?,
            w_uk: w_uk.view()?,
            rotations: device_rotations.view(DType::F32, &[POSITIONS, ROPE_PAIRS, 2])?,
            lengths: device_lengths.view(DType::I32, &[lengths.len()])?,
            absorbed: out.view_mut()?,
        };
        absorb(&device, session.stream().as_ref(), &workspace, args)?;
        session.stream().synchronize()?;
        let out = out.snapshot()?;
        for (token, head) in pairs(tokens, heads) {
            let row = q.row([token, head]);
            let position = lengths[token / each] as usize + token % each;
            let turns = position.checked_sub(each).map(|at| &rotations[at * ROPE..][..ROPE]);
            for column in 0..D_K {
                let expected = if column < D_V {
                    dot(&row[..nope], &w_uk.row([head, column]))
                } else {
                    turned(&row[nope..], turns, column - D_V)
                };
                let name = || {
                    format!("{dtype}, {lengths:?}: column {column} of head {head}, token {token}")
                };
                ensure_near(dtype, out.at([token, head, column]), expected, nope, name)?;
            }
        }
    }
    Ok(())
}

/// An element of the turned rope part, and the magnitude of its terms.
fn turned(rope: &[f64], turns: Option<&[f32]>, index: usize) -> (f64, f64) {
    let Some(turns) = turns else { return (0.0, 0.0) };
    let even = index & !1;
    let [cos, sin] = [turns[even], turns[even + 1]].map(f64::from);
    let (x, y) = (rope[even], rope[even + 1]);
    if index == even { dot(&[x, y], &[cos, -sin]) } else { dot(&[x, y], &[sin, cos]) }
}

/// Heads times W_UV.
pub fn expanded(session: &mut Session) -> Result<()> {
    let device = session.device().clone();
    let workspace = Workspace::new(&device)?;
    for (seed, (dtype, tokens, heads, v)) in
        [(DType::Bf16, 1, 2, 128), (DType::F16, 9, 3, 128), (DType::Bf16, 66, 1, 64)]
            .into_iter()
            .enumerate()
    {
        let o = Operand::new(&device, dtype, strided([tokens, heads, D_V]), seed as u64)?;
        let w_uv = Operand::new(&device, dtype, Layout::packed([heads, v, D_V]), 50 + seed as u64)?;
        let mut values = Guarded::<u16, 3>::new(&device, dtype, strided([tokens, heads, v]))?;
        let args = Expand { o: o.view()?, w_uv: w_uv.view()?, values: values.view_mut()? };
        expand(&device, session.stream().as_ref(), &workspace, args)?;
        session.stream().synchronize()?;
        let values = values.snapshot()?;
        for (token, head) in pairs(tokens, heads) {
            let row = o.row([token, head]);
            for column in 0..v {
                let expected = dot(&row, &w_uv.row([head, column]));
                let name = || format!("{dtype}: column {column} of head {head}, token {token}");
                ensure_near(dtype, values.at([token, head, column]), expected, D_V, name)?;
            }
        }
    }
    Ok(())
}

fn pairs(tokens: usize, heads: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..tokens).flat_map(move |token| (0..heads).map(move |head| (token, head)))
}
