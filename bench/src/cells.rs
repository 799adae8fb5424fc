//! Comparisons as rows of a table, on the terminal and on the page alike.

use std::fmt::{self, Display};

use crate::{Comparison, Method, Target, Verdict};

/// Titles over [`Comparison::cells`].
pub const TITLES: [&str; 10] = [
    "configuration",
    "time",
    "ours, µs",
    "of its ceilings",
    "best peer",
    "its µs",
    "of its ceilings",
    "ours / peer",
    "target",
    "outcome",
];

/// What the dagger behind a ratio means.
pub const NOT_NORMALISED: &str = "† as measured, not divided by the ceilings of each run: the runs have none of one kind for both memory and multiplies";

/// How many targets came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    met: usize,
    missed: usize,
    unknown: usize,
}

impl Tally {
    /// Counts.
    pub fn of(comparisons: &[Comparison]) -> Self {
        let count = |verdict| {
            comparisons.iter().filter(|comparison| comparison.verdict == Some(verdict)).count()
        };
        Self {
            met: count(Verdict::Met),
            missed: count(Verdict::Missed),
            unknown: count(Verdict::Unknown),
        }
    }
}

impl Comparison {
    /// What the columns of [`TITLES`] say about it.
    pub fn cells(&self) -> [String; 10] {
        let (theirs_us, theirs_share) = match (self.target, self.theirs) {
            (Some(Target::Beside(..)), _) => {
                (self.other.map(|other| other.us), self.other.and_then(|other| other.share))
            }
            (_, theirs) => (theirs.map(|row| row.us), theirs.and_then(|row| row.share)),
        };
        [
            self.name.clone(),
            self.method.to_string(),
            or_dash(self.us.map(|us| self.time(us))),
            or_dash(self.share),
            self.beside(),
            or_dash(theirs_us.map(|us| self.time(us))),
            or_dash(theirs_share),
            self.ratio_cell(),
            or_dash(self.target),
            self.verdict.map_or_else(String::new, |verdict| verdict.to_string()),
        ]
    }

    /// What it is held against.
    fn beside(&self) -> String {
        if let Some(Target::Beside(_, name)) = self.target {
            return format!("ours: {name}");
        }
        or_dash(self.theirs.map(|theirs| format!("{} ({})", theirs.row.peer, theirs.run.run)))
    }

    fn time(&self, us: f64) -> String {
        let precision = if self.method == Method::Host { 2 } else { 1 };
        format!("{us:.precision$}")
    }

    /// In the terms of the target.
    fn ratio_cell(&self) -> String {
        let Some(ratio) = self.ratio else { return or_dash::<f64>(None) };
        let mut cell = match self.target.is_some_and(|target| target.is_time()) {
            true => format!("{:.2}× time", ratio.time()),
            false => format!("{:.2}× rate", ratio.rate),
        };
        if !ratio.normalised {
            cell += " †";
        }
        cell
    }
}

fn or_dash<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} met, {} missed, {} not measured", self.met, self.missed, self.unknown)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Record, compare};

    use super::*;

    fn rows(line: &str) -> Vec<Comparison> {
        compare(&[serde_json::from_str::<Record>(line).unwrap()])
    }

    fn cells(rows: &[Comparison], name: &str) -> [String; 10] {
        rows.iter().find(|row| row.name == name).unwrap().cells()
    }

    #[test]
    fn a_row_says_where_everything_is_from() {
        let line = r#"{"name":"b1_sq1_h128_sk1024","flop":285212672,"bytes":1458176,"ev_us":8.0,
            "device":"H100","read_gbps":3041.0,"mma_tflops":787.0}"#;
        let rows = rows(line);
        let expected = [
            "b1_sq1_h128_sk1024",
            "call",
            "8.0",
            "6.0 % of reads",
            "FlashInfer (three-peers-h100)",
            "17.6",
            "2.7 % of reads",
            "0.45× time",
            "≤ 0.50× time",
            "met",
        ];
        assert_eq!(cells(&rows, "b1_sq1_h128_sk1024"), expected);
        let Tally { met, missed, unknown } = Tally::of(&rows);
        assert_eq!((met, missed, met + missed + unknown), (1, 0, rows.len()));
    }

    #[test]
    fn what_is_missing_is_a_dash_and_what_does_not_compare_has_a_dagger() {
        let line = r#"{"name":"b128_sq2_h128_sk8192_var","flop":587128668160,"bytes":1285493888,
            "kernel_us":900.0,"device":"H100","copy_gbps":3000.0}"#;
        let rows = rows(line);
        let kernel = cells(&rows, "b128_sq2_h128_sk8192_var");
        assert_eq!(
            kernel[3..],
            [
                "48 % of copies",
                "FlashMLA (flashmla-h100)",
                "829.4",
                "90 % of multiplies",
                "0.92× rate †",
                "≥ 1.08× rate",
                "missed",
            ]
        );
        let other = cells(&rows, "b128_sq1_h64_sk8192");
        assert_eq!(other[2..], ["–", "–", "–", "–", "–", "–", "≥ 97 % of reads", "not measured"]);
    }
}
