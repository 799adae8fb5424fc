//! Our rows beside the best row of the peers.

use crate::{Ceilings, Method, PeerRow, PeerRun, REGIMES, Record, Share, Target, Verdict};

/// One time of one configuration, beside the best recorded time of the same method.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The regime that the configuration is of, if any.
    pub regime: Option<&'static str>,
    /// The configuration in a word.
    pub name: String,
    /// How the times were taken.
    pub method: Method,
    /// Our time in microseconds, if it was measured.
    pub us: Option<f64>,
    /// How near it comes to the ceilings of our run.
    pub share: Option<Share>,
    /// The best row of the peers, if one is recorded.
    pub theirs: Option<Theirs>,
    /// Our other configuration, if the target is about one and it was measured.
    pub other: Option<Other>,
    /// Our time beside theirs, or beside that of the other configuration.
    pub ratio: Option<Ratio>,
    /// What is asked for, if anything is.
    pub target: Option<Target>,
    /// Whether that is reached.
    pub verdict: Option<Verdict>,
}

/// A row of a peer.
#[derive(Clone, Copy, Debug)]
pub struct Theirs {
    /// The run that it is from.
    pub run: &'static PeerRun,
    /// The row.
    pub row: &'static PeerRow,
    /// Its time in microseconds.
    pub us: f64,
    /// How near it comes to the ceilings of its run.
    pub share: Option<Share>,
}

/// Another configuration of ours, in the same run.
#[derive(Clone, Copy, Debug)]
pub struct Other {
    /// Its time in microseconds.
    pub us: f64,
    /// How near that comes to the ceilings.
    pub share: Option<Share>,
}

/// Our rate over theirs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Above 1 when ours is faster.
    pub rate: f64,
    /// Whether each is divided by the ceilings of its own run. It is when both runs have a ceiling of the memory
    /// and one of multiplies that are of one kind.
    pub normalised: bool,
}

/// Compares what was measured with the peers: every goal of every regime, whether it was measured or not, then
/// the configurations that no goal is about.
pub fn compare(records: &[Record]) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    for regime in REGIMES {
        for goal in regime.goals {
            comparisons.extend(goal.names.iter().map(|name| {
                let target = Some(goal.target);
                Comparison::new(Some(regime.title), name, goal.method, records, target)
            }));
        }
    }
    let has_goal = |record: &&Record| comparisons.iter().any(|row| row.name == record.name);
    let others: Vec<_> = records.iter().filter(|record| !has_goal(record)).collect();
    for record in others {
        for method in [Method::Call, Method::Sustained] {
            let row = Comparison::new(None, &record.name, method, records, None);
            comparisons.extend(Some(row).filter(|row| row.ratio.is_some()));
        }
    }
    comparisons
}

impl Comparison {
    fn new(
        regime: Option<&'static str>,
        name: &str,
        method: Method,
        records: &[Record],
        target: Option<Target>,
    ) -> Self {
        let named = |name: &str| records.iter().find(|record| record.name == name);
        let record = named(name);
        let us = record.and_then(|record| record.us(method));
        let theirs = Theirs::best(name, method);
        let mut comparison = Self {
            regime,
            name: name.to_owned(),
            method,
            us,
            share: None,
            theirs,
            other: None,
            ratio: None,
            target,
            verdict: target.map(|_| Verdict::Unknown),
        };
        if let Some(Target::Beside(_, name)) = target {
            comparison.other = named(name).and_then(|record| Other::of(record, method));
        }
        let Some((record, us)) = record.zip(us) else { return comparison };
        if method != Method::Host {
            comparison.share = record.environment.ceilings.share(method, &record.work, us);
        }
        comparison.ratio = match target {
            Some(Target::Beside(..)) => comparison.other.map(|other| other.ratio(us)),
            _ => theirs.map(|theirs| Ratio::of(record, us, &theirs, method)),
        };
        comparison.verdict = target.map(|target| target.verdict(record, &comparison));
        comparison
    }

    /// What our time would be on the card of the best peer, in microseconds; without a peer, our time.
    pub fn us_on_their_card(&self) -> Option<f64> {
        match self.theirs.zip(self.ratio) {
            Some((theirs, ratio)) => Some(theirs.us / ratio.rate),
            None => self.us,
        }
    }
}

impl Theirs {
    fn best(name: &str, method: Method) -> Option<Self> {
        let (run, row, us) = PeerRun::best(name, method)?;
        Some(Self { run, row, us, share: run.ceilings().share(method, &row.work, us) })
    }
}

impl Other {
    fn of(record: &Record, method: Method) -> Option<Self> {
        let us = record.us(method)?;
        Some(Self { us, share: record.environment.ceilings.share(method, &record.work, us) })
    }

    /// Beside a time of the same run.
    fn ratio(&self, us: f64) -> Ratio {
        Ratio { rate: self.us / us, normalised: true }
    }
}

impl Ratio {
    fn of(record: &Record, us: f64, theirs: &Theirs, method: Method) -> Self {
        let share = |ceilings: Ceilings, work, us| Some(ceilings.share(method, work, us)?.value);
        let shares =
            record.environment.ceilings.in_common(&theirs.run.ceilings(), method).and_then(
                |(our_ceilings, their_ceilings)| {
                    let ours = share(our_ceilings, &record.work, us)?;
                    Some(ours / share(their_ceilings, &theirs.row.work, theirs.us)?)
                },
            );
        let as_measured = record.work.tflops(us) / theirs.row.work.tflops(theirs.us);
        Self { rate: shares.unwrap_or(as_measured), normalised: shares.is_some() }
    }

