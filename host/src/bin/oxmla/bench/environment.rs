//! What the measurements were taken on.

use std::process::{Command, Stdio};

use oxmla::{Device, Stream};
use serde::Serialize;

/// Machine, program and ceilings of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// Name of the device.
    pub device: String,
    /// Version of its driver, and the CUDA version that it supports. Not for the CPU.
    pub driver: Option<String>,
    pub cuda: Option<String>,
    /// Version of this program, and the commit that it is built from.
    pub version: &'static str,
    pub commit: Option<String>,
    /// Bytes per second that a copy in the device's memory reads and writes, in 10⁹. Not on the CPU.
    pub copy_gbps: Option<f64>,
    /// What two events measure with nothing between them, in microseconds: part of all other times between
    /// events. Not on the CPU.
    pub empty_us: Option<f64>,
}

impl Environment {
    /// Looks around, and measures the ceilings of `device`.
    pub fn of(device: &Device, stream: &Stream, commit: Option<&str>) -> anyhow::Result<Self> {
        let environment = Self {
            device: device.name().to_owned(),
            driver: None,
            cuda: None,
            version: env!("CARGO_PKG_VERSION"),
            commit: commit.map(str::to_owned).or_else(checked_out_commit),
            copy_gbps: None,
            empty_us: None,
        };
        match device {
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => {
                let (major, minor) = device.info().driver_version;
                Ok(Self {
                    driver: super::nvml::Sensor::open(&device.info().pci_address)
                        .and_then(|sensor| sensor.driver_version()),
                    cuda: Some(format!("{major}.{minor}")),
                    copy_gbps: Some(super::gpu::copy_gbps(device, stream)?),
                    empty_us: Some(super::gpu::empty_us(device, stream)?),
                    ..environment
                })
            }
            _ => {
                let _ = stream;
                Ok(environment)
            }
        }
    }
}

/// The commit that is checked out where the program runs, if it runs in a repository.
fn checked_out_commit() -> Option<String> {
    let mut git = Command::new("git");
    let output =
        git.args(["rev-parse", "--short=12", "HEAD"]).stderr(Stdio::null()).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?;
    Some(commit.trim().to_owned()).filter(|commit| output.status.success() && !commit.is_empty())
}
