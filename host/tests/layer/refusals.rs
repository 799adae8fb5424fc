//! What a layer refuses, and that refusals leave the cache alone.

use half::bf16;
use oxmla::layer::{
    Forward, HeadShard, LayerScratch, MlaAttention, MlaConfig, MlaWeights, QueryWeights,
};
use oxmla::{
    BlockTable, DType, Device, Error, Mask, MlaDims, Planner, PlannerConfig, Result, Step,
    StreamRef, TensorMut, TensorRef,
};

use super::runner::load;

const HIDDEN: usize = 24;
const SHAPE: [usize; 2] = [2, HIDDEN];
const CACHE: [usize; 4] = [2, 64, 1, 576];

/// Arguments of a good call, each to be made a bad one.
struct Case {
    layer: MlaAttention,
    scratch: LayerScratch,
    planner: PlannerConfig,
    length: i32,
    hidden: [usize; 2],
    out: [usize; 2],
    cache: [usize; 4],
    rope: [usize; 3],
}

impl Case {
    fn new() -> Self {
        let layer = load("direct_f16", DType::Bf16);
        Self {
            scratch: LayerScratch::new(&layer, 2).unwrap(),
            planner: PlannerConfig {
                dims: layer.dims(),
                dtype: DType::Bf16,
                max_batch: 2,
                max_blocks_per_sequence: 2,
                max_s_q: 2,
                block_size: oxmla::BLOCK_SIZE,
                blocks_in_cache: 2,
            },
            layer,
            length: 10,
            hidden: SHAPE,
            out: SHAPE,
            cache: CACHE,
            rope: [20, 32, 2],
        }
    }

    /// What the call says; it must have left cache and output alone if it has failed.
    fn run(&mut self) -> Result<()> {
        let hidden = vec![bf16::ONE; 4 * HIDDEN];
        let rope = vec![0.5f32; 4096];
        let mut cache = vec![bf16::ZERO; 3 * 64 * 576];
        let mut out = vec![bf16::ZERO; 4 * HIDDEN];
        let mut planner = Planner::new(&Device::cpu(), self.planner)?;
        let table = BlockTable::from_rows(&[self.length], &[&[1, 0]])?;
        let plan = planner.plan(StreamRef::cpu(), Step::new(&table, 2, Mask::Causal))?;
        let args = Forward {
            hidden: TensorRef::from_slice(&hidden, &self.hidden)?,
            kv_cache: TensorMut::from_slice(&mut cache, &self.cache)?,
            rope: TensorRef::from_slice(&rope, &self.rope)?,
            scratch: &mut self.scratch,
            out: TensorMut::from_slice(&mut out, &self.out)?,
        };
        let result = self.layer.forward(&planner, &plan, StreamRef::cpu(), args);
        let written = cache.iter().chain(&out).any(|&x| x != bf16::ZERO);
        assert_eq!(written, result.is_ok(), "{result:?}");
        result
    }
}

/// The error of a call with one argument changed.
fn refused(change: impl FnOnce(&mut Case)) -> Error {
    let mut case = Case::new();
    change(&mut case);
    case.run().unwrap_err()
}

const fn wrong_size(arg: &'static str, axis: &'static str, expected: usize, got: usize) -> Error {
    Error::ShapeMismatch { arg, axis, expected, got }
}

#[test]
fn a_good_call_is_fine() {
    assert_eq!(Case::new().run(), Ok(()));
}

#[test]
fn tensors() {
    assert_eq!(refused(|case| case.hidden = [3, 24]), wrong_size("hidden", "tokens", 2, 3));
    assert_eq!(refused(|case| case.hidden = [2, 23]), wrong_size("hidden", "hidden", 24, 23));
    assert_eq!(refused(|case| case.out = [1, 24]), wrong_size("out", "tokens", 2, 1));
    let cache = refused(|case| case.cache = [3, 64, 1, 576]);
    assert_eq!(cache, wrong_size("kv_cache", "blocks", 2, 3));
    let cache = refused(|case| case.cache = [2, 64, 1, 512]);
    assert_eq!(cache, wrong_size("kv_cache", "d_qk", 576, 512));
    let rope = refused(|case| case.rope = [20, 64, 1]);
    assert_eq!(rope, wrong_size("rope", "pairs", 32, 64));
}