    /// Our time over theirs, for the same work.
    pub fn time(&self) -> f64 {
        self.rate.recip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environment, Work};

    /// One query token of 128 heads over 128 requests of 4,096 tokens. FlashMLA is the best peer: 258 µs between
    /// events, floor 210.3 µs by reads of 3,041 GB/s.
    const NAME: &str = "b128_sq1_h128_sk4096";

    fn record(name: &str, ev_us: f64, read_gbps: Option<f64>) -> Record {
        let heads = if name.contains("_h16_") { 16 } else { 128 };
        let ceilings = Ceilings { read_gbps, mma_tflops: Some(787.0), ..Ceilings::default() };
        Record {
            name: name.to_owned(),
            work: Work::of_decode(128, 1, heads, 1, 128 * 4096),
            kernel_us: None,
            ev_us: Some(ev_us),
            sustained_us: None,
            host_us: None,
            host_allocations: None,
            plan_us: None,
            sm_clock_mhz: None,
            power_w: None,
            environment: Environment { ceilings, ..Environment::default() },
        }
    }

    fn row(record: Record, method: Method) -> Comparison {
        let name = record.name.clone();
        let rows = compare(&[record]);
        rows.into_iter().find(|row| row.name == name && row.method == method).unwrap()
    }

    #[test]
    fn a_slower_card_is_allowed_more_time() {
        let same = row(record(NAME, 224.0, Some(3041.0)), Method::Call);
        assert_eq!((same.theirs.unwrap().us, same.verdict), (258.0, Some(Verdict::Met)));
        let ratio = same.ratio.unwrap();
        assert!(ratio.normalised && (ratio.rate - 258.0 / 224.0).abs() < 1e-3, "{ratio:?}");
        let late = row(record(NAME, 226.0, Some(3041.0)), Method::Call);
        assert_eq!(late.verdict, Some(Verdict::Missed));
        let slower = row(record(NAME, 226.0, Some(3000.0)), Method::Call);
        assert_eq!(slower.verdict, Some(Verdict::Met));
        assert!((slower.us_on_their_card().unwrap() - 226.0 * 3000.0 / 3041.0).abs() < 0.1);
    }

    #[test]
    fn without_ceilings_in_common_times_are_as_measured() {
        let ratio = row(record(NAME, 226.0, None), Method::Call).ratio.unwrap();
        assert!(!ratio.normalised);
        assert!((ratio.rate - 258.0 / 226.0).abs() < 1e-9);
    }

    #[test]
    fn reads_are_of_our_own_card() {
        // 608.4 MB in 206 µs are 2,954 GB/s.
        let name = "b128_sq1_h16_sk4096";
        let verdict = |read| row(record(name, 206.0, read), Method::Call).verdict.unwrap();
        assert_eq!(verdict(Some(3040.0)), Verdict::Met);
        assert_eq!(verdict(Some(3050.0)), Verdict::Missed);
        assert_eq!(verdict(None), Verdict::Unknown);
    }

    #[test]
    fn what_was_not_measured_is_unknown() {
        let rows = compare(&[]);
        assert!(rows.len() > 40 && rows.iter().all(|row| row.verdict == Some(Verdict::Unknown)));
        let sustained = row(record("b128_sq1_h16_sk4096", 206.0, None), Method::Sustained);
        assert_eq!((sustained.us, sustained.verdict), (None, Some(Verdict::Unknown)));
    }

    /// FP8 beside 16 bits: 1.55 times the rate is what is asked for.
    #[test]
    fn our_own_rows_are_of_the_same_run() {
        let sixteen = record("b128_sq1_h16_sk4096", 310.0, None);
        let fp8 = |us| record("b128_sq1_h16_sk4096_fp8", us, None);
        let row = |records: &[Record]| {
            let mut rows = compare(records).into_iter();
            rows.find(|row| row.name == "b128_sq1_h16_sk4096_fp8").unwrap()
        };
        let met = row(&[fp8(200.0), sixteen.clone()]);
        assert_eq!((met.verdict, met.other.unwrap().us), (Some(Verdict::Met), 310.0));
        assert_eq!(met.ratio, Some(Ratio { rate: 1.55, normalised: true }));
        assert_eq!(row(&[fp8(201.0), sixteen]).verdict, Some(Verdict::Missed));
        assert_eq!(row(&[fp8(200.0)]).verdict, Some(Verdict::Unknown));
    }

    #[test]
    fn the_host_may_not_allocate() {
        let verdict = |host_us, host_allocations| {
            let record = Record { host_us, host_allocations, ..record(NAME, 300.0, None) };
            row(record, Method::Host).verdict.unwrap()
        };
        assert_eq!(verdict(Some(2.5), Some(0)), Verdict::Met);
        assert_eq!(verdict(Some(2.5), Some(1)), Verdict::Missed);
        assert_eq!(verdict(Some(3.5), Some(0)), Verdict::Missed);
        assert_eq!(verdict(Some(2.5), None), Verdict::Unknown);
    }

    #[test]
    fn rows_without_a_goal_come_last() {
        let rows = compare(&[record("b256_sq1_h128_sk4096", 500.0, None)]);
        let last = rows.last().unwrap();
        assert_eq!((last.regime, last.target, last.verdict), (None, None, None));
        assert_eq!((last.name.as_str(), last.method), ("b256_sq1_h128_sk4096", Method::Call));
    }
}
