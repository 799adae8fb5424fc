//! Launch geometry of the micro-benchmarks, as `crate::launch` has that of the decode kernels.

use super::{ring, stream, tensor};
use crate::decode::dense;
use crate::launch::Kernel;

const fn stream(name: &'static str) -> Kernel {
    Kernel {
        name,
        threads: stream::THREADS,
        ctas_per_sm: stream::CTAS_PER_SM,
        cluster: 1,
        tensor_maps: 0,
        shared_bytes: 0,
    }
}

const fn ring(name: &'static str, cluster: u32) -> Kernel {
    Kernel {
        name,
        threads: ring::THREADS,
        ctas_per_sm: 1,
        cluster,
        tensor_maps: 1,
        shared_bytes: ring::SHARED_BYTES,
    }
}

const fn tensor(name: &'static str) -> Kernel {
    Kernel {
        name,
        threads: tensor::THREADS,
        ctas_per_sm: 1,
        cluster: 1,
        tensor_maps: 0,
        shared_bytes: tensor::OPERAND_BYTES,
    }
}

/// May be launched with fewer threads and less shared memory; these are the decode kernel's.
const fn empty(name: &'static str) -> Kernel {
    Kernel {
        name,
        threads: dense::config::THREADS,
        ctas_per_sm: 1,
        cluster: 1,
        tensor_maps: 0,
        shared_bytes: dense::config::SHARED_BYTES,
    }
}

/// Reads memory with vector loads.
pub const STREAM_READ: Kernel = stream("stream_read");
/// Copies memory with vector loads and stores.
pub const STREAM_COPY: Kernel = stream("stream_copy");
/// TMA into a ring, every CTA for itself.
pub const RING_PLAIN: Kernel = ring("ring_plain", 1);
/// TMA into the rings of two CTAs at once, handed over box by box.
pub const RING_MULTICAST_1: Kernel = ring("ring_multicast_1", 2);
/// The same, handed over by four boxes.
pub const RING_MULTICAST_4: Kernel = ring("ring_multicast_4", 2);
/// m64n64k16, A in shared memory.
pub const TENSOR_SS_64: Kernel = tensor("tensor_ss_64");
/// m64n64k16, A in registers.
pub const TENSOR_RS_64: Kernel = tensor("tensor_rs_64");
/// m64n128k16, A in shared memory.
pub const TENSOR_SS_128: Kernel = tensor("tensor_ss_128");
/// m64n256k16, A in shared memory.
pub const TENSOR_SS_256: Kernel = tensor("tensor_ss_256");
/// m64n256k16, A in registers.
pub const TENSOR_RS_256: Kernel = tensor("tensor_rs_256");
/// Nothing.
pub const EMPTY: Kernel = empty("empty");
/// Nothing, but lets the next grid start at once and waits for the one before.
pub const EMPTY_DEPENDENT: Kernel = empty("empty_dependent");

/// Every entry point of the module.
pub const KERNELS: &[Kernel] = &[
    STREAM_READ,
    STREAM_COPY,
    RING_PLAIN,
    RING_MULTICAST_1,
    RING_MULTICAST_4,
    TENSOR_SS_64,
    TENSOR_RS_64,
    TENSOR_SS_128,
    TENSOR_SS_256,
    TENSOR_RS_256,
    EMPTY,
    EMPTY_DEPENDENT,
];
