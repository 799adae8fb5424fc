#![doc = include_str!("../README.md")]

mod injection;
mod launch;
mod machine;
mod memory;
mod ptx;
mod report;
mod svg;
mod tensor_map;
mod trace;

pub use injection::{Change, Injection};
pub use launch::{
    Launch, MAX_CLUSTER, MAX_SHARED_BYTES, MAX_THREADS, MULTIPROCESSORS, REGISTERS, Timing,
};
pub use memory::{Memory, Plain};
pub use ptx::{
    atomic, barrier, bulk, cluster, cp_async, fence, global, grid, math, matrix, mbarrier,
    registers, shared, special, tma, warp, wgmma,
};
pub use report::{Kind, Place, Report};
pub use tensor_map::{InvalidTensorMap, Swizzle, TensorMap};
pub use trace::{Event, Span, Trace};
