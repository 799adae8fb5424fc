//! What can go wrong.

use crate::dtype::DType;
use crate::tensor::{Location, Shape};

/// Result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call was refused or failed. A refused call has changed nothing: no cache content, no output, no
/// bookkeeping.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor has another number of axes.
    #[error("`{arg}` must have {expected} axes, but has {got}")]
    RankMismatch {
        /// The argument.
        arg: &'static str,
        /// Axes it must have.
        expected: usize,
        /// Axes it has.
        got: usize,
    },
    /// An axis of a tensor has another size.
    #[error("axis {axis} of `{arg}` must have size {expected}, but has {got}")]
    ShapeMismatch {
        /// The argument.
        arg: &'static str,
        /// Name of the axis, as in the documented shape.
        axis: &'static str,
        /// Size it must have.
        expected: usize,
        /// Size it has.
        got: usize,
    },
    /// A tensor's elements have another type than those they must match.
    #[error("`{arg}` must be {expected}, but is {got}")]
    DTypeMismatch {
        /// The argument.
        arg: &'static str,
        /// Type it must have.
        expected: DType,
        /// Type it has.
        got: DType,
    },
    /// An element type that attention does not work on.
    #[error("`{arg}` must be bf16 or f16, but is {got}")]
    UnsupportedDType {
        /// The argument.
        arg: &'static str,
        /// Type it has.
        got: DType,
    },
    /// Elements that are no floating-point numbers.
    #[error("`{arg}` must be bf16, f16 or f32, but is {got}")]
    NotAFloat {
        /// The argument.
        arg: &'static str,
        /// Type it has.
        got: DType,
    },
    /// A cache of bytes whose tokens are those of no FP8 format.
    #[error("`{arg}` of u8 must have 656, 644 or 584 bytes a token, but has {got}")]
    UnknownFormat {
        /// The argument.
        arg: &'static str,
        /// Bytes of a token that it has.
        got: usize,
    },
    /// A stride that the device cannot follow.
    #[error("stride of axis {axis} of `{arg}` must be {expected} elements, but is {got}")]
    StrideMismatch {
        /// The argument.
        arg: &'static str,
        /// Name of the axis.
        axis: &'static str,
        /// Stride it must have, in elements.
        expected: usize,
        /// Stride it has, in elements.
        got: usize,
    },
    /// An address that is not a multiple of what the device needs.
    #[error("the address of `{arg}` must be a multiple of {required} bytes, but is {got:#x}")]
    Misaligned {
        /// The argument.
        arg: &'static str,
        /// Bytes of which it must be a multiple.
        required: usize,
        /// The address.
        got: u64,
    },
    /// A stride that is not a multiple of what the device needs.
    #[error(
        "stride of axis {axis} of `{arg}` must be a multiple of {required} bytes, but is {got}"
    )]
    MisalignedStride {
        /// The argument.
        arg: &'static str,
        /// Name of the axis.
        axis: &'static str,
        /// Bytes of which it must be a multiple.
        required: usize,
        /// The stride, in bytes.
        got: u64,
    },
    /// Memory or a stream of another device.
    #[error("`{arg}` must be on {expected}, but is on {got}")]
    LocationMismatch {
        /// The argument.
        arg: &'static str,
        /// Where it must be.
        expected: Location,
        /// Where it is.
        got: Location,
    },
    /// A writable view in which two indices may name the same element.
    #[error("shape {shape} with strides {strides} makes elements of a writable view overlap")]
    Overlap {
        /// Shape of the view.
        shape: Shape,
        /// Strides of the view, in elements.
        strides: Shape,
    },
    /// A view of more elements than there are.
    #[error("a view that reaches over {needed} elements does not fit {available}")]
    ViewTooLarge {
        /// Elements from the first to the last that the view reaches, both included.
        needed: usize,
        /// Elements there are.
        available: usize,
    },
    /// A size in bytes that no address can express.
    #[error("the size of `{what}` overflows")]
    SizeOverflow {
        /// What has that size.
        what: &'static str,
    },
    /// Bytes outside a buffer.
    #[error("bytes {offset}..{offset}+{len} are outside a buffer of {size} bytes")]
    OutsideBuffer {
        /// First byte.
        offset: usize,
        /// Number of bytes.
        len: usize,
        /// Bytes of the buffer.
        size: usize,
    },
    /// A copy inside a buffer onto bytes that it reads.
    #[error("{len} bytes cannot be copied from {from} to {to} of the same buffer: they overlap")]
    OverlappingCopy {
        /// First byte to read.
        from: usize,
        /// First byte to write.
        to: usize,
        /// Number of bytes.
        len: usize,
    },
    /// A number outside what its argument allows.
    #[error("`{arg}` must be from {min} to {max}, but is {got}")]
    OutOfRange {
        /// The argument.
        arg: &'static str,
        /// Least value.
        min: i128,
        /// Largest value.
        max: i128,
        /// The value.
        got: i128,
    },
    /// A number that makes no sense in its place.
    #[error("`{arg}` must be {expected}, but is {got}")]
    InvalidNumber {
        /// The argument, or the field of a checkpoint's `config.json`.
        arg: &'static str,
        /// What it must be.
        expected: &'static str,
        /// The number.
        got: f64,
    },

    /// Query heads that do not divide evenly among the KV heads.
    #[error("{h_q} query heads cannot be divided among {h_k} KV heads")]
    UnsupportedHeads {
        /// Query heads.
        h_q: u32,
        /// KV heads.
        h_k: u32,
    },
    /// Query heads that do not divide evenly among the ranks of tensor parallelism.
    #[error("{heads} heads cannot be divided among {world} ranks")]
    UnevenShards {
        /// Query heads of the layer.
        heads: usize,
        /// Ranks.
        world: usize,
    },
    /// Query weights of the other kind than `q_lora_rank` asks for.
    #[error("`q_lora_rank` asks for {expected}, but the weights have {got}")]
    QueryWeightsMismatch {
        /// The weights that it asks for.
        expected: &'static str,
        /// Those that there are.
        got: &'static str,
    },
    /// Widths other than 512 latent and 64 rotary dimensions.
    #[error("latent and rope must be 512 and 64 dimensions, but are {latent} and {rope}")]
    UnsupportedWidths {
        /// Latent dimensions.
        latent: u32,
        /// Rotary dimensions.
        rope: u32,
    },
    /// Queries of sparse attention of a width that there are no kernels for.
    #[error("queries must have 576 or 512 dimensions, but have {got}")]
    UnsupportedQueryWidth {
        /// Dimensions that they have.
        got: usize,
    },
    /// A sequence of a pool whose blocks have another size than those of the cache.
    #[error("the cache has blocks of {expected} tokens, but the sequence's are of {got}")]
    BlockSizeMismatch {
        /// Tokens of a block of the cache.
        expected: usize,
        /// Tokens of a block of the sequence.
        got: usize,
    },
    /// A cache block size that there are no kernels for.
    #[error("the block size must be 16, 32, 64 or 128 tokens, but is {got}")]
    UnsupportedBlockSize {
        /// Tokens per block.
        got: usize,
    },
    /// More than the planner was made for.
    #[error("{quantity} is {got}, but the planner was made for at most {limit}")]
    Capacity {
        /// `batch`, `s_q` or `max_blocks`.
        quantity: &'static str,
        /// The planner's maximum.
        limit: usize,
        /// What the step asks for.
        got: usize,
    },
    /// A request with a negative number of cached tokens.
    #[error("request {request} has a negative length, {got}")]
    NegativeLength {
        /// Index of the request.
        request: usize,
        /// Its length.
        got: i32,
    },
    /// A request with more tokens than its row of the block table has room for.
    #[error(
        "request {request} has {length} tokens, but its {blocks} blocks in the table hold fewer"
    )]
    LengthBeyondTable {
        /// Index of the request.
        request: usize,
        /// Its length, in tokens.
        length: i32,
        /// Blocks in its row of the table.
        blocks: usize,
    },
    /// A block id that no block has.
    #[error("block {index} of request {request} has id {id}, but the cache has {blocks} blocks")]
    BlockOutOfPool {
        /// Index of the request.
        request: usize,
        /// Index of the block in the request.
        index: usize,
        /// The id.
        id: i32,
        /// Blocks in the cache.
        blocks: usize,
    },
    /// Too many cached tokens in one step for the arithmetic of the schedule.
    #[error("the step costs {cost} blocks; a schedule counts fewer than {limit}")]
    ScheduleTooLarge {
        /// Cost of the step.
        cost: u64,
        /// First cost that is too large.
        limit: u64,
    },
    /// A fixed length of pieces that the kernels do not know.
    #[error("`piece_tokens` must be 64 times a power of two, but is {got}")]
    InvalidPiece {
        /// Tokens asked for.
        got: u32,
    },
    /// A softmax scale that is zero, negative or not finite.
    #[error("`softmax_scale` must be finite and greater than 0, but is {got}")]
    InvalidScale {
        /// The scale.
        got: f32,
    },
    /// A soft cap that is zero, negative or not finite, or 2^126 times larger or smaller than the softmax scale.
    #[error(
        "`softcap` must be finite and greater than 0, and in proportion to `softmax_scale`, but is {got}"
    )]
    InvalidSoftcap {
        /// The cap.
        got: f32,
    },
    /// A plan that a later step of its planner has replaced.
    #[error("the plan is of step {plan}, but its planner has gone on to step {planner}")]
    StalePlan {
        /// Step of the plan.
        plan: u64,
        /// Step of the planner.
        planner: u64,
    },
    /// A plan that another planner made.
    #[error("the plan was made by planner {plan}, but was given to planner {planner}")]
    PlanOfAnotherPlanner {
        /// The planner that made the plan.
        plan: u64,
        /// The planner it was given to.
        planner: u64,
    },

    /// A pool with too few free blocks.
    #[error("{requested} blocks are needed, but {available} are free")]
    OutOfBlocks {
        /// Blocks that the call needs.
        requested: usize,
        /// Free blocks.
        available: usize,
    },
    /// A sequence whose blocks come from another pool.
    #[error("the sequence belongs to pool {sequence}, but was given to pool {pool}")]
    SequenceOfAnotherPool {
        /// The pool of the sequence.
        sequence: u64,
        /// The pool it was given to.
        pool: u64,
    },
    /// Tokens that a sequence does not have.
    #[error("position {position} is beyond a sequence of {len} tokens")]
    BeyondSequence {
        /// The position.
        position: usize,
        /// Tokens of the sequence.
        len: usize,
    },

    /// A device without the memory asked for.
    #[error("{device} has no {bytes} bytes of memory left")]
    OutOfMemory {
        /// Name of the device.
        device: String,
        /// Bytes asked for.
        bytes: usize,
    },
    /// No usable NVIDIA driver on this machine, or none asked for at build time.
    #[error("no NVIDIA driver: {reason}")]
    NoDriver {
        /// What was missing.
        reason: String,
    },
    /// A thread that works in no primary context, where a GPU was to be found by it.
    #[error("the primary context of a GPU must be current on the thread, but {got} is")]
    NoPrimaryContext {
        /// What is current.
        got: &'static str,
    },
    /// A stream or memory of another context than the GPU's primary one.
    #[error("`{arg}` must be of the primary context of GPU {ordinal}, but is of another context")]
    ForeignContext {
        /// The argument.
        arg: &'static str,
        /// Number of the GPU.
        ordinal: u32,
    },
    /// A GPU without the instructions that the kernels are made of.
    #[error("{name} has compute capability {major}.{minor}, but the kernels need 9.0")]
    UnsupportedDevice {
        /// Name of the GPU.
        name: String,
        /// Its compute capability, first number.
        major: u32,
        /// Its compute capability, second number.
        minor: u32,
    },
    /// A call of the CUDA driver that failed.
    #[error("{call} failed with {name} ({code}): {detail}")]
    Driver {
        /// The function of the driver.
        call: &'static str,
        /// Its result.
        code: i32,
        /// The driver's name of the result, such as `CUDA_ERROR_INVALID_VALUE`.
        name: String,
        /// The driver's description of it, and what was attempted.
        detail: String,
    },
    /// A call of the CUDA driver that failed because the GPU is lost to this process: work given to it earlier went
    /// wrong in a way that its context does not survive, and every later call says so too. Every call that may
    /// say [`Error::Driver`] may say this instead. What the host keeps is as it was; the memory of the GPU is gone.
    #[error("the GPU is lost to this process: {call} failed with {name} ({code}): {detail}")]
    DeviceLost {
        /// The function of the driver.
        call: &'static str,
        /// Its result.
        code: i32,
        /// The driver's name of the result, such as `CUDA_ERROR_ILLEGAL_ADDRESS`.
        name: String,
        /// The driver's description of it.
        detail: String,
    },
    /// An operation that the device has no kernel for yet.
    #[error("{device} has no kernel for {operation} yet")]
    NoKernel {
        /// The operation.
        operation: &'static str,
        /// Name of the device.
        device: String,
    },
    /// A kernel that broke a rule of the GPU, found by the simulator. The output is as it was.
    #[error("simulated kernel: {report}")]
    Simulation {
        /// What is wrong, in which kernel, block and threads, and where in its source.
        report: String,
    },
    /// A driver from before the CUDA version that knows all instructions of the kernels.
    #[error("the driver is for CUDA {major}.{minor}, but the kernels need one for 12.3 or later")]
    OldDriver {
        /// Newest CUDA version that it supports, first number.
        major: u32,
        /// Newest CUDA version that it supports, second number.
        minor: u32,
    },
    /// Kernels that the driver could not compile or load. The next call that needs them tries again.
    #[error("the driver cannot load the kernels of module {module}: {log}")]
    ModuleLoad {
        /// What the module is called: [`Family::name`](crate::Family::name).
        module: &'static str,
        /// What its compiler wrote.
        log: String,
    },
}