#[test]
fn positions_beyond_the_rotary_table() {
    let expected = Error::OutOfRange { arg: "length", min: 0, max: 20, got: 21 };
    assert_eq!(refused(|case| case.length = 21), expected);
}

#[test]
fn planners_and_scratch_of_other_layers() {
    let planner = refused(|case| case.planner.dims = MlaDims::new(4, 1).unwrap());
    assert_eq!(planner, wrong_size("planner", "h_q", 2, 4));
    let planner = refused(|case| case.planner.dtype = DType::F16);
    let wrong_type = |arg| Error::DTypeMismatch { arg, expected: DType::Bf16, got: DType::F16 };
    assert_eq!(planner, wrong_type("planner"));
    let half = load("direct_f16", DType::F16);
    let scratch = refused(|case| case.scratch = LayerScratch::new(&half, 2).unwrap());
    assert_eq!(scratch, wrong_type("scratch"));
    let small = refused(|case| {
        case.scratch = LayerScratch::new(&case.layer, 1).unwrap();
    });
    assert_eq!(small, Error::Capacity { quantity: "tokens", limit: 1, got: 2 });
    let other = load("compressed_yarn_bf16", DType::Bf16);
    let scratch = refused(|case| {
        case.scratch = LayerScratch::new(&other, 2).unwrap();
    });
    assert_eq!(scratch, wrong_size("scratch", "heads", 2, 4));
}

#[test]
fn scratch_without_tokens() {
    let refused = LayerScratch::new(&load("direct_f16", DType::Bf16), 0);
    assert!(matches!(refused, Err(Error::OutOfRange { arg: "max_tokens", .. })));
}

#[test]
fn weights() -> Result<()> {
    let config = MlaConfig {
        hidden_size: 8,
        num_attention_heads: 2,
        q_lora_rank: None,
        qk_nope_head_dim: 4,
        v_head_dim: 6,
        ..MlaConfig::deepseek_v3()
    };
    let zeros = vec![0f32; 576 * 32];
    let numbers = vec![0i32; 576 * 32];
    let zeros = |shape: &[usize]| TensorRef::from_slice(&zeros, shape);
    let good = MlaWeights {
        q: QueryWeights::Direct { q_proj: zeros(&[2 * 68, 8])? },
        kv_a_proj_with_mqa: zeros(&[576, 8])?,
        kv_a_layernorm: zeros(&[512])?,
        kv_b_proj: zeros(&[2 * 10, 512])?,
        o_proj: zeros(&[8, 2 * 6])?,
    };
    let new = |config: &MlaConfig, weights| {
        let whole = HeadShard::WHOLE;
        MlaAttention::new(&Device::cpu(), config, weights, DType::F16, whole).map(|_| ())
    };
    assert_eq!(new(&config, &good), Ok(()));
    let wrong = MlaWeights { kv_b_proj: zeros(&[2 * 9, 512])?, ..good };
    assert_eq!(new(&config, &wrong), Err(wrong_size("kv_b_proj", "outputs", 20, 18)));
    let wrong = MlaWeights { o_proj: TensorRef::from_slice(&numbers, &[8, 12])?, ..good };
    assert_eq!(new(&config, &wrong), Err(Error::NotAFloat { arg: "o_proj", got: DType::I32 }));
    let compressed = MlaConfig { q_lora_rank: Some(4), ..config.clone() };
    let error = Error::QueryWeightsMismatch {
        expected: "`q_a_proj`, `q_a_layernorm` and `q_b_proj`",
        got: "`q_proj`",
    };
    assert_eq!(new(&compressed, &good), Err(error));
    let wide = MlaConfig { kv_lora_rank: 256, ..config.clone() };
    assert_eq!(new(&wide, &good), Err(Error::UnsupportedWidths { latent: 256, rope: 64 }));
    let negative = MlaConfig { rms_norm_eps: -1.0, ..config.clone() };
    assert!(matches!(new(&negative, &good), Err(Error::InvalidNumber { arg: "rms_norm_eps", .. })));
    let single =
        MlaAttention::new(&Device::cpu(), &config, &good, DType::F32, HeadShard::WHOLE).map(|_| ());
    assert_eq!(single, Err(Error::UnsupportedDType { arg: "dtype", got: DType::F32 }));
    Ok(())
}
