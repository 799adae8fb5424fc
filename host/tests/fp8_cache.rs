//! FP8 caches as a runtime uses them, and what is refused.

use half::{bf16, f16};
use oxmla::cache::{AppendRows, BLOCK_SIZES, CopyBlocks, Fp8Format, GatherRows, Scales};
use oxmla::cache::{append, copy_blocks, gather};
use oxmla::*;

const FORMATS: [Fp8Format; 3] = [Fp8Format::Token656, Fp8Format::Paged584, Fp8Format::Planar644];

/// Rows with elements that e4m3 has exactly come back as they went in, by way of the bytes of another cache too.
#[test]
fn tokens_travel_between_caches() -> Result<()> {
    let kinds = FORMATS.into_iter().flat_map(|format| BLOCK_SIZES.map(|size| (format, size)));
    for (format, block_size) in kinds {
        let (device, stream) = (Device::cpu(), StreamRef::cpu());
        let layout = CacheLayout::fp8(format, block_size)?;
        let (latent, width) = (layout.format().latent(), layout.format().d_qk());
        let mut pool = BlockPool::with_block_size(20, block_size)?;
        let (mut first, mut other) = (pool.sequence(), pool.sequence());
        let _ = pool.append(&mut other, 10)?;
        let _ = pool.append(&mut first, 100)?;
        let mut cache = LatentCache::new(&device, layout, 20)?;
        let element = |i: usize| bf16::from_f32(f32::from((i * 7 % 31) as u8) - 15.0);
        let rows: Vec<bf16> = (0..100 * latent).map(element).collect();
        let rope: Vec<bf16> = (0..100 * 64).map(element).collect();
        let table = BlockTable::from_sequences(&[&first])?;
        let args = AppendRows {
            latent: TensorRef::from_slice(&rows, &[100, latent])?,
            rope: TensorRef::from_slice(&rope, &[100, 64])?,
            norm: None,
            rotations: None,
            lengths: TensorRef::from_slice(table.lengths(), &[1])?,
            block_table: table.view(),
            offsets: None,
            scales: Scales::PowerOfTwo,
            kv_cache: cache.view_mut(),
        };
        append(&device, stream, args)?;

        // Into the places of another sequence, in another cache.
        let bytes: Vec<u8> = cache.read_rows(&first, 30..100)?;
        assert_eq!(bytes.len(), 70 * layout.bytes_per_token());
        let mut second = pool.sequence();
        let _ = pool.append(&mut second, 70)?;
        let mut copy = LatentCache::new(&device, layout, 20)?;
        copy.write_rows(&second, 0..70, &bytes)?;

        let table = BlockTable::from_sequences(&[&second])?;
        let mut out = vec![bf16::ZERO; 70 * width];
        let args = GatherRows {
            kv_cache: copy.view(),
            block_table: table.view(),
            offsets: TensorRef::from_slice(&[0, 70], &[2])?,
            out: TensorMut::from_slice(&mut out, &[70, width])?,
        };
        gather(&device, stream, args)?;
        for (row, out) in out.chunks(width).enumerate() {
            assert_eq!(out[..latent], rows[(row + 30) * latent..][..latent], "{format:?}");
            assert_eq!(out[latent..], rope[(row + 30) * 64..][..64], "{format:?}");
        }
    }
    Ok(())
}

fn bytes(layout: CacheLayout, blocks: usize) -> Vec<u8> {
    vec![0; blocks * layout.bytes_per_block()]
}

/// What gathering one row out of such a cache, to such an output, is refused with.
fn refused(kv_cache: TensorRef<'_>, out: TensorMut<'_>) -> Error {
    let args = GatherRows {
        kv_cache,
        block_table: TensorRef::from_slice(&[0], &[1, 1]).unwrap(),
        offsets: TensorRef::from_slice(&[0, 1], &[2]).unwrap(),
        out,
    };
    gather(&Device::cpu(), StreamRef::cpu(), args).unwrap_err()
}

#[test]
fn caches_of_no_format_are_named() -> Result<()> {
    let layout = CacheLayout::fp8(Fp8Format::Paged584, BLOCK_SIZE)?;
    let cache = bytes(layout, 3);
    let mut row = vec![bf16::ZERO; 576];
    let mut gathered = |shape: [usize; 4], strides: [usize; 4]| {
        let out = TensorMut::from_slice(&mut row, &[1, 512]).unwrap();
        refused(TensorRef::with_strides(&cache, &shape, &strides).unwrap(), out)
    };
    let error = Error::UnknownFormat { arg: "kv_cache", got: 576 };
    assert_eq!(gathered([1, 64, 1, 576], [64 * 576, 576, 576, 1]), error);
    let error = Error::ShapeMismatch { arg: "kv_cache", axis: "h_k", expected: 1, got: 2 };
    assert_eq!(gathered([1, 64, 2, 584], [128 * 584, 2 * 584, 584, 1]), error);
    let error = Error::UnsupportedBlockSize { got: 48 };
    assert_eq!(gathered([2, 48, 1, 584], [48 * 584, 584, 584, 1]), error);
    // Where the scales are is the format's to say, so tokens have no gaps.
    let (axis, expected, got) = ("block_size", 584, 592);
    let error = Error::StrideMismatch { arg: "kv_cache", axis, expected, got };
    assert_eq!(gathered([1, 64, 1, 584], [64 * 592, 592, 592, 1]), error);

    let view = |cache| TensorRef::from_slice(cache, &layout.shape(3));
    let mut floats = vec![0f32; 512];
    let error = Error::UnsupportedDType { arg: "out", got: DType::F32 };
    assert_eq!(refused(view(&cache)?, TensorMut::from_slice(&mut floats, &[1, 512])?), error);
    let error = Error::ShapeMismatch { arg: "out", axis: "d_qk", expected: 512, got: 576 };
    assert_eq!(refused(view(&cache)?, TensorMut::from_slice(&mut row, &[1, 576])?), error);
    Ok(())
}

