//! Sparse attention on a device: inputs of which everything is NaN that no list names, and what comes of them.

use anyhow::Result;
use oxmla::{
    Buffer, DType, Device, Selection, SparseAttention, SparsePlanner, SparsePlannerConfig,
    SparseStep, Stream, TensorRef, sparse_decode, sparse_prefill,
};

use super::fp8;
use crate::element::{ElementPool, NAN_BITS};
use crate::guarded::{Guarded, Snapshot};
use crate::layout::{D_V, Layout};
use crate::random::SplitMix64;

/// What a list is like.
#[derive(Clone, Copy, Debug)]
pub struct ListShape {
    pub topk: usize,
    pub blocks: usize,
    pub block_size: usize,
    /// Indices in a hundred that name nothing.
    pub nothing: usize,
    /// Whether each query token has a length of its own.
    pub has_lengths: bool,
}

/// What a call is like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub tokens: usize,
    pub h_q: usize,
    pub d_qk: usize,
    pub list: ListShape,
    pub extra: Option<ListShape>,
    pub has_sink: bool,
    /// Whether there are gaps between rows of all tensors.
    pub has_gaps: bool,
    /// Whether there are FP8 caches, too, of which those of elements are what they stand for.
    pub has_fp8: bool,
}

impl Default for Shape {
    fn default() -> Self {
        let list =
            ListShape { topk: 128, blocks: 9, block_size: 61, nothing: 10, has_lengths: false };
        let (extra, has_sink, has_gaps, has_fp8) = (None, false, false, false);
        Self { tokens: 3, h_q: 16, d_qk: 576, list, extra, has_sink, has_gaps, has_fp8 }
    }
}

impl Shape {
    /// Elements behind every row.
    const fn gap(&self) -> usize {
        if self.has_gaps { 8 } else { 0 }
    }
}

/// The ways of attending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Decode,
    DecodeFp8,
    Prefill,
}

/// A cache and lists, on a device.
struct List {
    shape: ListShape,
    cache: (Buffer, Layout<4>),
    fp8: Option<(Buffer, Layout<4>)>,
    indices: (Buffer, Layout<2>),
    lengths: Option<Buffer>,
}

/// Inputs on a device.
pub struct Inputs {
    pub shape: Shape,
    q: (Buffer, Layout<3>),
    list: List,
    extra: Option<List>,
    sink: Option<Buffer>,
}

/// Results on a device.
pub struct Outputs {
    pub out: Guarded<u16, 3>,
    pub lse: Guarded<f32, 2>,
    pub max_logits: Guarded<f32, 2>,
}

/// Results on the host.
pub struct Results {
    pub out: Snapshot<u16, 3>,
    pub lse: Snapshot<f32, 2>,
    pub max_logits: Snapshot<f32, 2>,
}

impl List {
    fn new(
        device: &Device,
        pool: &ElementPool,
        random: &mut SplitMix64,
        shape: ListShape,
        call: &Shape,
    ) -> Result<Self> {
        let Shape { tokens, d_qk, has_fp8, .. } = *call;
        let gap = call.gap();
        let ListShape { topk, blocks, block_size, nothing, has_lengths } = shape;
        let rows = blocks * block_size;
        let lengths: Option<Vec<i32>> =
            has_lengths.then(|| (0..tokens).map(|_| length(random, topk)).collect());
        let indices: Vec<i32> = (0..tokens * topk)
            .map(|_| {
                if random.below(100) < nothing {
                    no_row(random, rows)
                } else {
                    random.below(rows) as i32
                }
            })
            .collect();
        let row = d_qk + gap;
        let strides = [block_size * row + gap, row, d_qk, 1];
        let cache = Layout { shape: [blocks, block_size, 1, d_qk], strides };
        let mut bits = vec![NAN_BITS; cache.extent()];
        for (at, &index) in indices.iter().enumerate() {
            let counts =
                lengths.as_ref().is_none_or(|lengths| ((at % topk) as i32) < lengths[at / topk]);
            if counts && (0..rows as i64).contains(&i64::from(index)) {
                let index = index as usize;
                let start = cache.offset([index / block_size, index % block_size, 0, 0]);
                let elements = pool.window(crate::random::hash(index as u64, 1), d_qk);
                bits[start..start + d_qk].copy_from_slice(elements);
            }
        }
        let fp8 = has_fp8.then(|| fp8::quantise(&mut bits, &cache));
        let mut places = Layout::packed([tokens, topk]);
        places.strides[0] += gap;
        let mut spaced = vec![i32::MAX; places.extent()];
        for (at, &index) in indices.iter().enumerate() {
            spaced[places.offset([at / topk, at % topk])] = index;
        }
        Ok(Self {
            shape,
            cache: (upload(device, bytemuck::cast_slice(&bits))?, cache),
            fp8: match fp8 {
                Some((bytes, layout)) => Some((upload(device, &bytes)?, layout)),
                None => None,
            },
            indices: (device.upload(&spaced)?, places),
            lengths: lengths.map(|lengths| device.upload(&lengths)).transpose()?,
        })
    }

