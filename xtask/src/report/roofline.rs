//! Rates of the main kernel under the roofs of each run.

use oxmla_bench::{Ceiling, Ceilings, Method, PeerRun, Work, is_dense};

use super::chart::{Axis, Chart, OURS, Series, Style, decimal_ticks};
use super::results::Results;

/// Ends of the horizontal axis in FLOP per byte: 16 heads have 30, two query tokens of 128 heads 480.
const INTENSITY: (f64, f64) = (16.0, 800.0);

/// The chart of dense decode in a run: ours, and every peer whose main kernel was timed alone.
pub fn chart(results: &Results) -> Chart {
    let timed = results.records.iter().filter(|record| is_dense(&record.name));
    let ours = timed.filter_map(|record| Some(point(&record.work, record.us(Method::Kernel)?)));
    let mut series = vec![marks("oxmla".to_owned(), OURS, ours.collect())];
    series.extend(roof("roof of our run", OURS, &results.environment.ceilings));
    for (index, run) in PeerRun::all().iter().enumerate() {
        for peer in run.versions.keys() {
            let rows = run.rows.iter().filter(|row| row.peer == *peer && is_dense(&row.name));
            let timed = rows.filter_map(|row| Some(point(&row.work, row.us(Method::Kernel)?)));
            let points: Vec<_> = timed.collect();
            if !points.is_empty() {
                series.push(marks(format!("{peer} ({})", run.run), 1 + index, points));
                let label = format!("roof of {}", run.run);
                series.extend(roof(&label, 1 + index, &run.ceilings()));
            }
        }
    }
    Chart {
        title: format!("Main kernel alone, L2 flushed: {}", results.environment.device),
        x: Axis { title: "FLOP per byte", ticks: decimal_ticks() },
        y: Axis { title: "TFLOP/s", ticks: decimal_ticks() },
        series,
    }
}

fn point(work: &Work, us: f64) -> (f64, f64) {
    (work.flop / work.bytes, work.tflops(us))
}

fn marks(label: String, colour: usize, points: Vec<(f64, f64)>) -> Series {
    Series { label, colour, style: Style::Marks, points }
}

/// What the ceilings allow at every intensity. Without one of multiplies the slope goes on; without one of the
/// memory there is nothing to draw.
fn roof(label: &str, colour: usize, ceilings: &Ceilings) -> Option<Series> {
    let rate = |ceiling| ceilings.get(ceiling);
    let (memory, kind) = match (rate(Ceiling::Read), rate(Ceiling::Copy)) {
        (Some(reads), _) => (reads, Ceiling::Read),
        (None, copies) => (copies?, Ceiling::Copy),
    };
    let at = |intensity: f64, tflops: f64| (intensity, tflops);
    let slope = |intensity: f64| intensity * memory * 1e-3;
    let (label, end) = match rate(Ceiling::Multiply) {
        Some(flat) => {
            let corner = at(flat / memory * 1e3, flat);
            (format!("{label}: {kind}, {}", Ceiling::Multiply), vec![corner, at(INTENSITY.1, flat)])
        }
        None => (format!("{label}: {kind}"), vec![at(INTENSITY.1, slope(INTENSITY.1))]),
    };
    let mut points = vec![at(INTENSITY.0, slope(INTENSITY.0))];
    points.extend(end);
    Some(Series { label, colour, style: Style::Line, points })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roof_has_its_corner_where_both_ceilings_meet() {
        let memory = Ceilings { read_gbps: Some(3000.0), ..Ceilings::default() };
        let both = Ceilings { mma_tflops: Some(750.0), ..memory };
        let points = |ceilings| roof("", 0, &ceilings).unwrap().points;
        assert_eq!(points(both), [(16.0, 48.0), (250.0, 750.0), (800.0, 750.0)]);
        assert_eq!(points(memory), [(16.0, 48.0), (800.0, 2400.0)]);
        assert!(roof("", 0, &Ceilings::default()).is_none());
    }
}
