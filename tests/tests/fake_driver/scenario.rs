//! All that a runtime does for a step on a GPU, from the first allocation to the results.

use anyhow::{Result, ensure};
use half::bf16;
use oxmla::backend::cuda::graph::Graph;
use oxmla::{
    BLOCK_SIZE, BlockPool, BlockTable, Buffer, CacheLayout, DType, Decode, DecodePlan, Device,
    LatentCache, Mask, MlaDims, Planner, PlannerConfig, Sequence, Step, Stream, decode,
};

const HEADS: usize = 16;
const BLOCKS: usize = 32;

/// What a runtime has on the host: a request, and the pool that its blocks come from.
pub struct Request {
    pool: BlockPool,
    sequence: Sequence,
}

/// What it has on the GPU.
pub struct Scenario {
    device: Device,
    stream: Stream,
    planner: Planner,
    tensors: Tensors,
}

struct Tensors {
    cache: LatentCache,
    q: Buffer,
    out: Buffer,
    lse: Buffer,
}

impl Request {
    pub fn new() -> oxmla::Result<Self> {
        let pool = BlockPool::new(BLOCKS)?;
        let sequence = pool.sequence();
        Ok(Self { pool, sequence })
    }

    /// One block of tokens more, and the table of all.
    pub fn grow(&mut self) -> oxmla::Result<BlockTable> {
        let append = self.pool.append(&mut self.sequence, BLOCK_SIZE)?;
        assert_eq!(append.copy, None);
        BlockTable::from_sequences(&[&self.sequence])
    }

    /// Every block is either free or the request's.
    pub fn check(&self) -> Result<()> {
        let blocks = self.sequence.blocks().len();
        ensure!(self.sequence.len() == blocks * BLOCK_SIZE, "tokens without blocks");
        ensure!(self.pool.available() == BLOCKS - blocks, "a block is missing");
        Ok(())
    }

    /// Ends the request.
    pub fn finish(mut self) -> Result<()> {
        self.check()?;
        self.pool.free(self.sequence)?;
        ensure!(self.pool.available() == BLOCKS, "a block was not given back");
        Ok(())
    }
}

impl Scenario {
    /// For one request.
    pub fn new(device: &Device) -> oxmla::Result<Self> {
        Self::for_batch(device, 1)
    }

    /// With a planner that has room for so many requests. The lengths of all are uploaded with each step.
    pub fn for_batch(device: &Device, max_batch: usize) -> oxmla::Result<Self> {
        let dims = MlaDims::new(HEADS as u32, 1)?;
        let layout = CacheLayout::new(dims, DType::Bf16, BLOCK_SIZE)?;
        let config = PlannerConfig {
            dims,
            dtype: DType::Bf16,
            max_batch,
            max_blocks_per_sequence: BLOCKS,
            max_s_q: 1,
            block_size: BLOCK_SIZE,
            blocks_in_cache: BLOCKS,
        };
        let tensors = Tensors {
            cache: LatentCache::new(device, layout, BLOCKS)?,
            q: device.upload(&[bf16::ONE; HEADS * 576])?,
            out: device.alloc_zeroed(HEADS * 512 * 2)?,
            lse: device.alloc(HEADS * 4)?,
        };
        let planner = Planner::new(device, config)?;
        Ok(Self { device: device.clone(), stream: device.stream()?, planner, tensors })
    }

    /// Everything, once.
    pub fn run(device: &Device, table: &BlockTable) -> oxmla::Result<(Self, Graph)> {
        let mut scenario = Self::new(device)?;
        let plan = scenario.plan(table)?;
        scenario.decode(&plan)?;
        let graph = scenario.capture(&plan)?;
        scenario.results()?;
        Ok((scenario, graph))
    }

    pub fn plan(&mut self, table: &BlockTable) -> oxmla::Result<DecodePlan> {
        self.planner.plan(self.stream.as_ref(), Step::new(table, 1, Mask::Causal))
    }

    pub fn decode(&mut self, plan: &DecodePlan) -> oxmla::Result<()> {
        self.tensors.decode(&self.planner, plan, &self.stream)
    }

    /// A decode, captured instead of done.
    pub fn capture(&mut self, plan: &DecodePlan) -> oxmla::Result<Graph> {
        let Self { device, stream, planner, tensors } = self;
        let Device::Cuda(device) = device else { panic!("{} is no GPU", device.name()) };
        Graph::capture(device, stream.as_ref(), || tensors.decode(planner, plan, stream))
    }

    /// Waits, and reads.
    pub fn results(&self) -> oxmla::Result<Vec<bf16>> {
        self.stream.synchronize()?;
        self.tensors.out.to_vec()
    }
}

impl Tensors {
    fn decode(
        &mut self,
        planner: &Planner,
        plan: &DecodePlan,
        stream: &Stream,
    ) -> oxmla::Result<()> {
        let args = Decode {
            q: self.q.view(DType::Bf16, &[1, 1, HEADS, 576])?,
            kv_cache: self.cache.view(),
            out: self.out.view_mut(DType::Bf16, &[1, 1, HEADS, 512])?,
            lse: self.lse.view_mut(DType::F32, &[1, HEADS, 1])?,
            softmax_scale: 0.1,
            softcap: None,
        };
        decode(planner, plan, stream.as_ref(), args)
    }
}
