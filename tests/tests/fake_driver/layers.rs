//! What a layer asks of the driver, and what of the caller.

use anyhow::Result;
use half::bf16;
use oxmla::backend::cuda::graph::Graph;
use oxmla::layer::{
    Forward, HeadShard, LayerScratch, MlaAttention, MlaConfig, MlaWeights, Operation, QueryWeights,
};
use oxmla::{
    BLOCK_SIZE, BlockTable, Buffer, DType, DecodePlan, Device, Error, Mask, Planner, PlannerConfig,
    ROPE_PAIRS, Step, Stream, TensorRef,
};
use oxmla_tests::checks::layers;

use crate::fake::Fake;
use crate::session;

const HIDDEN: usize = 64;
const HEADS: usize = 2;
const TOKENS: usize = 3;

fn config(q_lora_rank: Option<usize>) -> MlaConfig {
    MlaConfig {
        hidden_size: HIDDEN,
        num_attention_heads: HEADS,
        q_lora_rank,
        qk_nope_head_dim: 16,
        v_head_dim: 8,
        ..MlaConfig::deepseek_v3()
    }
}

/// A layer of zeros, and what it runs with.
struct Bench<'a> {
    stream: &'a Stream,
    layer: MlaAttention,
    planner: Planner,
    scratch: LayerScratch,
    memory: Buffer,
    cache: Buffer,
    out: Buffer,
}

fn layer(device: &Device, config: &MlaConfig) -> oxmla::Result<MlaAttention> {
    let zeros = vec![bf16::ZERO; 576 * 512];
    let zeros = |shape: &[usize]| TensorRef::from_slice(&zeros, shape);
    let queries = HEADS * config.qk_head_dim();
    let q = match config.q_lora_rank {
        None => QueryWeights::Direct { q_proj: zeros(&[queries, HIDDEN])? },
        Some(rank) => QueryWeights::Compressed {
            q_a_proj: zeros(&[rank, HIDDEN])?,
            q_a_layernorm: zeros(&[rank])?,
            q_b_proj: zeros(&[queries, rank])?,
        },
    };
    let weights = MlaWeights {
        q,
        kv_a_proj_with_mqa: zeros(&[576, HIDDEN])?,
        kv_a_layernorm: zeros(&[512])?,
        kv_b_proj: zeros(&[HEADS * (config.qk_nope_head_dim + config.v_head_dim), 512])?,
        o_proj: zeros(&[HIDDEN, HEADS * config.v_head_dim])?,
    };
    MlaAttention::new(device, config, &weights, DType::Bf16, HeadShard::WHOLE)
}

impl<'a> Bench<'a> {
    fn new(device: &Device, stream: &'a Stream, config: &MlaConfig) -> Result<Self> {
        let layer = layer(device, config)?;
        let planner = PlannerConfig {
            dims: layer.dims(),
            dtype: DType::Bf16,
            max_batch: 1,
            max_blocks_per_sequence: 1,
            max_s_q: TOKENS as u32,
            block_size: BLOCK_SIZE,
            blocks_in_cache: 1,
        };
        Ok(Self {
            stream,
            planner: Planner::new(device, planner)?,
            scratch: LayerScratch::new(&layer, TOKENS)?,
            memory: device.alloc_zeroed(1 << 16)?,
            cache: device.alloc(BLOCK_SIZE * 576 * 2)?,
            out: device.alloc(1 << 16)?,
            layer,
        })
    }

    fn plan(&mut self) -> Result<DecodePlan> {
        let table = BlockTable::from_rows(&[10], &[&[0]])?;
        let step = Step::new(&table, TOKENS as u32, Mask::Causal);
        Ok(self.planner.plan(self.stream.as_ref(), step)?)
    }

    /// Runs the layer on hidden states of a type, `offset` bytes into memory, rows `stride` elements apart.
    fn run(
        &mut self,
        plan: &DecodePlan,
        (dtype, offset, stride): (DType, u64, usize),
        after: &mut dyn FnMut(Operation) -> oxmla::Result<()>,
    ) -> oxmla::Result<()> {
        let (address, location) = (self.memory.address() + offset, self.memory.location());
        let (shape, strides) = ([TOKENS, HIDDEN], [stride, 1]);
        // SAFETY: inside the memory, which nobody writes.
        let hidden = unsafe { TensorRef::from_raw(address, dtype, &shape, &strides, location)? };
        let args = Forward {
            hidden,
            kv_cache: self.cache.view_mut(DType::Bf16, &[1, BLOCK_SIZE, 1, 576])?,
            rope: self.memory.view(DType::F32, &[20, ROPE_PAIRS, 2])?,
            scratch: &mut self.scratch,
            out: self.out.view_mut(DType::Bf16, &shape)?,
        };
        self.layer.forward_observed(&self.planner, plan, self.stream.as_ref(), args, after)
    }
}

const GOOD: (DType, u64, usize) = (DType::Bf16, 0, HIDDEN);

#[test]
fn nothing_is_allocated() -> Result<()> {
    let _fake = Fake::driver();
    layers::allocations(&mut session()?)
}

