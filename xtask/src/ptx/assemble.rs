//! ptxas's part: PTX to a cubin, kept only to be looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};

use super::module::Module;
use super::{divergence, usage};
use crate::workspace::Workspace;
use crate::{cuda_tools, process};

/// Architecture of the cubin.
const ARCH: &str = "sm_90a";

/// A module of machine code, not judged yet.
pub struct Assembled<'a> {
    /// The module.
    pub module: &'a Module,
    /// What it was assembled from.
    pub ptx: &'a str,
    ptx_path: PathBuf,
    /// Machine code, for the disassembler.
    pub cubin: PathBuf,
    report: String,
}

impl<'a> Assembled<'a> {
    /// Assembles `ptx`. What that takes and makes stays in the target directory, where people find it even when ptxas
    /// refuses.
    pub fn new(workspace: &Workspace, module: &'a Module, ptx: &'a str) -> Result<Self> {
        let directory = workspace.target.join("kernels");
        let ptx_path = directory.join(module.ptx_file());
        let cubin = directory.join(module.cubin_file());
        fs::write(&ptx_path, ptx)?;
        let report = assemble(&cuda_tools::ptxas(workspace)?, &ptx_path, &cubin)?;
        Ok(Self { module, ptx, ptx_path, cubin, report })
    }

    /// What the kernels take; or what makes them unfit to commit, budgets aside.
    pub fn usage(&self) -> Result<usage::Kernels> {
        let file = || self.ptx_path.display().to_string();
        divergence::check(self.ptx).with_context(file)?;
        usage::parse(&self.report).with_context(file)
    }
}

/// Assembles `ptx` and returns what `ptxas -v` says about the kernels.
fn assemble(ptxas: &Path, ptx: &Path, cubin: &Path) -> Result<String> {
    let mut command = Command::new(ptxas);
    command.args(["-v", "-arch", ARCH]).arg(ptx).arg("-o").arg(cubin);
    let output = process::output(&mut command)?;
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        bail!("`{}` failed:\n{}", process::describe(&command), report.trim_end());
    }
    Ok(report)
}

/// What `work` makes of each item, in their order: one item for each processor at a time. The first failure in that order
/// is the failure of all.
pub fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let waiting = Mutex::new(items.iter().enumerate());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let done = Mutex::new(Vec::with_capacity(items.len()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from).min(items.len()) {
            scope.spawn(|| {
                while let Some((place, item)) = next() {
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((place, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|&(place, _)| place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_their_items() {
        let items: Vec<u64> = (0..50).collect();
        let squares = side_by_side(&items, |item| Ok(item * item)).unwrap();
        assert!(squares.iter().zip(&items).all(|(square, item)| *square == item * item));
        let odd = |item: &u64| if item.is_multiple_of(2) { Ok(()) } else { bail!("{item}") };
        assert_eq!(side_by_side(&items, odd).unwrap_err().to_string(), "1");
    }
}
