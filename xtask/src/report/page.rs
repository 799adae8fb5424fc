//! The page.

use std::fmt::Write as _;

use oxmla_bench::{
    Ceiling, Ceilings, Comparison, Environment, Method, NOT_NORMALISED, PeerRun, REGIMES, Record,
    TITLES, Tally, compare,
};

use super::markdown::table;
use super::results::Results;
use super::{PLOTS, latency};

const INTRODUCTION: &str = "\
# Performance

Written by `cargo xtask report` from the records that `oxmla bench suite --json` appends; `cargo xtask ci` fails when the two disagree. Every number belongs to the run whose card, driver, commit and command stand at the head of its section; clocks and power are those of its row, taken during the sustained replays.

| time | what |
| --- | --- |
| `kernel` | the decode kernel, between two events, the L2 flushed before: median. A call is this one kernel, so that this is `call` once more, to stand beside the main kernels of peers who have others too |
| `call` | everything that one `decode` starts, between two events, the L2 flushed before: median |
| `sustained` | graph replays back to back for 0.2 s over caches that do not fit the L2: the steady state under the power limit |
| `host` | time of the host for one `decode`, launches included: median |

Times compare with times of the same method only: `kernel` with the peers' `kern`, `call` with their `ev`, `sustained` with their `sust`. `FLOP = batch · h_q · s_q · (2 · 576 + 2 · 512) · s_k`, `bytes = batch · (s_q · h_q · (576 + 512) + s_k · h_k · 576) · 2`.

Cards of one model differ, so each time is also given as a share of the ceilings that were measured in its own run: the nearest of those that are known, under the power limit for `sustained` if such a one is. `ours / peer` is the quotient of the two shares where both runs know a ceiling of the same kind for memory and for multiplies; the peers' multiplies are a large cuBLAS GEMM, ours `wgmma` back to back. A target in microseconds is one on the peer's card. The best peer of a row is the one nearest to the ceilings of its run; where a row is held against another kernel of ours with as many tokens, in the same run, that stands in its place, as `ours:` and its configuration.

`sdec_…` are sparse decode, over an FP8 cache of 656 bytes a token or `_bf16`, `spre_…` sparse prefill: `FLOP = tokens · h_q · topk · 2 (d_qk + 512)`; bytes are queries, outputs, and cached tokens as often as they are listed, but no oftener than there are cached ones.
";

/// The whole page.
pub fn write(runs: &[Results]) -> String {
    let mut page = INTRODUCTION.to_owned();
    for results in runs {
        page += &run(results);
    }
    page + &peers()
}

fn run(results: &Results) -> String {
    let rows = compare(&results.records);
    let mut text = format!("\n## {}\n\n", heading(&results.environment));
    text += &facts(results);
    let _ = write!(text, "\nTargets: {}.\n", Tally::of(&rows));
    for regime in REGIMES.iter().map(|regime| Some(regime.title)).chain([None]) {
        text += &comparisons(regime, &rows);
    }
    text += &plots(results);
    text += "\n### Every configuration\n\n";
    text + &measurements(&results.records)
}

fn heading(environment: &Environment) -> String {
    match &environment.commit {
        Some(commit) => format!("{}, commit `{commit}`", environment.device),
        None => environment.device.clone(),
    }
}

/// What the run was made on.
fn facts(results: &Results) -> String {
    let environment = &results.environment;
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "not recorded".to_owned());
    let clocks = results.range(|record| record.sm_clock_mhz.map(f64::from));
    let power = results.range(|record| record.power_w);
    let between = |range: Option<(f64, f64)>, unit| match range {
        Some((least, most)) if least == most => format!("{least:.0} {unit}"),
        Some((least, most)) => format!("{least:.0} to {most:.0} {unit}"),
        None => "not recorded".to_owned(),
    };
    let command = environment.command.as_ref().map(|command| format!("`{command}`"));
    let empty = environment.empty_us.map(|us| format!("{us:.1} µs"));
    let plan = results.range(|record| record.plan_us);
    let rows = [
        ["card", &environment.device],
        ["driver", &known(&environment.driver)],
        ["CUDA of the driver", &known(&environment.cuda)],
        ["oxmla", &known(&environment.version)],
        ["commit", &known(&environment.commit)],
        ["command", &known(&command)],
        ["clock of the multiprocessors, sustained", &between(clocks, "MHz")],
        ["power, sustained", &between(power, "W")],
        ["ceilings", &ceilings(&environment.ceilings)],
        ["two events with nothing between them", &known(&empty)],
        ["time of the host to plan a step", &between(plan, "µs")],
        ["records", &format!("[{0}](../bench/results/{0})", results.file)],
    ];
    table(&["", ""], rows)
}

