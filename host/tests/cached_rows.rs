//! Append, gather and copy_blocks as a runtime calls them, and what they refuse.

use half::{bf16, f16};
use oxmla::cache::{
    AppendRows, CopyBlocks, GatherRows, RmsNorm, Scales, append, copy_blocks, gather,
};
use oxmla::*;

/// A pool, a layer's cache and two requests that part ways.
#[test]
fn a_fork_writes_to_its_own_block() -> Result<()> {
    let (device, stream) = (Device::cpu(), StreamRef::cpu());
    let layout = CacheLayout::new(MlaDims::deepseek_v3(), DType::Bf16, BLOCK_SIZE)?;
    let mut pool = BlockPool::new(8)?;
    let mut cache = LatentCache::new(&device, layout, 8)?;
    let rotations = Rope::new(10_000.0, None)?.table(128);
    let rotations = TensorRef::from_slice(&rotations, &[128, ROPE_PAIRS, 2])?;
    let add = |cache: &mut LatentCache, sequence: &Sequence, value: f32, new: usize| {
        let row = vec![bf16::from_f32(value); new * 512];
        let table = BlockTable::from_sequences(&[sequence])?;
        let args = AppendRows {
            latent: TensorRef::from_slice(&row, &[new, 512])?,
            rope: TensorRef::from_slice(&row, &[new, 64])?,
            norm: None,
            rotations: Some(rotations),
            lengths: TensorRef::from_slice(table.lengths(), &[1])?,
            block_table: table.view(),
            offsets: None,
            scales: Scales::Exact,
            kv_cache: cache.view_mut(),
        };
        append(&device, stream, args)
    };

    let mut first = pool.sequence();
    let _ = pool.append(&mut first, 70)?;
    add(&mut cache, &first, 1.0, 70)?;
    let mut second = pool.fork(&first)?;
    let copy = pool.append(&mut second, 1)?.copy.expect("the last block is shared");
    let pairs = [copy.from, copy.to];
    let pairs = TensorRef::from_slice(&pairs, &[1, 2])?;
    copy_blocks(&device, stream, CopyBlocks { pairs, kv_cache: cache.view_mut() })?;
    add(&mut cache, &second, 2.0, 1)?;
    let _ = pool.append(&mut first, 1)?;
    add(&mut cache, &first, 3.0, 1)?;

    let table = BlockTable::from_sequences(&[&first, &second])?;
    let mut rows = vec![bf16::ZERO; 142 * 576];
    let args = GatherRows {
        kv_cache: cache.view(),
        block_table: table.view(),
        offsets: TensorRef::from_slice(&[0, 71, 142], &[3])?,
        out: TensorMut::from_slice(&mut rows, &[142, 576])?,
    };
    gather(&device, stream, args)?;
    let latent = |row: usize| rows[row * 576].to_f32();
    assert_eq!([0, 69, 70].map(latent), [1.0, 1.0, 3.0]);
    assert_eq!([71, 140, 141].map(latent), [1.0, 1.0, 2.0]);
    // At position 70 the first pair, (3, 3), has turned by 70 radians.
    let (sin, cos) = 70f32.sin_cos();
    let turned = [3.0 * (cos - sin), 3.0 * (sin + cos)].map(bf16::from_f32);
    assert_eq!(rows[70 * 576 + 512..][..2], turned);
    assert_eq!(first.len() + second.len(), 142);
    Ok(())
}

