//! Dense decode that multiplies in FP8, over blocks of `Planar644`: how far it is from the oracle over the dequantised
//! tokens, and from the oracle over the tokens as they were before.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use oxmla::cache::Fp8Format;
use oxmla::{DType, Decode, Location, Mask, Planner, decode};

use super::decode::{upload, view};
use super::{quantise_tile, with_gaps};
use crate::case::{Case, Lengths};
use crate::element::{NAN_BITS, narrow, widen};
use crate::inputs::Cache;
use crate::layout::{D_K, D_V, Layout};
use crate::oracle::{self, QueryRow};
use crate::scene::{PlacedCache, Results, Scene};
use crate::session::Session;

const FORMAT: Fp8Format = Fp8Format::Planar644;
/// Rows that are compared of each request.
const ROWS: usize = 8;

/// What there may be of an error: the norm of the difference of all rows and of one, relative to what is right, and the
/// largest difference of an LSE.
struct Bounds {
    all: f64,
    row: f64,
    lse: f64,
}

impl Bounds {
    /// Beside the oracle over the dequantised tokens: what rounding to three bits of fraction leaves, which is off by 2.6 % of
    /// a number in the root mean square and by 1/16 at most. Weights are, and the queries, by which scores of a standard
    /// deviation of 2, those of the steep case, are off by 0.05.
    const fn of_math(steep: bool) -> Self {
        if steep {
            Self { all: 0.08, row: 0.16, lse: 0.12 }
        } else {
            Self { all: 0.03, row: 0.05, lse: 0.002 }
        }
    }

    /// What the tensor cores of a GPU cut off of products of FP8 numbers, about 2.7 · 10⁻⁴ of a value, by all signs towards
    /// −∞: it adds up like the number of tokens where random values add up like its root. `docs/fp8-math.md` has what it was
    /// measured by.
    fn cut_off(scene: &Scene, location: Location) -> f64 {
        if !matches!(location, Location::Cuda { .. }) {
            return 0.0;
        }
        let longest = scene.cache.host.lengths.iter().copied().max().unwrap_or(0);
        4e-4 * f64::from(longest).sqrt()
    }

    /// The same beside an error of another kind.
    fn beside(self, off: f64) -> Self {
        Self { all: self.all.hypot(off), row: self.row.hypot(off), ..self }
    }

    /// Beside the oracle over the tokens that were quantised, which are off as much as queries and weights, once as keys and
    /// once as values.
    const fn in_all(steep: bool) -> Self {
        if steep {
            Self { all: 0.11, row: 0.2, lse: 0.17 }
        } else {
            Self { all: 0.045, row: 0.065, lse: 0.003 }
        }
    }
}

/// Rows in full tiles and with padding, scores that lie far apart, masks, windows, soft caps, sizes of blocks, requests
/// without tokens, in one piece, shared by neighbouring parts and by many.
fn cases(gpu: bool) -> Vec<Case> {
    let longest = if gpu { 5_000 } else { 140 };
    let lengths = Lengths::Listed(vec![longest, 0, 65, longest / 2]);
    let case = Case { batch: 4, lengths, seed: 98, ..Case::default() };
    let mut cases = vec![
        Case { s_q: 2, h_q: 40, mask: Mask::Causal, ..case.clone() },
        Case { batch: 1, h_q: 16, lengths: Lengths::Fixed(longest), ..case.clone() },
        Case { h_q: 16, dtype: DType::F16, ..case.clone() },
        Case { h_q: 16, scale: 200.0 * case.scale, ..case.clone() },
        Case { s_q: 2, mask: Mask::Causal.within(70), softcap: Some(2.0), ..case.clone() },
        Case { h_q: 40, block_size: 16, ..case.clone() },
        Case { s_q: 2, block_size: 128, mask: Mask::Causal.within(70), ..case.clone() },
    ];
    if gpu {
        cases.extend([
            Case { s_q: 2, h_q: 128, mask: Mask::Causal, ..case.clone() },
            Case { h_q: 128, block_size: 32, ..case.clone() },
            Case { h_q: 1, lengths: Lengths::Listed(vec![1, 63, 64, 129]), ..case.clone() },
            Case { batch: 150, h_q: 16, lengths: Lengths::Varied(700), ..case.clone() },
            // In one piece: sums over so many tokens show what the tensor cores cut off.
            Case { batch: 1, h_q: 64, lengths: Lengths::Fixed(60_000), ..case },
        ]);
    }
    cases
}

/// Results are near both oracles', and the same bits each time.
pub fn multiplied(session: &mut Session) -> Result<()> {
    let gpu = matches!(session.device().location(), Location::Cuda { .. });
    for case in cases(gpu) {
        check(session, &case).with_context(|| format!("{case:?}"))?;
    }
    Ok(())
}

