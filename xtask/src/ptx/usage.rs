//! What `ptxas -v` says about each kernel, and what makes it unacceptable.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// What ptxas allocates for one kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Registers per thread at launch.
    pub registers: u32,
    /// Named barriers.
    pub barriers: u32,
}

/// Usage by entry point.
pub type Kernels = BTreeMap<String, Usage>;

/// Reads the output of `ptxas -v`.
///
/// # Errors
/// One error that lists everything a kernel of this crate must not have:
/// - bytes of stack or of spills: local memory, and ptxas then serialises `wgmma`;
/// - messages C75xx, by which ptxas says that it gave up on `wgmma` or `setmaxnreg`;
/// - warnings.
pub fn parse(text: &str) -> Result<Kernels> {
    let mut kernels = Kernels::new();
    let mut compiling = None;
    let mut function = "";
    let mut problems = Vec::new();
    for line in text.lines() {
        if line.contains("(C75") || line.contains("; warning") || line.starts_with("ptxas warning")
        {
            problems.push(line.trim_start_matches("ptxas info    : ").to_owned());
        } else if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            compiling = rest.split('\'').next();
        } else if let Some((_, name)) = line.split_once("Function properties for ") {
            function = name.trim();
        } else if line.contains("bytes stack frame") {
            if line_numbers(line).any(|bytes| bytes != 0) {
                problems.push(format!("{function}: {}", line.trim()));
            }
        } else if let Some((_, rest)) = line.split_once("Used ") {
            let name = compiling.take().with_context(|| format!("no kernel for `{line}`"))?;
            let usage = parse_used(rest).with_context(|| format!("cannot read `{line}`"))?;
            kernels.insert(name.to_owned(), usage);
        }
    }
    if !problems.is_empty() {
        bail!("ptxas accepts the kernels but they would be slow:\n  {}", problems.join("\n  "));
    }
    Ok(kernels)
}

/// The numbers of `0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads`.
fn line_numbers(line: &str) -> impl Iterator<Item = u32> {
    line.split_whitespace().filter_map(|word| word.parse().ok())
}

/// `168 registers, used 5 barriers, 1024 bytes smem`.
fn parse_used(text: &str) -> Option<Usage> {
    let mut registers = None;
    let mut barriers = 0;
    for part in text.split(", ") {
        match part.trim().trim_start_matches("used ").split_once(' ')? {
            (count, "registers") => registers = Some(count.parse().ok()?),
            (count, "barriers") => barriers = count.parse().ok()?,
            _ => {}
        }
    }
    Some(Usage { registers: registers?, barriers })
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;
