//! From checked tensors to the kernels' parameters.

use std::f32::consts::LOG2_E;

use oxmla_kernels::abi::{Cut, DenseDecodeParams, Reach, Rows};
use oxmla_kernels::decode::sparse::abi::{List, SparseParams};

use super::{CachedRows, Selection, SparseAttention, SparsePlan, SparsePlanner};
use crate::backend::cuda::{self, CudaDevice, SparseKernel, SparseLaunch};
use crate::dtype::DType;
use crate::error::Result;
use crate::stream::StreamRef;
use crate::tensor::TensorMut;

/// Starts the kernel of a planned step.
pub fn decode(
    device: &CudaDevice,
    planner: &SparsePlanner,
    plan: &SparsePlan,
    stream: StreamRef<'_>,
    args: &SparseAttention<'_>,
) -> Result<()> {
    let Some(workspace) = planner.workspace() else { return Ok(()) };
    let params = params(args, plan.parts(), plan.cut());
    let decode = DenseDecodeParams {
        partial_out: workspace.partial_out(),
        partial_lse: workspace.partial_lse(),
        arrivals: workspace.arrivals(),
        ..params.decode
    };
    let params = SparseParams { decode, ..params };
    let is_fp8 = args.selection.kv_cache.dtype() == DType::U8;
    let kernel = if is_fp8 { SparseKernel::DecodeFp8 } else { SparseKernel::Decode };
    launch(device, stream, kernel, args, &params)
}

/// Starts the kernel of a prefill: as many CTAs as there is room for, if there are as many query tokens.
pub fn prefill(
    device: &CudaDevice,
    stream: StreamRef<'_>,
    args: &SparseAttention<'_>,
    max_logits: Option<&TensorMut<'_>>,
) -> Result<()> {
    let (tokens, h_q) = (args.q.shape()[0] as u32, args.q.shape()[1] as u32);
    let tiles = Rows::pack(1, h_q, 1).tiles();
    let parts = (device.multiprocessors() / tiles).clamp(1, tokens.max(1));
    let mut params = params(args, parts, Cut::balanced(0));
    if let Some(max_logits) = max_logits {
        params.max_logits = max_logits.address();
        params.max_logits_stride_token = max_logits.strides()[0] as u64;
        params.max_logits_stride_head = max_logits.strides()[1] as u64;
    }
    launch(device, stream, SparseKernel::Prefill, args, &params)
}

fn launch(
    device: &CudaDevice,
    stream: StreamRef<'_>,
    kernel: SparseKernel,
    args: &SparseAttention<'_>,
    params: &SparseParams,
) -> Result<()> {
    if params.decode.batch == 0 {
        return Ok(());
    }
    cuda::launch_sparse(device, stream.raw(), &SparseLaunch { kernel, q: &args.q, params })
}

/// Everything but partial results and largest scores.
fn params(args: &SparseAttention<'_>, parts: u32, cut: Cut) -> SparseParams {
    let (shape, out, lse) = (args.q.shape(), args.out.strides(), args.lse.strides());
    SparseParams {
        decode: DenseDecodeParams {
            out: args.out.address(),
            lse: args.lse.address(),
            out_stride_batch: out[0] as u64,
            out_stride_head: out[1] as u64,
            lse_stride_batch: lse[0] as u64,
            lse_stride_head: lse[1] as u64,
            batch: shape[0] as u32,
            parts,
            rows: Rows::pack(1, shape[1] as u32, 1),
            scale_log2: args.softmax_scale * LOG2_E,
            cut,
            reach: Reach::ALL,
            ..DenseDecodeParams::default()
        },
        list: list(&args.selection),
        extra: args.extra.as_ref().map_or_else(List::default, list),
        sink: args.sink.as_ref().map_or(0, |sink| sink.address()),
        ..SparseParams::default()
    }
}

/// Rows from 2^31 on have no index.
fn list(selection: &Selection<'_>) -> List {
    let Selection { kv_cache, indices, lengths } = selection;
    let (rows, element) = (CachedRows::new(kv_cache), kv_cache.dtype().size() as u64);
    List {
        rows: kv_cache.address(),
        block_stride: kv_cache.strides()[0] as u64 * element,
        row_stride: kv_cache.strides()[1] as u64 * element,
        indices: indices.address(),
        lengths: lengths.as_ref().map_or(0, |lengths| lengths.address()),
        indices_stride: indices.strides()[0] as u64,
        block_size: rows.block_size.max(1) as u32,
        row_count: rows.tokens().min(1 << 31) as u32,
        topk: indices.shape()[1] as u32,
        reserved: 0,
    }
}