/// The tensors of an append of three rows to two requests, one of them changed.
fn refused(change: impl FnOnce(&mut AppendRows<'_>)) -> Error {
    let (latent, rope) = (vec![bf16::ONE; 3 * 512], vec![bf16::ONE; 3 * 64]);
    let (weight, rotations) = (vec![bf16::ONE; 512], vec![0f32; 100 * 64]);
    let mut cache = vec![bf16::NAN; 4 * 64 * 576];
    let untouched = cache.clone();
    let tensor = |elements, shape: &[usize]| TensorRef::from_slice(elements, shape).unwrap();
    let mut args = AppendRows {
        latent: tensor(&latent, &[3, 512]),
        rope: tensor(&rope, &[3, 64]),
        norm: Some(RmsNorm { weight: tensor(&weight, &[512]), eps: 1e-6 }),
        rotations: Some(TensorRef::from_slice(&rotations, &[100, ROPE_PAIRS, 2]).unwrap()),
        lengths: TensorRef::from_slice(&[65, 2], &[2]).unwrap(),
        block_table: TensorRef::from_slice(&[3, 1, 0, 9], &[2, 2]).unwrap(),
        offsets: Some(TensorRef::from_slice(&[0, 1, 3], &[3]).unwrap()),
        scales: Scales::Exact,
        kv_cache: TensorMut::from_slice(&mut cache, &[4, 64, 1, 576]).unwrap(),
    };
    change(&mut args);
    let error = append(&Device::cpu(), StreamRef::cpu(), args).unwrap_err();
    let bits = |cache: &[bf16]| bytemuck::cast_slice::<bf16, u16>(cache).to_vec();
    assert_eq!(bits(&cache), bits(&untouched), "{error}");
    error
}

fn indices<'a>(values: &'a [i32], shape: &[usize]) -> TensorRef<'a> {
    TensorRef::from_slice(values, shape).unwrap()
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    static OTHER: [f16; 3 * 512] = [f16::ONE; 3 * 512];
    let latent = TensorRef::from_slice(&OTHER, &[3, 512]).unwrap();
    let (expected, got) = (DType::Bf16, DType::F16);
    let error = Error::DTypeMismatch { arg: "latent", expected, got };
    assert_eq!(refused(|args| args.latent = latent), error);

    static SHORT: [bf16; 2 * 64] = [bf16::ONE; 2 * 64];
    let rope = TensorRef::from_slice(&SHORT, &[2, 64]).unwrap();
    let error = Error::ShapeMismatch { arg: "rope", axis: "tokens", expected: 3, got: 2 };
    assert_eq!(refused(|args| args.rope = rope), error);

    let error = Error::ShapeMismatch { arg: "latent", axis: "tokens", expected: 2, got: 3 };
    assert_eq!(refused(|args| args.offsets = None), error);

    let error = Error::RankMismatch { arg: "block_table", expected: 2, got: 1 };
    assert_eq!(refused(|args| args.block_table = indices(&[0, 1], &[2])), error);

    let error = Error::ShapeMismatch { arg: "offsets", axis: "batch + 1", expected: 3, got: 2 };
    assert_eq!(refused(|args| args.offsets = Some(indices(&[0, 3], &[2]))), error);

    for eps in [-1e-6, f32::NAN, f32::INFINITY] {
        let error = refused(|args| args.norm.as_mut().unwrap().eps = eps);
        assert!(matches!(error, Error::InvalidNumber { arg: "eps", .. }), "{error}");
    }

    let mut heads = vec![bf16::ONE; 2 * 64 * 2 * 576];
    let heads = TensorMut::from_slice(&mut heads, &[2, 64, 2, 576]).unwrap();
    let (device, stream) = (Device::cpu(), StreamRef::cpu());
    let mut out = vec![bf16::ONE; 576];
    let args = GatherRows {
        kv_cache: heads.as_ref(),
        block_table: indices(&[0], &[1, 1]),
        offsets: indices(&[0, 1], &[2]),
        out: TensorMut::from_slice(&mut out, &[1, 576]).unwrap(),
    };
    let error = Error::ShapeMismatch { arg: "kv_cache", axis: "h_k", expected: 1, got: 2 };
    assert_eq!(gather(&device, stream, args), Err(error));
}

#[test]
fn indices_without_sense_are_named() {
    let error = Error::BlockOutOfPool { request: 0, index: 1, id: -1, blocks: 4 };
    assert_eq!(refused(|args| args.block_table = indices(&[3, -1, 0, 9], &[2, 2])), error);
    let error = Error::NegativeLength { request: 1, got: -5 };
    assert_eq!(refused(|args| args.lengths = indices(&[65, -5], &[2])), error);
    let error = Error::LengthBeyondTable { request: 1, length: 65, blocks: 1 };
    assert_eq!(
        refused(|args| {
            args.lengths = indices(&[64, 65], &[2]);
            args.block_table = indices(&[3, 0], &[2, 1]);
        }),
        error
    );
    let error = Error::OutOfRange { arg: "lengths", min: 0, max: 100, got: 101 };
    assert_eq!(refused(|args| args.lengths = indices(&[101, 2], &[2])), error);
    let error = Error::OutOfRange { arg: "offsets", min: 2, max: 3, got: 1 };
    assert_eq!(refused(|args| args.offsets = Some(indices(&[0, 2, 1], &[3]))), error);

    let mut cache = vec![bf16::ONE; 2 * 64 * 576];
    let mut copy = |pairs: &[i32]| {
        let kv_cache = TensorMut::from_slice(&mut cache, &[2, 64, 1, 576])?;
        let pairs = TensorRef::from_slice(pairs, &[pairs.len() / 2, 2])?;
        copy_blocks(&Device::cpu(), StreamRef::cpu(), CopyBlocks { pairs, kv_cache })
    };
    let beyond = |arg, got| Err(Error::OutOfRange { arg, min: 0, max: 1, got });
    assert_eq!(copy(&[0, 1, 0, 2]), beyond("to", 2));
    assert_eq!(copy(&[-1, 0]), beyond("from", -1));
    assert_eq!(copy(&[]), Ok(()));
}
