//! A layer with its cache, and requests that go through it in chunks.

use oxmla::layer::{Forward, LayerScratch, MlaAttention};
use oxmla::{
    BLOCK_SIZE, BlockPool, BlockTable, Buffer, CacheLayout, DType, Device, Mask, Planner,
    PlannerConfig, ROPE_PAIRS, Result, Sequence, Step, StreamRef, TensorMut, TensorRef,
};

/// Most tokens of a step, and positions that the rotary table has.
pub const TOKENS: usize = 256;
const BLOCKS: usize = 12;

/// What a model has for one layer.
pub struct Runner<'a> {
    pub layer: &'a MlaAttention,
    pub planner: Planner,
    pub scratch: LayerScratch,
    pub pool: BlockPool,
    cache: Buffer,
    rope: Buffer,
}

impl<'a> Runner<'a> {
    pub fn new(layer: &'a MlaAttention) -> Result<Self> {
        let (device, dims, dtype) = (layer.device(), layer.dims(), layer.dtype());
        let config = PlannerConfig {
            dims,
            dtype,
            max_batch: 4,
            max_blocks_per_sequence: 4,
            max_s_q: TOKENS as u32,
            block_size: BLOCK_SIZE,
            blocks_in_cache: BLOCKS,
        };
        let bytes = CacheLayout::new(dims, dtype, BLOCK_SIZE)?.bytes_per_block() * BLOCKS;
        let mut cache = device.alloc(bytes)?;
        // NaN in both types: nobody may look at what nobody has written.
        cache.fill(0xff)?;
        Ok(Self {
            layer,
            planner: Planner::new(device, config)?,
            scratch: LayerScratch::new(layer, TOKENS)?,
            pool: BlockPool::new(BLOCKS)?,
            cache,
            rope: device.upload(&layer.config().rope.table(TOKENS))?,
        })
    }

    /// Runs the layer on the last `s_q` tokens of each request, which `hidden` has side by side.
    pub fn step(&mut self, requests: &[&Sequence], s_q: usize, hidden: &[f32]) -> Result<Vec<f32>> {
        let width = self.layer.config().hidden_size;
        let shape = [requests.len() * s_q, width];
        let mut out = vec![f32::NAN; hidden.len()];
        let table = BlockTable::from_sequences(requests)?;
        let step = Step::new(&table, s_q as u32, Mask::Causal);
        let stream = StreamRef::cpu();
        let plan = self.planner.plan(stream, step)?;
        let args = Forward {
            hidden: TensorRef::from_slice(hidden, &shape)?,
            kv_cache: self.cache.view_mut(self.layer.dtype(), &[BLOCKS, BLOCK_SIZE, 1, 576])?,
            rope: self.rope.view(DType::F32, &[TOKENS, ROPE_PAIRS, 2])?,
            scratch: &mut self.scratch,
            out: TensorMut::from_slice(&mut out, &shape)?,
        };
        self.layer.forward(&self.planner, &plan, stream, args)?;
        Ok(out)
    }

    /// Runs the layer on `chunk` more tokens of a request.
    pub fn extend(&mut self, request: &mut Sequence, hidden: &[f32]) -> Result<Vec<f32>> {
        let chunk = hidden.len() / self.layer.config().hidden_size;
        let _ = self.pool.append(request, chunk)?;
        self.step(&[request], chunk, hidden)
    }
}

/// Runs a layer on one request, as long as `hidden`, in chunks of the given sizes; the last one repeats.
pub fn run(layer: &MlaAttention, hidden: &[f32], chunks: &[usize]) -> Result<Vec<f32>> {
    let width = layer.config().hidden_size;
    let mut runner = Runner::new(layer)?;
    let mut request = runner.pool.sequence();
    let (mut rest, mut out) = (hidden, Vec::new());
    let mut sizes = chunks.iter().chain(std::iter::repeat(&chunks[chunks.len() - 1]));
    while let Some(&size) = sizes.next().filter(|_| !rest.is_empty()) {
        let (chunk, behind) = rest.split_at(rest.len().min(size * width));
        out.extend(runner.extend(&mut request, chunk)?);
        rest = behind;
    }
    runner.pool.free(request)?;
    Ok(out)
}

/// The layer of a golden checkpoint's second layer, the only one that has weights.
pub fn golden(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/layer").join(name)
}

/// The layer number that golden checkpoints have weights for.
pub const LAYER: usize = 1;

/// The CPU's layer of a golden checkpoint.
pub fn load(name: &str, dtype: DType) -> MlaAttention {
    let checkpoint = oxmla::checkpoint::Checkpoint::open(golden(name)).unwrap();
    let whole = oxmla::layer::HeadShard::WHOLE;
    checkpoint.attention(&Device::cpu(), LAYER, dtype, whole, &mut |_| {}).unwrap()
}

/// Largest difference, as a share of the root mean square of what is expected.
pub fn distance(got: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(got.len(), expected.len());
    let squares: f32 = expected.iter().map(|x| x * x).sum();
    let worst = got.iter().zip(expected).map(|(got, expected)| (got - expected).abs());
    // NaN must not pass as small.
    worst.fold(0.0, |worst: f32, x| if x <= worst { worst } else { x })
        / (squares / expected.len() as f32).sqrt()
}
