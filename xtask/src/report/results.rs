//! One run of the suite.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use oxmla_bench::{Environment, Record};

/// The records of one file. All are of one run, so that one set of ceilings is theirs.
pub struct Results {
    /// Name of the file.
    pub file: String,
    /// The same without its extension: the plots are called after it.
    pub stem: String,
    /// What the run was made on.
    pub environment: Environment,
    /// What was measured, each configuration once.
    pub records: Vec<Record>,
}

impl Results {
    /// Reads a file of records.
    pub fn read(path: &Path) -> Result<Self> {
        let records = Record::read_all(path)?;
        Self::of(path, records).with_context(|| path.display().to_string())
    }

    fn of(path: &Path, records: Vec<Record>) -> Result<Self> {
        let name = |part: Option<&std::ffi::OsStr>| {
            part.map(|part| part.to_string_lossy().into_owned()).context("no name of a file")
        };
        let environment = records.first().context("no records")?.environment.clone();
        let mut names = BTreeSet::new();
        for record in &records {
            if record.environment != environment {
                bail!("{} is of another run than {}", record.name, records[0].name);
            }
            ensure!(names.insert(&record.name), "{} was measured twice", record.name);
        }
        Ok(Self {
            file: name(path.file_name())?,
            stem: name(path.file_stem())?,
            environment,
            records,
        })
    }

    /// Name of the file of a plot.
    pub fn plot(&self, name: &str) -> String {
        format!("{}-{name}.svg", self.stem)
    }

    /// Least and largest value of what the records know.
    pub fn range(&self, value: impl Fn(&Record) -> Option<f64>) -> Option<(f64, f64)> {
        let values = || self.records.iter().filter_map(&value);
        Some((values().reduce(f64::min)?, values().reduce(f64::max)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Result<Results> {
        let records = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        Results::of(Path::new("results/dense-x.jsonl"), records)
    }

    const A: &str =
        r#"{"name":"a","flop":1.0,"bytes":1.0,"device":"H100","commit":"1","power_w":2.0}"#;
    const B: &str =
        r#"{"name":"b","flop":1.0,"bytes":1.0,"device":"H100","commit":"1","power_w":3.0}"#;
    const OTHER: &str = r#"{"name":"c","flop":1.0,"bytes":1.0,"device":"H100","commit":"2"}"#;

    #[test]
    fn a_file_is_one_run() {
        let results = of(&[B, A]).unwrap();
        assert_eq!(results.plot("roofline"), "dense-x-roofline.svg");
        assert_eq!(results.range(|record| record.power_w), Some((2.0, 3.0)));
        assert_eq!(results.range(|record| record.kernel_us), None);
        let error = |lines: &[&str]| of(lines).err().unwrap().to_string();
        assert_eq!(error(&[A, OTHER]), "c is of another run than a");
        assert_eq!(error(&[A, A]), "a was measured twice");
        assert_eq!(error(&[]), "no records");
    }
}
