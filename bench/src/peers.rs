//! Rows of other libraries, as recorded.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::LazyLock;

use serde::Deserialize;

use crate::{Ceilings, Method, Work};

/// One run in which other libraries were measured on one card.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerRun {
    /// Its name.
    pub run: String,
    /// When and how it was measured.
    pub source: String,
    /// Name of the card.
    pub device: String,
    /// Version of its driver, if recorded.
    pub driver: Option<String>,
    /// CUDA version, if recorded.
    pub cuda: Option<String>,
    /// Libraries, each with its version.
    pub versions: BTreeMap<String, String>,
    /// Where the ceilings come from.
    pub ceilings_from: String,
    read_gbps: Option<f64>,
    copy_gbps: Option<f64>,
    gemm_tflops: Option<f64>,
    gemm_sustained_tflops: Option<f64>,
    /// What the libraries take to divide a batch of 128 requests, before the call and outside its times.
    pub schedule: Vec<Schedule>,
    /// What was measured.
    pub rows: Vec<PeerRow>,
}

/// One library on one configuration. Times are in microseconds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PeerRow {
    /// The library.
    pub peer: String,
    /// The configuration in a word, as records of `oxmla bench` have it.
    pub name: String,
    /// FLOP and bytes of one call.
    #[serde(flatten)]
    pub work: Work,
    /// [`Method::Kernel`].
    pub kern_us: Option<f64>,
    /// From the start of the first kernel to the end of the last. Taken with a profiler, and so no method of
    /// ours: a few microseconds less than between events.
    pub e2e_us: Option<f64>,
    /// [`Method::Call`].
    pub ev_us: Option<f64>,
    /// [`Method::Sustained`].
    pub sust_us: Option<f64>,
    /// Clock of the multiprocessors during the sustained replays, in MHz.
    pub sm_clock_mhz: Option<f64>,
    /// Power of the board during the sustained replays, in watts.
    pub power_w: Option<f64>,
}

/// Time that a library takes to divide the work among the multiprocessors.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Schedule {
    /// The library.
    pub peer: String,
    /// Microseconds.
    pub us: f64,
    /// Where it does that.
    pub on: Place,
}

/// Where a schedule is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Place {
    /// By a kernel that runs before the call.
    #[serde(rename = "GPU")]
    Gpu,
    /// By the program.
    #[serde(rename = "host")]
    Host,
}

static RUNS: LazyLock<Vec<PeerRun>> = LazyLock::new(|| {
    [include_str!("../peers/flashmla-h100.json"), include_str!("../peers/three-peers-h100.json")]
        .map(|text| serde_json::from_str(text).expect("a test reads the same files"))
        .to_vec()
});

impl PeerRun {
    /// Every recorded run.
    pub fn all() -> &'static [Self] {
        &RUNS
    }

    /// What the card could do in this run.
    pub fn ceilings(&self) -> Ceilings {
        Ceilings {
            read_gbps: self.read_gbps,
            copy_gbps: self.copy_gbps,
            mma_tflops: self.gemm_tflops,
            mma_sustained_tflops: self.gemm_sustained_tflops,
        }
    }

    /// The row that, of all runs, comes nearest to the ceilings of its own, or else is the fastest.
    pub fn best(name: &str, method: Method) -> Option<(&'static Self, &'static PeerRow, f64)> {
        let rows = Self::all().iter().flat_map(|run| run.rows.iter().map(move |row| (run, row)));
        let timed = rows.filter(|(_, row)| row.name == name);
        let timed = timed.filter_map(|(run, row)| Some((run, row, row.us(method)?)));
        timed.max_by(|a, b| rank(a).partial_cmp(&rank(b)).unwrap_or(std::cmp::Ordering::Equal))
    }
}

/// Cool ceilings for every method, because not every run has those under the power limit.
fn rank(&(run, row, us): &(&PeerRun, &PeerRow, f64)) -> (Option<f64>, f64) {
    let share = run.ceilings().share(Method::Call, &row.work, us);
    (share.map(|share| share.value), row.work.tflops(us))
}

impl PeerRow {
    /// The time that a method gave.
    pub fn us(&self, method: Method) -> Option<f64> {
        match method {
            Method::Kernel => self.kern_us,
            Method::Call => self.ev_us,
            Method::Sustained => self.sust_us,
            Method::Host => None,
        }
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gpu => "kernel",
            Self::Host => "host",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_is_read() {
        let rows: Vec<_> = PeerRun::all().iter().map(|run| run.rows.len()).collect();
        assert_eq!(rows, [45, 39]);
        for run in PeerRun::all() {
            for row in &run.rows {
                assert!(run.versions.contains_key(&row.peer), "{} of {}", row.peer, run.run);
            }
        }
    }

    /// Rates that the baselines state themselves.
    #[test]
    fn rates_agree_with_the_baselines() {
        let flash_mla = &PeerRun::all()[0].rows;
        let row = flash_mla.iter().find(|row| row.name == "b128_sq2_h128_sk32768_var").unwrap();
        let rates = |us: Option<f64>| {
            (row.work.tflops(us.unwrap()).round(), row.work.gbps(us.unwrap()).round())
        };
        assert_eq!(rates(row.kern_us), (733.0, 1539.0));
        assert_eq!(rates(row.sust_us), (629.0, 1320.0));
    }

    /// Lengths are fixed in the run of three, so the work follows from the name.
    #[test]
    fn work_agrees_with_the_configuration() {
        for row in &PeerRun::all()[1].rows {
            let number = |part: &str| -> usize {
                part.trim_start_matches(char::is_alphabetic).parse().unwrap()
            };
            let parts: Vec<_> = row.name.split('_').take(4).map(number).collect();
            let [batch, s_q, heads, seq_len] = parts[..] else { panic!("{}", row.name) };
            let work = Work::of_decode(batch, s_q, heads as u32, 1, batch * seq_len);
            assert_eq!(row.work, work, "{}", row.name);
        }
    }

    #[test]
    fn the_best_is_of_the_same_method() {
        let best = |name, method| {
            PeerRun::best(name, method).map(|(run, row, us)| (&*run.run, &*row.peer, us))
        };
        let flash_infer = ("three-peers-h100", "FlashInfer", 17.6);
        assert_eq!(best("b1_sq1_h128_sk1024", Method::Call), Some(flash_infer));
        let flash_mla = ("flashmla-h100", "FlashMLA", 11.101);
        assert_eq!(best("b1_sq1_h128_sk1024", Method::Kernel), Some(flash_mla));
        assert_eq!(best("b1_sq1_h128_sk1024", Method::Host), None);
        assert_eq!(best("b3_sq1_h128_sk1024", Method::Call), None);
    }
}
