//! `cargo xtask report`: the committed measurements as a page with plots, `docs/performance.md`.
//!
//! The same records give the same bytes, so that `cargo xtask ci` can tell when the page is stale.

mod chart;
mod latency;
mod markdown;
mod page;
mod results;
mod roofline;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use self::results::Results;
use crate::workspace::Workspace;

/// Name of the page, and of the directory of its plots.
const PAGE: &str = "performance.md";
const PLOTS: &str = "plots";

/// Options of `cargo xtask report`.
#[derive(clap::Args)]
pub struct Args {
    /// Records that `oxmla bench suite --json` wrote [default: bench/results/dense-*.jsonl]
    #[arg(value_name = "JSONL")]
    records: Vec<PathBuf>,
    /// Directory to write performance.md and plots/ to [default: docs]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write nothing; fail if what is there is not what the records give
    #[arg(long)]
    check: bool,
}

/// Contents of files, by their path in the output directory.
type Files = BTreeMap<PathBuf, String>;

/// Writes the page and its plots, or only looks whether they are what the records give.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let records = match args.records.as_slice() {
        [] => committed(workspace)?,
        given => given.to_vec(),
    };
    let out = args.out.clone().unwrap_or_else(|| workspace.root.join("docs"));
    let files = render(&records)?;
    if args.check {
        let stale = stale(&out, &files)?;
        ensure!(stale.is_empty(), "stale: {}; run `cargo xtask report`", stale.join(", "));
        return Ok(());
    }
    write(&out, &files)?;
    eprintln!("wrote {} with {} plots", out.join(PAGE).display(), files.len() - 1);
    Ok(())
}

/// Fails if the page or a plot is not what the committed records give.
pub fn check(workspace: &Workspace) -> Result<()> {
    run(workspace, &Args { records: Vec::new(), out: None, check: true })
}

/// Writes the files, and removes the plots that are none of them.
fn write(out: &Path, files: &Files) -> Result<()> {
    for (path, text) in files {
        let path = out.join(path);
        let directory = path.parent().unwrap_or(out);
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    for path in left_over(out, files)? {
        fs::remove_file(out.join(&path)).with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(())
}

/// The records in the repository, in the order of their names.
fn committed(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let directory = workspace.root.join("bench/results");
    let mut records = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("dense-") && name.ends_with(".jsonl") {
            records.push(path);
        }
    }
    ensure!(!records.is_empty(), "no dense-*.jsonl in {}", directory.display());
    records.sort();
    Ok(records)
}

fn render(records: &[PathBuf]) -> Result<Files> {
    let all = records.iter().map(|path| Results::read(path)).collect::<Result<Vec<_>>>()?;
    let mut files = Files::new();
    for results in &all {
        let plots =
            [("roofline", roofline::chart(results))].into_iter().chain(latency::charts(results));
        for (name, chart) in plots {
            let path = Path::new(PLOTS).join(results.plot(name));
            let twice = files.insert(path, chart.to_svg()?).is_some();
            ensure!(!twice, "two files of records are called {}", results.stem);
        }
    }
    files.insert(PAGE.into(), page::write(&all));
    Ok(files)
}

/// Files that differ from what they should be, are missing, or should not be there.
fn stale(directory: &Path, files: &Files) -> Result<Vec<String>> {
    let differs = |(path, text): &(&PathBuf, &String)| {
        fs::read_to_string(directory.join(path)).ok().as_ref() != Some(text)
    };
    let changed = files.iter().filter(differs).map(|(path, _)| path.clone());
    let stale = changed.chain(left_over(directory, files)?);
    Ok(stale.map(|path| path.display().to_string()).collect())
}

/// Plots in the output directory that no record gives any more.
fn left_over(directory: &Path, files: &Files) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(directory.join(PLOTS)) else { return Ok(Vec::new()) };
    let mut paths = Vec::new();
    for entry in entries {
        let path = Path::new(PLOTS).join(entry?.file_name());
        if path.extension().is_some_and(|extension| extension == "svg")
            && !files.contains_key(&path)
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
