//! The host's share of the work on a GPU, on any machine: with a driver that counts its calls, fails when it is
//! told to, and has kernels that do nothing.

mod cached_rows;
mod contexts;
mod cost;
#[cfg(feature = "cudarc")]
mod cudarc;
mod fake;
mod families;
mod faults;
mod layers;
mod opening;
mod products;
mod scenario;
mod sparse;
mod threads;

use anyhow::Result;
use oxmla::Device;
use oxmla_tests::session::Session;

/// A session on the fake driver's GPU. What decodes there cannot be compared with the oracle.
fn session() -> Result<Session> {
    let device = Device::cuda(0)?;
    anyhow::ensure!(device.name() == "fake H100", "another driver was loaded");
    Session::new(device, 0)
}
