//! What the measurements were taken on.

use std::env;
use std::process::{Command, Stdio};

use oxmla::{Device, Stream};
use oxmla_bench::Ceilings;
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
    /// The command that measures, without the file that it writes.
    pub command: String,
    /// What the device can do. Unknown for the CPU.
    #[serde(flatten)]
    pub ceilings: Ceilings,
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
            command: command(env::args()),
            ceilings: Ceilings::default(),
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
                    ceilings: super::ceilings::measure(device, stream)?,
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

/// The command line, as far as it says what is measured: where results go is nobody else's business.
fn command(arguments: impl Iterator<Item = String>) -> String {
    let mut arguments = arguments.skip(1);
    let mut command = vec!["oxmla".to_owned()];
    while let Some(argument) = arguments.next() {
        if argument == "--json" {
            arguments.next();
        } else if !argument.starts_with("--json=") {
            command.push(argument);
        }
    }
    command.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_no_files() {
        let line = ["/a/b/oxmla", "bench", "--json", "/c/d", "suite", "--json=/e", "--repeat", "3"];
        let arguments = line.into_iter().map(str::to_owned);
        assert_eq!(command(arguments), "oxmla bench suite --repeat 3");
    }
}
