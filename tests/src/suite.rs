//! Groups of cases and single checks, run one after the other, and what came of them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use serde::Serialize;

use crate::checks::Check;
use crate::grid::Group;
use crate::session::Session;
use crate::verify::Errors;
use crate::watchdog::Watchdog;

/// Failures of a group that are printed: a kernel that is wrong throughout fails thousands of cases.
const SHOWN: usize = 3;

/// What came of a group, or of a check.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// Cases run; a check is one.
    pub cases: usize,
    /// Cases that failed.
    pub failed: usize,
    /// Largest error of an output element, as a share of what is allowed.
    pub worst_out: f64,
    /// Largest cosine distance.
    pub worst_cosine: f64,
    /// Largest cosine distance of one row.
    pub worst_row_cosine: f64,
    /// Largest error of an LSE, as a share of what is allowed.
    pub worst_lse: f64,
    /// Time taken.
    pub seconds: f64,
    /// What a check has measured, by name and unit.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<&'static str, f64>,
}

/// A case that failed, or a check.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// Its group, or the check.
    pub group: String,
    /// The case, as it can be given to the suite to run it alone; empty for a check.
    pub case: String,
    /// What was wrong.
    pub reason: String,
}

/// What came of everything.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Groups and checks, as they ran.
    pub outcomes: Vec<Outcome>,
    /// Everything that failed.
    pub failures: Vec<Failure>,
    /// Why the rest was not run: a device that has failed once answers nothing any more.
    pub stopped: Option<String>,
}

/// A run of the suite, as it goes on.
#[derive(Debug)]
pub struct Suite<'a> {
    session: &'a mut Session,
    watchdog: &'a Watchdog,
    summary: Summary,
}

impl<'a> Suite<'a> {
    /// Nothing run yet.
    #[must_use]
    pub fn new(session: &'a mut Session, watchdog: &'a Watchdog) -> Self {
        Self { session, watchdog, summary: Summary::default() }
    }

    /// Runs the cases of a group.
    pub fn group(&mut self, group: &Group) {
        let mut outcome = Outcome::new(&group.name, group.cases.len());
        let start = Instant::now();
        for case in &group.cases {
            let text = case.to_string();
            self.one(&mut outcome, text, |session| session.run(case));
        }
        self.finish(outcome, start.elapsed());
    }

    /// Runs a check.
    pub fn check(&mut self, check: &Check) {
        let mut outcome = Outcome::new(check.name, 1);
        let start = Instant::now();
        self.one(&mut outcome, String::new(), |session| {
            (check.run)(session)?;
            Ok(Errors::default())
        });
        outcome.figures = self.session.take_figures();
        self.finish(outcome, start.elapsed());
    }

    /// What came of it.
    #[must_use]
    pub fn summary(self) -> Summary {
        self.summary
    }

    fn one(
        &mut self,
        outcome: &mut Outcome,
        case: String,
        run: impl FnOnce(&mut Session) -> Result<Errors>,
    ) {
        if self.summary.stopped.is_some() {
            return;
        }
        self.watchdog.begin(&format!("{} {case}", outcome.name));
        let result = run(self.session);
        self.watchdog.end();
        match result {
            Ok(errors) => outcome.add(&errors),
            Err(error) => {
                outcome.failed += 1;
                if is_fatal(&error) {
                    self.summary.stopped =
                        Some(format!("the device failed in {} {case}", outcome.name));
                }
                let failure =
                    Failure { group: outcome.name.clone(), case, reason: format!("{error:#}") };
                if outcome.failed <= SHOWN {
                    eprintln!("{failure}");
                }
                self.summary.failures.push(failure);
            }
        }
    }

    fn finish(&mut self, mut outcome: Outcome, time: Duration) {
        outcome.seconds = time.as_secs_f64();
        if self.summary.stopped.is_none() || outcome.failed > 0 {
            println!("{outcome}");
            self.summary.outcomes.push(outcome);
        }
    }
}

/// Whether the device will answer nothing any more.
fn is_fatal(error: &Error) -> bool {
    use oxmla::Error::{DeviceLost, Driver};
    matches!(error.downcast_ref(), Some(Driver { .. } | DeviceLost { .. }))
}

impl Outcome {
    fn new(name: &str, cases: usize) -> Self {
        Self { name: name.into(), cases, ..Self::default() }
    }

    fn add(&mut self, errors: &Errors) {
        self.worst_out = self.worst_out.max(errors.out);
        self.worst_cosine = self.worst_cosine.max(errors.cosine);
        self.worst_row_cosine = self.worst_row_cosine.max(errors.row_cosine);
        self.worst_lse = self.worst_lse.max(errors.lse);
    }
}

impl Summary {
    /// Cases and checks that ran.
    #[must_use]
    pub fn cases(&self) -> usize {
        self.outcomes.iter().map(|outcome| outcome.cases).sum()
    }

    /// Whether something ran and everything was right.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.cases() > 0 && self.failures.is_empty()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, cases, failed, seconds, .. } = self;
        let verdict = if *failed == 0 { "ok" } else { "FAILED" };
        write!(f, "{verdict:<7}{name:<23}{cases:>5} cases {failed:>4} failed {seconds:>6.1} s")?;
        if self.worst_out > 0.0 {
            let (out, lse) = (100.0 * self.worst_out, 100.0 * self.worst_lse);
            let (cosine, row) = (self.worst_cosine, self.worst_row_cosine);
            write!(f, "   of tolerance: out {out:.0} %, lse {lse:.0} %")?;
            write!(f, "; cosine {cosine:.1e}, row {row:.1e}")?;
        }
        self.figures.iter().try_for_each(|(name, value)| write!(f, "   {name} {value:.2}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FAILED {}: {}", self.group, self.reason)?;
        if !self.case.is_empty() {
            write!(f, "\n    --case \"{}\"", self.case)?;
        }
        Ok(())
    }
}
