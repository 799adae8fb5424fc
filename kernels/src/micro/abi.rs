//! What the host and the micro-benchmarks agree on byte by byte. Pointers are device addresses.

use bytemuck::{Pod, Zeroable};

/// Of `stream_read`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub struct ReadParams {
    /// `*const u32 [4 · vectors]`, 16-byte aligned.
    pub data: u64,
    /// Number of 16-byte vectors.
    pub vectors: u64,
    /// `*mut u32 [ctas, warps]`: what the warps have read, summed modulo 2^32.
    pub sums: u64,
}

/// Of `stream_copy`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub struct CopyParams {
    /// `*const u32 [4 · vectors]`, 16-byte aligned.
    pub from: u64,
    /// `*mut u32 [4 · vectors]`, 16-byte aligned; does not overlap `from`.
    pub to: u64,
    /// Number of 16-byte vectors.
    pub vectors: u64,
}

/// Of `ring_plain` and `ring_multicast_*`, beside the tensor map of `[blocks, 1, 64, 576]`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub struct RingParams {
    /// `*mut u32 [ctas]`: probes of the boxes that a CTA has received, summed modulo 2^32.
    pub sums: u64,
    /// Blocks of the working set.
    pub blocks: u32,
    /// Boxes that each CTA receives; whole stages.
    pub boxes: u32,
}

/// Of `tensor_*`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub struct TensorParams {
    /// `*const u32`: the operands as they lie in shared memory, `tensor::OPERAND_BYTES`; 16-byte aligned.
    pub operands: u64,
    /// `*mut f32 [ctas, threads]`: the sum of a thread's accumulators.
    pub sums: u64,
    /// `*mut u32 [ctas]`: cycles of the loop.
    pub cycles: u64,
    /// Times that the loop multiplies all 16 steps.
    pub iterations: u32,
    /// Warpgroups of each CTA: 1 or 2.
    pub warpgroups: u32,
}

const _: () = assert!(
    size_of::<ReadParams>() == 24
        && size_of::<CopyParams>() == 24
        && size_of::<RingParams>() == 16
        && size_of::<TensorParams>() == 32
);
