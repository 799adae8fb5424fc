//! Results for people.

use std::io::{self, Write};

use comfy_table::Table;
use oxmla_bench::{Ceiling, Work};

use super::environment::Environment;
use super::timing::{HostTime, Load, Timings};
use crate::table;

/// A table that grows by a row for each configuration.
#[derive(Default)]
pub struct Report {
    table: Option<Table>,
}

impl Report {
    /// Adds a configuration.
    pub fn add(&mut self, name: String, work: &Work, timings: &Timings) {
        let table = self.table.get_or_insert_with(|| table::of_numbers(&titles(timings)));
        let mut cells = vec![name];
        for timing in &timings.times {
            cells.push(format!("{:.1}", timing.us));
            if let Some((p10, p90)) = timing.spread {
                cells.push(format!("{p10:.1}–{p90:.1}"));
            }
            cells.push(table::figures(work.tflops(timing.us)));
            cells.push(table::figures(work.gbps(timing.us)));
        }
        let Load { sm_clock_mhz, power_w } = timings.load;
        cells.extend(sm_clock_mhz.map(|clock| clock.to_string()));
        cells.extend(power_w.map(|power| format!("{power:.0}")));
        let HostTime { host_us, plan_us, .. } = timings.host;
        cells.extend(host_us.map(|us| format!("{us:.2}")));
        cells.extend(plan_us.map(|us| format!("{us:.1}")));
        table.add_row(cells);
    }

    /// Prints what has been added so far, and what it was measured on.
    pub fn print(&self, environment: &Environment, out: &mut dyn Write) -> io::Result<()> {
        let Some(table) = &self.table else { return Ok(()) };
        writeln!(out, "{}", table.trim_fmt())?;
        print_environment(environment, out)
    }
}

/// Prints what results were measured on.
pub fn print_environment(environment: &Environment, out: &mut dyn Write) -> io::Result<()> {
    let Environment { device, driver, cuda, version, commit, ceilings, empty_us, .. } = environment;
    write!(out, "{device}")?;
    if let Some(cuda) = cuda {
        let driver = driver.as_deref().unwrap_or("of unknown version");
        write!(out, ", driver {driver} (CUDA {cuda})")?;
    }
    let commit = commit.as_deref().unwrap_or("unknown");
    writeln!(out, "; oxmla {version}, commit {commit}")?;
    let rates = [
        (Ceiling::Read, "GB/s"),
        (Ceiling::Copy, "GB/s (read + written)"),
        (Ceiling::Multiply, "TFLOP/s"),
        (Ceiling::SustainedMultiply, "TFLOP/s"),
    ];
    let known = rates.iter().filter_map(|(ceiling, unit)| {
        Some(format!("{ceiling} {:.0} {unit}", ceilings.get(*ceiling)?))
    });
    let empty =
        empty_us.map(|empty| format!("{empty:.1} µs between two events with nothing between them"));
    let in_the_run: Vec<_> = known.chain(empty).collect();
    if !in_the_run.is_empty() {
        writeln!(out, "in the same run: {}", in_the_run.join(", "))?;
    }
    Ok(())
}

fn titles(timings: &Timings) -> Vec<String> {
    let mut titles = vec!["configuration".to_owned()];
    for timing in &timings.times {
        titles.push(format!("{} µs", timing.method));
        titles.extend(timing.spread.map(|_| "p10–p90".to_owned()));
        titles.extend(["TFLOP/s", "GB/s"].map(str::to_owned));
    }
    titles.extend(timings.load.sm_clock_mhz.map(|_| "SM MHz".to_owned()));
    titles.extend(timings.load.power_w.map(|_| "W".to_owned()));
    titles.extend(timings.host.host_us.map(|_| "host µs".to_owned()));
    titles.extend(timings.host.plan_us.map(|_| "plan µs".to_owned()));
    titles
}
