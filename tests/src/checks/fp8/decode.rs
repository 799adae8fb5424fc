//! Dense decode over FP8 blocks.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use oxmla::cache::Fp8Format;
use oxmla::{Buffer, DType, Decode, Device, Location, Mask, Planner, TensorRef, decode};

use super::{quantise_tile, with_gaps};
use crate::case::{Case, Lengths};
use crate::element::{NAN_BITS, narrow, widen};
use crate::inputs::Cache;
use crate::layout::{D_K, D_V, Layout};
use crate::scene::{PlacedCache, Scene};
use crate::session::Session;

const FORMAT: Fp8Format = Fp8Format::Token656;
/// Bytes of a token.
const TOKEN: usize = FORMAT.bytes_per_token() as usize;
/// Elements that share a scale.
const GROUP: usize = FORMAT.layout().tile as usize;

/// Rows in full tiles and with padding, masks, windows, soft caps, sizes of blocks, requests without tokens, in one piece, shared by neighbouring parts and
/// by many.
fn cases(gpu: bool) -> Vec<Case> {
    let longest = if gpu { 5_000 } else { 140 };
    let lengths = Lengths::Listed(vec![longest, 0, 65, longest / 2]);
    let case = Case { batch: 4, lengths, seed: 97, ..Case::default() };
    let mut cases = vec![
        Case { s_q: 2, h_q: 40, mask: Mask::Causal, ..case.clone() },
        Case { batch: 1, h_q: 16, lengths: Lengths::Fixed(longest), ..case.clone() },
        Case { h_q: 16, dtype: DType::F16, ..case.clone() },
        Case { s_q: 2, mask: Mask::Causal.within(70), softcap: Some(2.0), ..case.clone() },
        Case { dtype: DType::F16, mask: Mask::Causal.within(200), ..case.clone() },
        Case { h_q: 40, block_size: 16, ..case.clone() },
        Case { s_q: 2, block_size: 128, mask: Mask::Causal.within(70), ..case.clone() },
    ];
    if gpu {
        cases.extend([
            Case { s_q: 2, h_q: 128, mask: Mask::Causal, ..case.clone() },
            Case { s_q: 2, h_q: 128, mask: Mask::Causal.within(1030), ..case.clone() },
            Case { h_q: 128, block_size: 32, ..case.clone() },
            Case { h_q: 1, lengths: Lengths::Listed(vec![1, 63, 64, 129]), ..case.clone() },
            Case { batch: 150, h_q: 16, lengths: Lengths::Varied(700), ..case.clone() },
            Case { batch: 40, h_q: 128, lengths: Lengths::WithZeros(2_000), ..case },
        ]);
    }
    cases
}

/// The results are right, and the same bits each time.
pub fn decoded(session: &mut Session) -> Result<()> {
    let gpu = matches!(session.device().location(), Location::Cuda { .. });
    for case in cases(gpu) {
        let place = || format!("{case:?}");
        let device = session.device().clone();
        let mut cache = Cache::new(&case, session.pool(case.dtype), 3);
        let layout = with_gaps(FORMAT, cache.blocks(), case.block_size);
        let codes = upload(&device, &quantise(case.dtype, &mut cache, &layout))?;
        let cache = Arc::new(PlacedCache::new(&device, cache)?);
        let mut scene = Scene::new(&device, &case, session.pool(case.dtype), cache)?;
        let mut planner = Planner::new(&device, scene.planner_config()?)?;
        let mut first = None;
        for _ in 0..2 {
            scene.out.refill()?;
            scene.lse.refill()?;
            let stream = session.stream().as_ref();
            let plan = planner.plan(stream, scene.step()?)?;
            let args = Decode { kv_cache: view(&codes, &layout)?, ..scene.args()? };
            decode(&planner, &plan, stream, args)?;
            session.stream().synchronize()?;
            session.verify_over_fp8(&scene).with_context(place)?;
            let results = scene.results()?;
            let same = first.get_or_insert_with(|| results.clone()).same_bits(&results);
            ensure!(same, "the second run gave other bits: {}", place());
        }
    }
    Ok(())
}

pub(super) fn upload(device: &Device, bytes: &[u8]) -> oxmla::Result<Buffer> {
    let mut buffer = device.alloc(bytes.len())?;
    buffer.write(0, bytes)?;
    Ok(buffer)
}

pub(super) fn view<'a>(buffer: &'a Buffer, layout: &Layout<4>) -> oxmla::Result<TensorRef<'a>> {
    let Layout { shape, strides } = layout;
    // SAFETY: the buffer was made of all the layout's blocks, and is borrowed for as long as the view.
    unsafe { TensorRef::from_raw(buffer.address(), DType::U8, shape, strides, buffer.location()) }
}

/// The tokens of `cache` in FP8; what it holds becomes what they stand for. Bytes that nobody may read are NaN.
fn quantise(dtype: DType, cache: &mut Cache, layout: &Layout<4>) -> Vec<u8> {
    let mut bytes = vec![0xff; layout.shape[0] * layout.strides[0]];
    let block_size = layout.shape[1];
    let slots = (0..cache.blocks()).flat_map(|block| (0..block_size).map(move |o| (block, o)));
    for (block, offset) in slots {
        let row = cache.layout.offset([block, offset, 0, 0]);
        let row = &mut cache.bits[row..][..D_K];
        if row[0] == NAN_BITS {
            continue;
        }
        let token = &mut bytes[layout.offset([block, offset, 0, 0])..][..TOKEN];
        for (group, elements) in row[..D_V].chunks_mut(GROUP).enumerate() {
            let codes = &mut token[group * GROUP..][..GROUP];
            let scale = quantise_tile(dtype, elements, false, codes);
            token[D_V + 4 * group..][..4].copy_from_slice(&scale.to_le_bytes());
        }
        let mut values = [0.0; D_K - D_V];
        widen(dtype, &row[D_V..], &mut values);
        let rope = values.map(|value| narrow(DType::Bf16, value));
        token[FORMAT.layout().rope(0) as usize..].copy_from_slice(bytemuck::cast_slice(&rope));
        widen(DType::Bf16, &rope, &mut values);
        row[D_V..].copy_from_slice(&values.map(|value| narrow(dtype, value)));
    }
    bytes
}
