//! NVIDIA GPUs of the Hopper generation.
//!
//! | file | what it does |
//! |---|---|
//! | `lazy` | loads the driver's library when it is first needed, and gives cust its symbols |
//! | `driver` | calls that cust lacks, or whose results cust cannot hold |
//! | `context` | makes a context current on the calling thread |
//! | `device`, `info` | a GPU: primary context, what it says about itself |
//! | `choice`, `module`, `modules`, `prepare` | which kernel a call launches; kernels loaded, by family, before they are needed |
//! | `buffer`, `stream`, `staging` | memory, streams, copies in stream order |
//! | `tensor_map`, `launch`, `decode`, `sparse` | one decode, one sparse attention |
//! | `cache`, `norm`, `gemm` | launches of what a layer needs beside attention |
//! | `graph`, `event` | work replayed, and its time |
//! | `program` | kernels of a program's own: the command line's micro-benchmarks |
//! | `foreign` | what programs have that work with a GPU already: their context, their memory |
//!
//! What takes time or allocates happens when planners, caches and workspaces are made: compiling and loading the kernels
//! that they are for, their attributes. A decode encodes two tensor maps and launches one kernel.
//!
//! No function here needs the driver to be there: without one, [`CudaDevice::open`] says
//! [`Error::NoDriver`](crate::Error::NoDriver).

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!(
    "feature `cuda` is for Linux on x86_64 or aarch64; build with `--no-default-features`"
);

mod buffer;
mod cache;
mod choice;
mod context;
mod decode;
mod device;
mod driver;
pub mod event;
mod foreign;
mod gemm;
pub mod graph;
mod info;
mod launch;
mod lazy;
mod module;
mod modules;
mod norm;
mod prepare;
#[cfg(feature = "cli")]
pub mod program;
mod sparse;
mod staging;
mod stream;
mod tensor_map;

pub use buffer::CudaBuffer;
pub(crate) use cache::{launch_append, launch_copy_blocks, launch_gather};
pub(crate) use decode::{DecodeLaunch, launch_decode};
pub use device::{CudaDevice, MemoryInfo};
pub(crate) use gemm::launch_gemm;
pub use info::CudaInfo;
pub(crate) use norm::launch_norm;
pub(crate) use prepare::{pairs, prepare_cache, prepare_decode, prepare_sparse};
pub(crate) use sparse::{SparseKernel, SparseLaunch, launch_sparse};
pub(crate) use staging::upload;
pub use stream::CudaStream;
