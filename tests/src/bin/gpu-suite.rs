//! Runs everything on the first GPU: `cargo xtask test --gpu`. Without a GPU that can be used it fails.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use oxmla::Device;
use oxmla_tests::case::Case;
use oxmla_tests::checks::{self, Check};
use oxmla_tests::grid::{self, Group};
use oxmla_tests::session::Session;
use oxmla_tests::suite::{Suite, Summary};
use oxmla_tests::watchdog::Watchdog;
use serde::Serialize;

/// Pairs of a query row and a cached token that the oracle works on per case: a tenth of a second on one core.
const ORACLE_BUDGET: usize = 500_000;

/// The test suite, on GPU 0
#[derive(Parser)]
struct Args {
    /// Only groups and checks whose name contains this
    #[arg(long, default_value = "")]
    filter: String,
    /// One case only, as a failure prints it: "b=2 s_q=1 h_q=128 len=fixed:4096 …"
    #[arg(long)]
    case: Option<Case>,
    /// A tenth of the cases of each group
    #[arg(long)]
    quick: bool,
    /// A few small cases of each group, and the checks that tools can follow which slow kernels down
    #[arg(long, conflicts_with = "quick")]
    small: bool,
    /// Seconds that a case or a check may take; none takes more than a few
    #[arg(long, default_value_t = 30)]
    time_limit: u64,
    /// Write what came of it here, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Commit that is tested, for the JSON
    #[arg(long, default_value = "")]
    commit: String,
}

/// What is written to the file.
#[derive(Serialize)]
struct Report {
    commit: String,
    device: String,
    cuda: String,
    cases: usize,
    seconds: f64,
    passed: bool,
    #[serde(flatten)]
    summary: Summary,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<bool> {
    let start = Instant::now();
    let device = Device::cuda(0).context("no GPU to test on")?;
    let cuda = cuda_version(&device)?;
    println!("{}, CUDA {cuda}", device.name());
    let Selection { first, groups, checks } = selection(args)?;

    let name = device.name().to_owned();
    let mut session = Session::new(device, ORACLE_BUDGET)?;
    let watchdog = Watchdog::new(Duration::from_secs(args.time_limit));
    let mut suite = Suite::new(&mut session, &watchdog);
    first.iter().for_each(|check| suite.check(check));
    groups.iter().for_each(|group| suite.group(group));
    checks.iter().for_each(|check| suite.check(check));

    let summary = suite.summary();
    let report = Report {
        commit: args.commit.clone(),
        device: name,
        cuda,
        cases: summary.cases(),
        seconds: start.elapsed().as_secs_f64(),
        passed: summary.passed(),
        summary,
    };
    print(&report);
    if let Some(path) = &args.json {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        serde_json::to_writer_pretty(file, &report)?;
    }
    Ok(report.passed)
}

fn cuda_version(device: &Device) -> Result<String> {
    let Device::Cuda(gpu) = device else { bail!("{} is no GPU", device.name()) };
    let (major, minor) = gpu.info().driver_version;
    Ok(format!("{major}.{minor}"))
}

/// What the options ask for, in its order.
#[derive(Default)]
struct Selection {
    first: Vec<Check>,
    groups: Vec<Group>,
    checks: Vec<Check>,
}

fn selection(args: &Args) -> Result<Selection> {
    if let Some(case) = &args.case {
        let groups = vec![Group { name: "case".into(), cases: vec![case.clone()] }];
        return Ok(Selection { groups, ..Selection::default() });
    }
    let mut groups = match (args.small, args.quick) {
        (true, _) => grid::small(),
        (_, true) => grid::quick(),
        _ => grid::all(),
    };
    groups.retain(|group| group.name.contains(&args.filter));
    let is_asked_for = |check: &Check| {
        check.name.contains(&args.filter)
            && !(args.small && checks::NOT_SMALL.contains(&check.name))
    };
    let first: Vec<Check> = checks::UNLOADED.iter().copied().filter(is_asked_for).collect();
    let all = checks::EVERY_DEVICE.iter().chain(checks::GPU).copied();
    let checks: Vec<Check> = all.filter(is_asked_for).collect();
    if first.is_empty() && groups.is_empty() && checks.is_empty() {
        bail!("nothing is called `{}`", args.filter);
    }
    Ok(Selection { first, groups, checks })
}

fn print(report: &Report) {
    let Report { cases, seconds, summary, .. } = report;
    if let Some(reason) = &summary.stopped {
        println!("stopped: {reason}");
    }
    let failed = summary.failures.len();
    let verdict = if report.passed { "passed" } else { "FAILED" };
    println!("{verdict}: {cases} cases and checks, {failed} failed, {seconds:.0} s");
}