fn check(session: &mut Session, case: &Case) -> Result<()> {
    /// Tokens of a piece: all of the longest request.
    const PIECE: u32 = 1 << 16;
    let device = session.device().clone();
    let mut cache = Cache::new(case, session.pool(case.dtype), 3);
    let original = cache.clone();
    let layout = with_gaps(FORMAT, cache.blocks(), case.block_size);
    let codes = upload(&device, &quantise(case.dtype, &mut cache, &layout))?;
    let cache = Arc::new(PlacedCache::new(&device, cache)?);
    let mut scene = Scene::new(&device, case, session.pool(case.dtype), cache)?;
    let config = scene.planner_config()?;
    let mut planner = match case.lengths {
        Lengths::Fixed(tokens) if tokens > 10_000 => {
            Planner::deterministic(&device, config, PIECE)?
        }
        _ => Planner::new(&device, config)?,
    };
    let mut first: Option<Results> = None;
    for _ in 0..2 {
        scene.out.refill()?;
        scene.lse.refill()?;
        let stream = session.stream().as_ref();
        let plan = planner.plan(stream, scene.step()?)?;
        let args = Decode { kv_cache: view(&codes, &layout)?, ..scene.args()? };
        decode(&planner, &plan, stream, args)?;
        session.stream().synchronize()?;
        let results = scene.results()?;
        match &first {
            Some(first) => ensure!(results.same_bits(first), "two runs differ"),
            None => first = Some(results),
        }
    }
    let results = first.context("two runs")?;
    let steep = case.scale > Case::default().scale;
    let cut = Bounds::cut_off(&scene, device.location());
    near(&scene, &scene.cache.host, &results, &Bounds::of_math(steep).beside(cut))
        .context("over dequantised tokens")?;
    near(&scene, &original, &results, &Bounds::in_all(steep).beside(cut))
        .context("over the tokens as they were")
}

/// Compares with the oracle over `cache`.
fn near(scene: &Scene, cache: &Cache, results: &Results, bounds: &Bounds) -> Result<()> {
    let case = &scene.case;
    let of_request = case.s_q * case.h_q;
    let rows: Vec<QueryRow> = (0..case.batch * of_request)
        .filter(|row| (row % of_request).is_multiple_of(of_request.div_ceil(ROWS)))
        .map(|row| QueryRow {
            request: row / of_request,
            token: row % of_request / case.h_q,
            head: row % case.h_q,
        })
        .collect();
    let (mut off, mut norm) = (0.0, 0.0);
    let mut values = [0.0; D_V];
    for (row, expected) in rows.iter().zip(oracle::attend(case, cache, &scene.queries, &rows)) {
        let QueryRow { request, token, head } = *row;
        let place = || format!("query token {token}, head {head} of request {request}");
        widen(case.dtype, results.out.row([request, token, head, 0]), &mut values);
        let square = |x: f64| x * x;
        let row_off: f64 =
            values.iter().zip(&expected.out).map(|(&a, b)| square(f64::from(a) - b)).sum();
        let row_norm: f64 = expected.out.iter().map(|&b| square(b)).sum();
        let relative = (row_off / row_norm).sqrt();
        ensure!(
            row_off == 0.0 || relative <= bounds.row,
            "{}: off by {relative}, more than {}",
            place(),
            bounds.row
        );
        let lse = f64::from(results.lse.at([request, head, token]));
        let near = lse == expected.lse || (lse - expected.lse).abs() <= bounds.lse;
        ensure!(near, "{}: lse is {lse}, not {}", place(), expected.lse);
        off += row_off;
        norm += row_norm;
    }
    let relative = (off / norm).sqrt();
    ensure!(relative <= bounds.all, "off by {relative}, more than {}", bounds.all);
    Ok(())
}

/// The tokens of `cache` in FP8; what it holds becomes what they stand for. Bytes that nobody may read are NaN.
fn quantise(dtype: DType, cache: &mut Cache, layout: &Layout<4>) -> Vec<u8> {
    const ROPE: usize = D_K - D_V;
    let parts = FORMAT.layout();
    let block_size = layout.shape[1];
    let [rope, scales] =
        [parts.rope(block_size as u64), parts.scales(block_size as u64)].map(|at| at as usize);
    let mut bytes = vec![0xff; layout.shape[0] * layout.strides[0]];
    let slots = (0..cache.blocks()).flat_map(|block| (0..block_size).map(move |o| (block, o)));
    for (block, offset) in slots {
        let row = cache.layout.offset([block, offset, 0, 0]);
        let row = &mut cache.bits[row..][..D_K];
        if row[0] == NAN_BITS {
            continue;
        }
        let block = &mut bytes[block * layout.strides[0]..][..layout.strides[0]];
        let codes = &mut block[offset * D_V..][..D_V];
        let scale = quantise_tile(dtype, &mut row[..D_V], true, codes);
        block[scales + 4 * offset..][..4].copy_from_slice(&scale.to_le_bytes());
        let mut values = [0.0; ROPE];
        widen(dtype, &row[D_V..], &mut values);
        let divided = values.map(|value| narrow(DType::Bf16, value / scale));
        block[rope + 2 * ROPE * offset..][..2 * ROPE]
            .copy_from_slice(bytemuck::cast_slice(&divided));
        widen(DType::Bf16, &divided, &mut values);
        row[D_V..].copy_from_slice(&values.map(|value| narrow(dtype, value * scale)));
    }
    bytes
}
