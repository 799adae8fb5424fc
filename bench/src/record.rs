//! What `oxmla bench --json` writes, read back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{Ceilings, Method, Work};

/// One configuration that was measured. Times are in microseconds; what was not measured is `None`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Record {
    /// The configuration in a word, such as `b128_sq2_h128_sk4096_var_causal`.
    pub name: String,
    /// FLOP and bytes of one call.
    #[serde(flatten)]
    pub work: Work,
    /// [`Method::Kernel`], the median.
    pub kernel_us: Option<f64>,
    /// [`Method::Call`], the median.
    pub ev_us: Option<f64>,
    /// [`Method::Sustained`], the mean.
    pub sustained_us: Option<f64>,
    /// [`Method::Host`], the median.
    pub host_us: Option<f64>,
    /// Heap allocations of one call.
    pub host_allocations: Option<u64>,
    /// Time of the host to plan a step.
    pub plan_us: Option<f64>,
    /// Clock of the multiprocessors during the sustained replays, in MHz.
    pub sm_clock_mhz: Option<u32>,
    /// Power of the board during the sustained replays, in watts.
    pub power_w: Option<f64>,
    /// What it was measured on.
    #[serde(flatten)]
    pub environment: Environment,
}

/// Machine, program and ceilings of a run.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Environment {
    /// Name of the card.
    pub device: String,
    /// Version of its driver.
    pub driver: Option<String>,
    /// CUDA version that the driver supports.
    pub cuda: Option<String>,
    /// Version of oxmla.
    pub version: Option<String>,
    /// Commit that it was built from.
    pub commit: Option<String>,
    /// Command that took the times.
    pub command: Option<String>,
    /// Microseconds between two events with nothing between them: part of every time between events.
    pub empty_us: Option<f64>,
    /// What the card could do in the same run.
    #[serde(flatten)]
    pub ceilings: Ceilings,
}

/// Why a file of records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be opened or read.
    #[error("reading {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line is not a record.
    #[error("line {line} of {} is not a record of `oxmla bench`", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Record {
    /// All records of a file, one JSON object a line.
    pub fn read_all(path: &Path) -> Result<Vec<Self>, ReadError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ReadError::File { path: path.to_owned(), source })?;
        let parse = |(index, line)| {
            serde_json::from_str(line).map_err(|source| ReadError::Line {
                path: path.to_owned(),
                line: index + 1,
                source,
            })
        };
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(parse).collect()
    }

    /// The time that a method gave.
    pub fn us(&self, method: Method) -> Option<f64> {
        match method {
            Method::Kernel => self.kernel_us,
            Method::Call => self.ev_us,
            Method::Sustained => self.sustained_us,
            Method::Host => self.host_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn older_records_have_fewer_members() {
        let line = r#"{"name":"b1_sq1_h16_sk64","flop":2.0,"bytes":3.0,"ev_us":4.5,"device":"H100",
            "driver":null,"copy_gbps":3000.5,"dist":"fixed"}"#;
        let record: Record = serde_json::from_str(line).unwrap();
        assert_eq!(record.us(Method::Call), Some(4.5));
        assert_eq!(record.us(Method::Kernel), None);
        assert_eq!(record.work, Work { flop: 2.0, bytes: 3.0 });
        assert_eq!(record.environment.ceilings.copy_gbps, Some(3000.5));
    }

    #[test]
    fn a_bad_line_is_named() {
        let path = std::env::temp_dir().join(format!("oxmla-bad-{}.jsonl", std::process::id()));
        fs::write(&path, "\n{\"name\": 3}\n").unwrap();
        let error = Record::read_all(&path).unwrap_err();
        fs::remove_file(&path).unwrap();
        assert!(matches!(error, ReadError::Line { line: 2, .. }), "{error}");
        assert!(error.source().is_some());
        assert!(matches!(Record::read_all(&path), Err(ReadError::File { .. })));
    }
}
