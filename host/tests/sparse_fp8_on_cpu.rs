//! Sparse attention over FP8 caches on the CPU: to the bit what it is over the elements that their tokens stand for.

use half::bf16;
use oxmla::cache::{Fp8Format, GatherRows, gather};
use oxmla::*;

const D_V: usize = 512;
const TOKENS: usize = 150;
const QUERIES: usize = 3;
const HEADS: usize = 5;
const TOPK: usize = 40;

/// A token as a block has it: what lies at its place, and scales, where they lie apart.
struct Token {
    bytes: Vec<u8>,
    scales: Vec<u8>,
}

impl Token {
    fn new(format: Fp8Format, random: &mut fastrand::Rng) -> Self {
        // No code is NaN.
        let mut bytes: Vec<u8> =
            (0..format.layout().latent).map(|_| random.u8(..) & 0xf7).collect();
        let mut scales = Vec::new();
        match format {
            Fp8Format::Token656 => {
                bytes.extend((0..4).flat_map(|_| (random.f32() / 100.0).to_le_bytes()));
            }
            Fp8Format::Paged584 => {
                scales.extend((0..7).map(|_| random.u8(115..125)));
                // Not read.
                scales.push(0xff);
            }
            Fp8Format::Planar644 => panic!("sparse attention takes no such cache"),
        }
        bytes.extend((0..64).flat_map(|_| bf16::from_f32(random.f32() - 0.5).to_le_bytes()));
        Self { bytes, scales }
    }
}

/// Blocks of `size` tokens, one after the other; NaN where no token is.
fn cache(format: Fp8Format, tokens: &[Token], size: usize) -> (Vec<u8>, [usize; 4]) {
    let width = format.bytes_per_token() as usize;
    let blocks = tokens.len().div_ceil(size);
    let mut bytes = vec![0xff; blocks * size * width];
    for (index, token) in tokens.iter().enumerate() {
        let block = index / size * size * width;
        let place = block + index % size * token.bytes.len();
        bytes[place..place + token.bytes.len()].copy_from_slice(&token.bytes);
        let scales = block + size * token.bytes.len() + index % size * token.scales.len();
        bytes[scales..scales + token.scales.len()].copy_from_slice(&token.scales);
    }
    (bytes, [blocks, size, 1, width])
}

/// What the tokens stand for, `[TOKENS, d_qk]`.
fn gathered(format: Fp8Format, tokens: &[Token], d_qk: usize) -> Result<Vec<bf16>> {
    let (bytes, shape) = cache(format, tokens, BLOCK_SIZE);
    let table: Vec<i32> = (0..shape[0] as i32).collect();
    let mut rows = vec![bf16::NAN; TOKENS * d_qk];
    let args = GatherRows {
        kv_cache: TensorRef::from_slice(&bytes, &shape)?,
        block_table: TensorRef::from_slice(&table, &[1, shape[0]])?,
        offsets: TensorRef::from_slice(&[0, TOKENS as i32], &[2])?,
        out: TensorMut::from_slice(&mut rows, &[TOKENS, d_qk])?,
    };
    gather(&Device::cpu(), StreamRef::cpu(), args)?;
    Ok(rows)
}

/// The bits of what `q` attends to in `kv_cache`, and in its first tokens once more as a second cache.
fn attend(
    device: &Device,
    q: &[bf16],
    kv_cache: TensorRef<'_>,
    indices: &[i32],
) -> Result<(Vec<bf16>, Vec<f32>)> {
    let d_qk = q.len() / (QUERIES * HEADS);
    let (mut out, mut lse) = (vec![bf16::NAN; QUERIES * HEADS * D_V], [f32::NAN; QUERIES * HEADS]);
    let list = |topk: usize| -> Result<Selection<'_>> {
        let indices = TensorRef::with_strides(indices, &[QUERIES, topk], &[TOPK, 1])?;
        Ok(Selection { kv_cache, indices, lengths: None })
    };
    let args = SparseAttention {
        q: TensorRef::from_slice(q, &[QUERIES, HEADS, d_qk])?,
        selection: list(TOPK)?,
        extra: Some(list(3)?),
        sink: None,
        out: TensorMut::from_slice(&mut out, &[QUERIES, HEADS, D_V])?,
        lse: TensorMut::from_slice(&mut lse, &[QUERIES, HEADS])?,
        softmax_scale: 0.05,
    };
    let config = SparsePlannerConfig { h_q: HEADS as u32, max_tokens: QUERIES };
    let planner = SparsePlanner::new(device, config)?;
    let plan = planner.plan(SparseStep { tokens: QUERIES, topk: TOPK, extra_topk: 3 })?;
    sparse_decode(&planner, &plan, StreamRef::cpu(), args)?;
    Ok((out, lse.to_vec()))
}

#[test]
fn the_same_bits_as_over_dequantised_tokens() -> Result<()> {
    let mut random = fastrand::Rng::with_seed(1);
    for (format, d_qk) in [(Fp8Format::Token656, 576), (Fp8Format::Paged584, 512)] {
        let tokens: Vec<Token> = (0..TOKENS).map(|_| Token::new(format, &mut random)).collect();
        let rows = gathered(format, &tokens, d_qk)?;
        let q: Vec<bf16> =
            (0..QUERIES * HEADS * d_qk).map(|_| bf16::from_f32(random.f32() - 0.5)).collect();
        let mut indices: Vec<i32> =
            (0..QUERIES * TOPK).map(|_| random.i32(0..TOKENS as i32)).collect();
        (indices[1], indices[7], indices[50]) = (-1, i32::MAX, i32::MIN);
        for device in [Device::cpu(), Device::oracle()] {
            let elements = TensorRef::from_slice(&rows, &[1, TOKENS, 1, d_qk])?;
            let expected = attend(&device, &q, elements, &indices)?;
            assert!(expected.1.iter().all(|lse| lse.is_finite()));
            for size in [1, 2, 64, 53, TOKENS] {
                let (bytes, shape) = cache(format, &tokens, size);
                let bytes = TensorRef::from_slice(&bytes, &shape)?;
                assert_eq!(attend(&device, &q, bytes, &indices)?, expected, "blocks of {size}");
            }
        }
    }
    Ok(())
}

#[test]
fn caches_that_do_not_fit() -> Result<()> {
    let (q, indices) = ([bf16::ZERO; QUERIES * HEADS * 576], [0; QUERIES * TOPK]);
    let refused = |shape: [usize; 4], strides: [usize; 4]| {
        let bytes = vec![0u8; 4_000];
        attend(&Device::cpu(), &q, TensorRef::with_strides(&bytes, &shape, &strides)?, &indices)
    };
    let error = Error::ShapeMismatch { arg: "q", axis: "d_qk", expected: 512, got: 576 };
    assert_eq!(refused([2, 2, 1, 584], [1168, 584, 584, 1]), Err(error));
    let error = Error::UnknownFormat { arg: "kv_cache", got: 600 };
    assert_eq!(refused([2, 2, 1, 600], [1200, 600, 600, 1]), Err(error));
    let operation = "sparse attention over an FP8 cache of 644 bytes a token";
    let error = Error::NoKernel { operation, device: Device::cpu().name().to_owned() };
    assert_eq!(refused([2, 2, 1, 644], [1288, 644, 644, 1]), Err(error));
    let (axis, expected, got) = ("block_size", 656, 672);
    let error = Error::StrideMismatch { arg: "kv_cache", axis, expected, got };
    assert_eq!(refused([2, 2, 1, 656], [1344, 672, 672, 1]), Err(error));
    Ok(())
}