    /// Over the FP8 cache, if there is one and it is wanted.
    fn selection(&self, over_fp8: bool) -> oxmla::Result<Selection<'_>> {
        let tokens = self.indices.1.shape[0];
        let lengths = self.lengths.as_ref();
        let (cache, dtype) = match &self.fp8 {
            Some(fp8) if over_fp8 => (fp8, DType::U8),
            _ => (&self.cache, DType::Bf16),
        };
        Ok(Selection {
            kv_cache: view(&cache.0, dtype, &cache.1)?,
            indices: view(&self.indices.0, DType::I32, &self.indices.1)?,
            lengths: lengths.map(|buffer| buffer.view(DType::I32, &[tokens])).transpose()?,
        })
    }
}

impl Inputs {
    pub fn new(device: &Device, pool: &ElementPool, shape: Shape, seed: u64) -> Result<Self> {
        let (Shape { tokens, h_q, d_qk, .. }, gap) = (shape, shape.gap());
        let mut random = SplitMix64::new(seed);
        let strides = [h_q * (d_qk + gap) + gap, d_qk + gap, 1];
        let layout = Layout { shape: [tokens, h_q, d_qk], strides };
        let mut q = vec![NAN_BITS; layout.extent()];
        for (token, head) in (0..tokens).flat_map(|token| (0..h_q).map(move |head| (token, head))) {
            let start = layout.offset([token, head, 0]);
            q[start..start + d_qk].copy_from_slice(pool.window(random.next_u64(), d_qk));
        }
        let mut list = |list| List::new(device, pool, &mut random, list, &shape);
        let (list, extra) = (list(shape.list)?, shape.extra.map(&mut list));
        let infinite = [f32::NEG_INFINITY, f32::INFINITY];
        let sink: Vec<f32> = (0..h_q)
            .map(|head| infinite.get(head).copied().unwrap_or_else(|| 4.0 * random.normal() as f32))
            .collect();
        Ok(Self {
            shape,
            q: (upload(device, bytemuck::cast_slice(&q))?, layout),
            list,
            extra: extra.transpose()?,
            sink: shape.has_sink.then(|| device.upload(&sink)).transpose()?,
        })
    }

