//! A result: for people a row of a table, for programs an object.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::super::environment::Environment;
use super::super::timing::{Load, Timing};
use crate::table;

/// One measurement.
pub struct Row {
    /// Name of the benchmark.
    benchmark: &'static str,
    /// What distinguishes it from the other rows.
    case: String,
    /// Time of a launch, or of what the benchmark calls one.
    time: Timing,
    /// What follows from the time, or was measured beside it. The same in all rows of a benchmark.
    figures: Vec<Figure>,
    /// State of the GPU meanwhile, if it took long enough to look.
    load: Load,
}

/// A number with its names.
pub struct Figure {
    /// In records.
    pub key: &'static str,
    /// In tables.
    pub title: &'static str,
    /// The number.
    pub value: f64,
}

impl Row {
    /// A row from the times of several launches, of which there is at least one.
    pub fn new(
        benchmark: &'static str,
        case: impl Into<String>,
        times_us: &[f64],
    ) -> anyhow::Result<Self> {
        let time = Timing::of("launch", times_us)?;
        let (case, load) = (case.into(), Load::default());
        Ok(Self { benchmark, case, time, figures: Vec::new(), load })
    }

    /// Microseconds: the median.
    pub fn us(&self) -> f64 {
        self.time.us
    }

    /// Adds a figure.
    pub fn with(mut self, key: &'static str, title: &'static str, value: f64) -> Self {
        self.figures.push(Figure { key, title, value });
        self
    }

    /// Adds 10⁹ bytes per second.
    pub fn with_rate(self, key: &'static str, title: &'static str, bytes: f64) -> Self {
        let gbps = bytes / self.time.us * 1e-3;
        self.with(key, title, gbps)
    }

    /// Adds the state of the GPU.
    pub fn under(self, load: Load) -> Self {
        Self { load, ..self }
    }

    /// The object.
    pub fn record(&self, environment: &Environment) -> anyhow::Result<Value> {
        let mut record = Map::new();
        record.insert("benchmark".into(), self.benchmark.into());
        record.insert("case".into(), self.case.as_str().into());
        record.insert("us".into(), self.time.us.into());
        if let Some((p10, p90)) = self.time.spread {
            record.insert("p10_us".into(), p10.into());
            record.insert("p90_us".into(), p90.into());
        }
        for figure in &self.figures {
            record.insert(figure.key.into(), figure.value.into());
        }
        for object in [serde_json::to_value(self.load)?, serde_json::to_value(environment)?] {
            if let Value::Object(members) = object {
                record.extend(members);
            }
        }
        Ok(Value::Object(record))
    }

    fn titles(&self) -> Vec<&'static str> {
        let figures = self.figures.iter().map(|figure| figure.title);
        [self.benchmark, "µs", "p10–p90"]
            .into_iter()
            .chain(figures)
            .chain(["SM MHz", "W"])
            .collect()
    }

    fn cells(&self) -> Vec<String> {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        let spread = self.time.spread.map(|(p10, p90)| format!("{p10:.1}–{p90:.1}"));
        let mut cells = vec![self.case.clone(), format!("{:.2}", self.time.us), or_dash(spread)];
        cells.extend(self.figures.iter().map(|figure| table::figures(figure.value)));
        cells.push(or_dash(self.load.sm_clock_mhz.map(|clock| clock.to_string())));
        cells.push(or_dash(self.load.power_w.map(|power| format!("{power:.0}"))));
        cells
    }
}

/// Prints the rows of one benchmark as a table.
pub fn print(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    let Some(first) = rows.first() else { return Ok(()) };
    let mut table = table::of_numbers(&first.titles());
    for row in rows {
        table.add_row(row.cells());
    }
    writeln!(out, "{}", table.trim_fmt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_becomes_cells_under_its_titles() {
        let row = Row::new("read", "vector loads", &[10.0, 30.0, 20.0]).unwrap();
        let row = row.with_rate("read_gbps", "GB/s", 60_000_000.0);
        assert_eq!(row.titles(), ["read", "µs", "p10–p90", "GB/s", "SM MHz", "W"]);
        assert_eq!(row.cells(), ["vector loads", "20.00", "12.0–28.0", "3000", "–", "–"]);
    }

    #[test]
    fn nothing_measured_is_an_error() {
        assert!(Row::new("read", "vector loads", &[]).is_err());
    }
}
