//! Times of a whole call over the number of requests, and over their length.

use oxmla_bench::{Method, PeerRun};

use super::chart::{Axis, Chart, OURS, Series, Style, decimal_ticks};
use super::results::Results;

/// Configurations that differ in one number.
struct Curve {
    /// Name of the plot.
    plot: &'static str,
    /// What stays the same.
    title: &'static str,
    /// What changes.
    axis: &'static str,
    /// Its values.
    values: &'static [u32],
    /// The configuration in a word.
    name: fn(u32) -> String,
}

const CURVES: [Curve; 3] = [
    Curve {
        plot: "batch",
        title: "Whole call over the batch: 4,096 tokens, 128 heads, one query token",
        axis: "requests",
        values: &[1, 4, 16, 64, 128, 256],
        name: |batch| format!("b{batch}_sq1_h128_sk4096"),
    },
    Curve {
        plot: "length",
        title: "Whole call over the length: one request, 128 heads, one query token",
        axis: "cached tokens",
        values: &[1024, 4096, 8192, 16384, 32768],
        name: |seq_len| format!("b1_sq1_h128_sk{seq_len}"),
    },
    Curve {
        plot: "length-16-heads",
        title: "Whole call over the length: 128 requests, 16 heads, one query token",
        axis: "cached tokens",
        values: &[1024, 4096, 8192, 16384, 32768],
        name: |seq_len| format!("b128_sq1_h16_sk{seq_len}"),
    },
];

/// Names of the plots, and the charts of a run.
pub fn charts(results: &Results) -> impl Iterator<Item = (&'static str, Chart)> {
    CURVES.iter().map(|curve| (curve.plot, curve.chart(results)))
}

impl Curve {
    fn chart(&self, results: &Results) -> Chart {
        let mut series = vec![self.ours(results)];
        series.extend(self.floor(results));
        let mut colour = 1;
        for run in PeerRun::all() {
            for peer in run.versions.keys() {
                let points = self.points(|name| {
                    let mut rows = run.rows.iter().filter(|row| row.peer == *peer);
                    rows.find(|row| row.name == name)?.us(Method::Call)
                });
                if !points.is_empty() {
                    let label = format!("{peer} ({})", run.run);
                    series.push(Series { label, colour, style: Style::MarkedLine, points });
                    colour += 1;
                }
            }
        }
        Chart {
            title: format!("{} ({})", self.title, results.environment.device),
            x: Axis {
                title: self.axis,
                ticks: self.values.iter().copied().map(f64::from).collect(),
            },
            y: Axis { title: "µs between events, L2 flushed", ticks: decimal_ticks() },
            series,
        }
    }

    fn ours(&self, results: &Results) -> Series {
        let time = |name: &str| {
            results.records.iter().find(|record| record.name == name)?.us(Method::Call)
        };
        let (label, style) = ("oxmla".to_owned(), Style::MarkedLine);
        Series { label, colour: OURS, style, points: self.points(time) }
    }

    /// What the ceilings of our run allow, where both were measured.
    fn floor(&self, results: &Results) -> Option<Series> {
        let ceilings = &results.environment.ceilings;
        ceilings.read_gbps.and(ceilings.mma_tflops)?;
        let points = self.points(|name| {
            let record = results.records.iter().find(|record| record.name == name)?;
            Some(ceilings.share(Method::Call, &record.work, 1.0)?.value)
        });
        Some(Series { label: "floor of our run".to_owned(), colour: 5, style: Style::Line, points })
    }

    /// Values of the axis that have a time, with it.
    fn points(&self, time: impl Fn(&str) -> Option<f64>) -> Vec<(f64, f64)> {
        let point = |&value: &u32| Some((f64::from(value), time(&(self.name)(value))?));
        self.values.iter().filter_map(point).collect()
    }
}