    pub fn args<'a>(
        &'a self,
        way: Way,
        out: &'a mut Guarded<u16, 3>,
        lse: &'a mut Guarded<f32, 2>,
    ) -> oxmla::Result<SparseAttention<'a>> {
        let selection = |list: &'a List| list.selection(way == Way::DecodeFp8);
        let Shape { h_q, d_qk, .. } = self.shape;
        Ok(SparseAttention {
            q: view(&self.q.0, DType::Bf16, &self.q.1)?,
            selection: selection(&self.list)?,
            extra: self.extra.as_ref().map(selection).transpose()?,
            sink: self.sink.as_ref().map(|sink| sink.view(DType::F32, &[h_q])).transpose()?,
            out: out.view_mut()?,
            lse: lse.view_mut()?,
            softmax_scale: (d_qk as f32).sqrt().recip(),
        })
    }

    pub fn step(&self) -> SparseStep {
        let extra_topk = self.extra.as_ref().map_or(0, |extra| extra.shape.topk);
        SparseStep { tokens: self.shape.tokens, topk: self.list.shape.topk, extra_topk }
    }

    pub fn planner(&self, device: &Device) -> oxmla::Result<SparsePlanner> {
        let Shape { h_q, tokens, .. } = self.shape;
        SparsePlanner::new(
            device,
            SparsePlannerConfig { h_q: h_q as u32, max_tokens: tokens.max(1) },
        )
    }

    /// Attends, and gives what came of it.
    pub fn attend(&self, device: &Device, stream: &Stream, way: Way) -> Result<Results> {
        let mut outputs = Outputs::new(device, &self.shape)?;
        match way {
            Way::Decode | Way::DecodeFp8 => {
                let planner = self.planner(device)?;
                let plan = planner.plan(self.step())?;
                sparse_decode(
                    &planner,
                    &plan,
                    stream.as_ref(),
                    self.args(way, &mut outputs.out, &mut outputs.lse)?,
                )?;
            }
            Way::Prefill => {
                let Outputs { out, lse, max_logits } = &mut outputs;
                let (args, max_logits) = (self.args(way, out, lse)?, Some(max_logits.view_mut()?));
                sparse_prefill(device, stream.as_ref(), args, max_logits)?;
            }
        }
        stream.synchronize()?;
        outputs.results()
    }
}

impl Outputs {
    pub fn new(device: &Device, shape: &Shape) -> Result<Self> {
        let (Shape { tokens, h_q, .. }, gap) = (*shape, shape.gap());
        let out =
            Layout { shape: [tokens, h_q, D_V], strides: [h_q * (D_V + gap) + gap, D_V + gap, 1] };
        let rows = Layout { shape: [tokens, h_q], strides: [h_q + gap, 1] };
        Ok(Self {
            out: Guarded::new(device, DType::Bf16, out)?,
            lse: Guarded::new(device, DType::F32, rows)?,
            max_logits: Guarded::new(device, DType::F32, rows)?,
        })
    }

    pub fn results(&self) -> Result<Results> {
        Ok(Results {
            out: self.out.snapshot()?,
            lse: self.lse.snapshot()?,
            max_logits: self.max_logits.snapshot()?,
        })
    }
}

impl Results {
    pub fn same_bits(&self, other: &Self) -> bool {
        self.out.same_bits(&other.out)
            && self.lse.same_bits(&other.lse)
            && self.max_logits.same_bits(&other.max_logits)
    }
}

/// From far below nothing to far above everything, mostly in between.
fn length(random: &mut SplitMix64, topk: usize) -> i32 {
    match random.below(8) {
        0 => i32::MIN,
        1 => 0,
        2 => i32::MAX,
        _ => random.below(topk + 1) as i32,
    }
}

/// An index that names nothing.
fn no_row(random: &mut SplitMix64, rows: usize) -> i32 {
    [-1, i32::MIN, i32::MAX, rows as i32][random.below(4)]
}

fn upload(device: &Device, bytes: &[u8]) -> oxmla::Result<Buffer> {
    let mut buffer = device.alloc(bytes.len())?;
    buffer.write(0, bytes)?;
    Ok(buffer)
}

fn view<'a, const RANK: usize>(
    buffer: &'a Buffer,
    dtype: DType,
    layout: &Layout<RANK>,
) -> oxmla::Result<TensorRef<'a>> {
    let Layout { shape, strides } = layout;
    // SAFETY: the buffer was made for the layout, and is borrowed for as long as the view.
    unsafe { TensorRef::from_raw(buffer.address(), dtype, shape, strides, buffer.location()) }
}
