//! From checked tensors to the kernels' parameters.

use std::f32::consts::LOG2_E;

use oxmla_kernels::abi::{DenseDecodeParams, Paging};

use super::Decode;
use crate::backend::cuda::{self, CudaDevice, DecodeLaunch};
use crate::error::Result;
use crate::plan::{DecodePlan, Planner, Workspace};
use crate::stream::StreamRef;

/// Starts the kernel.
pub fn launch(
    device: &CudaDevice,
    planner: &Planner,
    plan: &DecodePlan,
    stream: StreamRef<'_>,
    args: &Decode<'_>,
) -> Result<()> {
    let Some(workspace) = planner.workspace().filter(|_| plan.batch() > 0) else {
        return Ok(());
    };
    let params = params(planner, plan, workspace, args);
    let (q, kv_cache) = (&args.q, &args.kv_cache);
    let dtype = planner.config().dtype;
    let variant = plan.variant();
    let launch = DecodeLaunch { dtype, variant, q, kv_cache, params: &params };
    cuda::launch_decode(device, stream.raw(), &launch)
}

fn params(
    planner: &Planner,
    plan: &DecodePlan,
    workspace: &Workspace,
    args: &Decode<'_>,
) -> DenseDecodeParams {
    let config = planner.config();
    let out = args.out.strides();
    let lse = args.lse.strides();
    DenseDecodeParams {
        lengths: workspace.step(),
        block_table: workspace.step() + planner.tables().ids_offset(),
        out: args.out.address(),
        lse: args.lse.address(),
        partial_out: workspace.partial_out(),
        partial_lse: workspace.partial_lse(),
        arrivals: workspace.arrivals(),
        out_stride_batch: out[0] as u64,
        out_stride_token: out[1] as u64,
        out_stride_head: out[2] as u64,
        lse_stride_batch: lse[0] as u64,
        lse_stride_head: lse[1] as u64,
        table_stride: config.max_blocks_per_sequence as u32,
        batch: plan.batch() as u32,
        parts: plan.parts(),
        rows: *plan.rows(),
        causal: plan.mask().is_causal().into(),
        scale_log2: args.softcap.unwrap_or(args.softmax_scale) * LOG2_E,
        cut: plan.cut(),
        reach: plan.reach(),
        softcap: args.softcap.map_or(0.0, |cap| args.softmax_scale / cap),
        paging: Paging::new(config.block_size.trailing_zeros()),
    }
}
