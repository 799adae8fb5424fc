//! `ptxas` and `nvdisasm`, from what is installed or from NVIDIA's wheels on PyPI.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// One program of the CUDA toolkit.
struct Tool {
    program: &'static str,
    /// Names an executable to use whatever its version.
    variable: &'static str,
    /// Package on PyPI that carries the program, and the version to fetch.
    wheel: &'static str,
    wheel_version: &'static str,
    /// Whether an installed program must have the wheel's version: the manifest records what ptxas
    /// allocates, and another release allocates differently.
    exact: bool,
}

const PTXAS: Tool = Tool {
    program: "ptxas",
    variable: "OXMLA_PTXAS",
    wheel: "nvidia-cuda-nvcc",
    wheel_version: "13.0.88",
    exact: true,
};

/// 13.2 is the oldest release of the disassembler on PyPI.
const NVDISASM: Tool = Tool {
    program: "nvdisasm",
    variable: "OXMLA_NVDISASM",
    wheel: "nvidia-cuda-nvdisasm",
    wheel_version: "13.2.51",
    exact: false,
};

/// Path of the assembler.
pub fn ptxas(workspace: &Workspace) -> Result<PathBuf> {
    PTXAS.find(workspace)
}

/// Path of the disassembler.
pub fn nvdisasm(workspace: &Workspace) -> Result<PathBuf> {
    NVDISASM.find(workspace)
}

/// What is there without fetching anything: a line for each program.
pub fn report(workspace: &Workspace) -> Vec<(&'static str, String)> {
    let describe = |tool: &Tool| match tool.installed(workspace) {
        Ok(Some(path)) => {
            let version = version(&path).unwrap_or_else(|error| format!("{error:#}"));
            format!("{version} ({})", path.display())
        }
        Ok(None) => format!("none that fits; {} would be fetched", tool.wheel_name()),
        Err(error) => format!("{error:#}"),
    };
    [PTXAS, NVDISASM].map(|tool| (tool.program, describe(&tool))).into()
}

/// Release of a CUDA program, such as `13.0.88`.
pub fn version(program: &Path) -> Result<String> {
    let text = process::stdout(Command::new(program).arg("--version"))?;
    parse_version(&text)
        .map(str::to_owned)
        .with_context(|| format!("no release in what `{} --version` prints", program.display()))
}

/// Finds `13.0.88` in `Cuda compilation tools, release 13.0, V13.0.88`.
fn parse_version(text: &str) -> Option<&str> {
    let line = text.lines().find(|line| line.contains("release"))?;
    let version = line.rsplit_once(", V")?.1.trim();
    version.starts_with(|c: char| c.is_ascii_digit()).then_some(version)
}

impl Tool {
    fn find(&self, workspace: &Workspace) -> Result<PathBuf> {
        match self.installed(workspace)? {
            Some(program) => Ok(program),
            None => self.fetch(workspace),
        }
    }

    /// The program if it need not be fetched.
    fn installed(&self, workspace: &Workspace) -> Result<Option<PathBuf>> {
        if let Some(path) = env::var_os(self.variable) {
            let path = PathBuf::from(path);
            version(&path).with_context(|| format!("{} names no usable program", self.variable))?;
            return Ok(Some(path));
        }
        let fetched = self.fetched(workspace);
        Ok(self.candidates().into_iter().chain([fetched]).find(|path| self.is_usable(path)))
    }

    /// Where [`Self::fetch`] leaves the program.
    fn fetched(&self, workspace: &Workspace) -> PathBuf {
        let wheel = workspace.target.join("cuda-tools").join(self.wheel_name());
        wheel.join("nvidia/cu13/bin").join(self.program)
    }

    fn wheel_name(&self) -> String {
        format!("{}-{}", self.wheel, self.wheel_version)
    }

    /// Installed programs, most specific first.
    fn candidates(&self) -> Vec<PathBuf> {
        let mut directories: Vec<PathBuf> =
            env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
        directories.extend(env::var_os("CUDA_HOME").map(|home| PathBuf::from(home).join("bin")));
        directories.push("/usr/local/cuda/bin".into());
        directories.iter().map(|directory| directory.join(self.program)).collect()
    }

    fn is_usable(&self, path: &Path) -> bool {
        path.is_file()
            && version(path).is_ok_and(|found| !self.exact || found == self.wheel_version)
    }

    /// Installs the wheel into the target directory.
    fn fetch(&self, workspace: &Workspace) -> Result<PathBuf> {
        let name = self.wheel_name();
        let tools = workspace.target.join("cuda-tools");
        let program = self.fetched(workspace);
        eprintln!("{}: fetching {name} from PyPI into {}", self.program, tools.display());
        fs::create_dir_all(&tools)?;
        // A second directory and a rename, so that an interrupted download leaves no half program.
        let staging = tools.join(format!("{name}.{}", std::process::id()));
        let requirement = format!("{}=={}", self.wheel, self.wheel_version);
        process::run(
            Command::new("python3")
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .arg("--root-user-action=ignore")
                .args(["--no-deps", "--only-binary=:all:", &requirement, "--target"])
                .arg(&staging),
        )
        .with_context(|| {
            format!(
                "{program} {version} is neither installed nor could it be fetched; install CUDA {version}, \
                 or python3 with pip, or name a {program} in {variable}",
                program = self.program,
                version = self.wheel_version,
                variable = self.variable,
            )
        })?;
        if fs::rename(&staging, tools.join(&name)).is_err() {
            // Another run was quicker.
            fs::remove_dir_all(&staging)?;
        }
        if !program.is_file() {
            bail!("the wheel {name} has no {}", program.display());
        }
        Ok(program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_is_read_from_the_banner() {
        let banner = "ptxas: NVIDIA (R) Ptx optimizing assembler\n\
                      Built on Wed_Aug_20_01:55:12_PM_PDT_2025\n\
                      Cuda compilation tools, release 13.0, V13.0.88\n\
                      Build cuda_13.0.r13.0/compiler.36424714_0\n";
        assert_eq!(parse_version(banner), Some("13.0.88"));
        assert_eq!(parse_version("busybox v1.36"), None);
        assert_eq!(parse_version("release without, Version"), None);
    }
}