/// One launch for each operation; beside them, contexts and tensor maps are all that the driver is asked for.
#[test]
fn each_operation_is_one_launch() -> Result<()> {
    let fake = Fake::driver();
    let device = Device::cuda(0)?;
    let stream = device.stream()?;
    for (rank, expected) in [(Some(24), 8), (None, 6)] {
        let mut bench = Bench::new(&device, &stream, &config(rank))?;
        let plan = bench.plan()?;
        let live = fake.live();
        let count = || {
            ["cuLaunchKernelEx", "cuTensorMapEncodeTiled", "cuCtxGetCurrent"]
                .map(|name| fake.calls(name))
        };
        let (all, before) = (fake.all_calls(), count());
        let mut launches = Vec::new();
        bench.run(&plan, GOOD, &mut |operation| {
            launches.push((operation, count()[0] - before[0]));
            Ok(())
        })?;
        let after = count();
        let operations = Operation::ALL.into_iter().filter(|operation| {
            rank.is_some() || !matches!(operation, Operation::Normalise | Operation::ProjectQuery)
        });
        assert_eq!(launches, operations.zip(1..).collect::<Vec<_>>());
        assert_eq!(launches.len(), expected);
        let asked: u64 = after.iter().zip(before).map(|(after, before)| after - before).sum();
        assert_eq!(fake.all_calls() - all, asked);
        assert_eq!(fake.live(), live, "a run allocates");
    }
    Ok(())
}

#[test]
fn a_layer_can_be_captured() -> Result<()> {
    let _fake = Fake::driver();
    let device = Device::cuda(0)?;
    let stream = device.stream()?;
    let mut bench = Bench::new(&device, &stream, &config(Some(24)))?;
    let plan = bench.plan()?;
    let Device::Cuda(gpu) = &device else { unreachable!("opened as a GPU") };
    let work = || bench.run(&plan, GOOD, &mut |_| Ok(()));
    let graph = Graph::capture(gpu, stream.as_ref(), work)?;
    // SAFETY: everything that was captured is still there.
    unsafe { graph.launch(stream.as_ref())? };
    Ok(())
}

/// A launch that fails ends the run with the driver's error, whichever it is, and the next run works.
#[test]
fn a_failed_launch_is_said() -> Result<()> {
    /// Too many resources requested for launch.
    const OUT_OF_RESOURCES: i32 = 701;
    let fake = Fake::driver();
    let device = Device::cuda(0)?;
    let stream = device.stream()?;
    let mut bench = Bench::new(&device, &stream, &config(Some(24)))?;
    let plan = bench.plan()?;
    for spared in 0..Operation::ALL.len() {
        fake.fail("cuLaunchKernelEx", spared as u64, OUT_OF_RESOURCES);
        let mut done = 0;
        let mut count = |_| {
            done += 1;
            Ok(())
        };
        let error = bench.run(&plan, GOOD, &mut count).unwrap_err();
        assert!(matches!(error, Error::Driver { code: OUT_OF_RESOURCES, .. }), "{error}");
        assert_eq!(done, spared);
        bench.run(&plan, GOOD, &mut |_| Ok(()))?;
    }
    Ok(())
}

/// What kernels cannot follow is refused before the first launch.
#[test]
fn types_and_layouts_are_checked() -> Result<()> {
    let fake = Fake::driver();
    let device = Device::cuda(0)?;
    let stream = device.stream()?;
    let mut bench = Bench::new(&device, &stream, &config(None))?;
    let plan = bench.plan()?;
    let launches = fake.calls("cuLaunchKernelEx");
    let mut refused = |hidden| bench.run(&plan, hidden, &mut |_| Ok(())).unwrap_err();
    let (expected, got) = (DType::Bf16, DType::F32);
    let error = refused((DType::F32, 0, HIDDEN));
    assert_eq!(error, Error::DTypeMismatch { arg: "hidden", expected, got });
    let error = refused((DType::Bf16, 2, HIDDEN));
    assert!(matches!(error, Error::Misaligned { arg: "hidden", required: 16, .. }), "{error}");
    let error = refused((DType::Bf16, 0, HIDDEN + 1));
    let (axis, got) = ("tokens", 2 * (HIDDEN as u64 + 1));
    assert_eq!(error, Error::MisalignedStride { arg: "hidden", axis, required: 16, got });
    assert_eq!(fake.calls("cuLaunchKernelEx"), launches);
    Ok(())
}

/// Widths that are not whole vectors are refused before anything is allocated.
#[test]
fn widths_are_checked() -> Result<()> {
    let fake = Fake::driver();
    let device = session()?.device().clone();
    let live = fake.live();
    let odd = [
        ("q_lora_rank", config(Some(20))),
        ("qk_nope_head_dim", MlaConfig { qk_nope_head_dim: 12, ..config(None) }),
        ("v_head_dim", MlaConfig { v_head_dim: 4, ..config(None) }),
    ];
    for (name, config) in odd {
        let error = layer(&device, &config).map(|_| ()).unwrap_err();
        let Error::InvalidNumber { arg, expected: "a multiple of 8", .. } = error else {
            panic!("{error}")
        };
        assert_eq!(arg, name);
    }
    assert_eq!(fake.live(), live, "something was allocated");
    Ok(())
}