#[test]
fn copies_of_no_block_are_named() -> Result<()> {
    let layout = CacheLayout::fp8(Fp8Format::Token656, BLOCK_SIZE)?;
    let mut cache = bytes(layout, 2);
    let args = CopyBlocks {
        pairs: TensorRef::from_slice(&[0, 2], &[1, 2])?,
        kv_cache: TensorMut::from_slice(&mut cache, &layout.shape(2))?,
    };
    let error = Error::OutOfRange { arg: "to", min: 0, max: 1, got: 2 };
    assert_eq!(copy_blocks(&Device::cpu(), StreamRef::cpu(), args), Err(error));
    Ok(())
}

/// A step of one request of one token, over a cache of that shape; the bits of its output.
fn attend(device: &Device, dtype: DType, kv_cache: TensorRef<'_>) -> Result<Vec<u16>> {
    let config = PlannerConfig {
        dims: MlaDims::new(1, 1)?,
        dtype,
        max_batch: 1,
        max_blocks_per_sequence: 1,
        max_s_q: 1,
        block_size: BLOCK_SIZE,
        blocks_in_cache: 1,
    };
    let mut planner = Planner::new(device, config)?;
    let block_table = TensorRef::from_slice(&[0], &[1, 1])?;
    let step = Step { lengths: &[1], block_table, s_q: 1, mask: Mask::None };
    let plan = planner.plan(StreamRef::cpu(), step)?;
    let (q, mut out, mut lse) = (vec![0u16; 576], vec![0u16; 512], [0f32]);
    let (q_address, out_address) = (q.as_ptr() as u64, out.as_mut_ptr() as u64);
    // SAFETY: both tensors outlive the call, and nobody else uses them before its end.
    let (q, out_view) = unsafe {
        let (rows, columns) = ([1, 1, 1, 576], [1, 1, 1, 512]);
        (
            TensorRef::from_raw(q_address, dtype, &rows, &[576, 576, 576, 1], Location::Host)?,
            TensorMut::from_raw(out_address, dtype, &columns, &[512, 512, 512, 1], Location::Host)?,
        )
    };
    let lse = TensorMut::from_slice(&mut lse, &[1, 1, 1])?;
    let args = Decode { q, kv_cache, out: out_view, lse, softmax_scale: 1.0, softcap: None };
    decode(&planner, &plan, StreamRef::cpu(), args)?;
    Ok(out)
}

/// The output of a single token is its latent part, dequantised.
#[test]
fn dense_decode_gives_what_was_stored() -> Result<()> {
    let layout = CacheLayout::fp8(Fp8Format::Token656, BLOCK_SIZE)?;
    let mut cache = bytes(layout, 1);
    cache.fill(0xff);
    cache[..512].fill(0x38);
    for (group, scale) in [0.5f32, 1.0, 2.0, 3.0].into_iter().enumerate() {
        cache[512 + 4 * group..][..4].copy_from_slice(&scale.to_le_bytes());
    }
    cache[528..656].fill(0);
    for device in [Device::cpu(), Device::oracle()] {
        let out = |dtype| attend(&device, dtype, TensorRef::from_slice(&cache, &layout.shape(1))?);
        let (of_bf16, of_f16) = (out(DType::Bf16)?, out(DType::F16)?);
        for (group, scale) in [0.5, 1.0, 2.0, 3.0].into_iter().enumerate() {
            assert_eq!(of_bf16[128 * group..][..128], [bf16::from_f32(scale).to_bits(); 128]);
            assert_eq!(of_f16[128 * group..][..128], [f16::from_f32(scale).to_bits(); 128]);
        }
    }
    Ok(())
}

#[test]
fn caches_that_dense_decode_has_no_kernel_for() -> Result<()> {
    let device = Device::cpu();
    let no_kernel = |operation| Error::NoKernel { operation, device: device.name().to_owned() };
    let refused = |dtype, cache: &[u8], shape: &[usize; 4]| {
        attend(&device, dtype, TensorRef::from_slice(cache, shape)?)
    };
    let paged = CacheLayout::fp8(Fp8Format::Paged584, BLOCK_SIZE)?;
    let error = no_kernel("dense decode over an FP8 cache of 584 bytes a token");
    assert_eq!(refused(DType::Bf16, &bytes(paged, 1), &paged.shape(1)), Err(error));
    let layout = CacheLayout::fp8(Fp8Format::Token656, BLOCK_SIZE)?;
    let error = Error::UnknownFormat { arg: "kv_cache", got: 600 };
    assert_eq!(refused(DType::Bf16, &[0; 64 * 600], &[1, 64, 1, 600]), Err(error));
    let error = Error::ShapeMismatch { arg: "kv_cache", axis: "blocks", expected: 1, got: 2 };
    assert_eq!(refused(DType::Bf16, &bytes(layout, 2), &layout.shape(2)), Err(error));
    Ok(())
}