fn ceilings(ceilings: &Ceilings) -> String {
    let kinds = [
        (Ceiling::Read, "GB/s"),
        (Ceiling::Copy, "GB/s"),
        (Ceiling::Multiply, "TFLOP/s"),
        (Ceiling::SustainedMultiply, "TFLOP/s"),
    ];
    let cells = kinds.map(|(ceiling, unit)| match ceilings.get(ceiling) {
        Some(rate) => format!("{ceiling} {rate:.0} {unit}"),
        None => format!("{ceiling} not measured"),
    });
    cells.join(", ")
}

/// The rows of a regime, or those of none.
fn comparisons(regime: Option<&str>, rows: &[Comparison]) -> String {
    let rows: Vec<_> = rows.iter().filter(|row| row.regime == regime).collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!("\n### {}\n\n", regime.unwrap_or("no target"));
    text += &table(&TITLES, rows.iter().map(|row| row.cells()));
    if rows.iter().any(|row| row.ratio.is_some_and(|ratio| !ratio.normalised)) {
        let _ = write!(text, "\n{NOT_NORMALISED}.\n");
    }
    text
}

fn plots(results: &Results) -> String {
    let mut text = "\n### Plots\n".to_owned();
    let curves = latency::charts(results).map(|(name, chart)| (name, chart.title));
    for (name, title) in [("roofline", "Roofline".to_owned())].into_iter().chain(curves) {
        let _ = write!(text, "\n![{title}]({PLOTS}/{})\n", results.plot(name));
    }
    text
}

/// All times of all configurations, with the state of the card.
fn measurements(records: &[Record]) -> String {
    let mut titles = vec!["configuration".to_owned()];
    for method in [Method::Kernel, Method::Call, Method::Sustained] {
        titles.extend([format!("{method} µs"), "TFLOP/s".to_owned(), "GB/s".to_owned()]);
    }
    titles.extend(["MHz", "W", "host µs", "allocations"].map(str::to_owned));
    table(&titles, records.iter().map(measurement))
}

fn measurement(record: &Record) -> Vec<String> {
    let cell = |value: Option<f64>, precision: usize| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.precision$}"))
    };
    let mut cells = vec![record.name.clone()];
    for method in [Method::Kernel, Method::Call, Method::Sustained] {
        let us = record.us(method);
        cells.push(cell(us, 1));
        cells.push(cell(us.map(|us| record.work.tflops(us)), 0));
        cells.push(cell(us.map(|us| record.work.gbps(us)), 0));
    }
    cells.push(cell(record.sm_clock_mhz.map(f64::from), 0));
    cells.push(cell(record.power_w, 0));
    cells.push(cell(record.host_us, 2));
    cells.push(cell(record.host_allocations.map(|count| count as f64), 0));
    cells
}

/// The runs that the peers' rows are from.
fn peers() -> String {
    let mut text = "\n## The peers' runs\n\nTheir rows, with clocks and power where recorded, are in [bench/peers](../bench/peers).\n\n".to_owned();
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "not recorded".to_owned());
    let rows = PeerRun::all().iter().map(|run| {
        let versions = run.versions.iter().map(|(peer, version)| format!("{peer} {version}"));
        [
            run.run.clone(),
            format!("{}, driver {}, CUDA {}", run.device, known(&run.driver), known(&run.cuda)),
            versions.collect::<Vec<_>>().join(", "),
            ceilings(&run.ceilings()),
            run.ceilings_from.clone(),
            run.source.clone(),
        ]
    });
    text += &table(&["run", "card", "libraries", "ceilings", "taken from", "source"], rows);
    text += "\nDividing 128 requests among the multiprocessors comes before their calls, and is in none of their times:\n\n";
    let schedules = PeerRun::all().iter().flat_map(|run| {
        run.schedule.iter().map(|schedule| {
            [
                format!("{} ({})", schedule.peer, run.run),
                schedule.on.to_string(),
                format!("{}", schedule.us),
            ]
        })
    });
    text += &table(&["library", "by", "µs"], schedules);
    text + "\noxmla starts nothing for it: every CTA works out its part inside the kernel, and so inside every time above.\n"
}
