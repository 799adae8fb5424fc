//! The choice of tiles, held against what was measured.

use std::collections::BTreeMap;

use oxmla_kernels::gemm::abi::Shape;
use oxmla_kernels::gemm::tiling::Tiling;
use serde_json::Value;

/// `oxmla bench gemm tilings` on an H100.
const RESULTS: &str = include_str!("../../bench/results/gemm-tilings-h100.jsonl");
/// Its multiprocessors.
const MULTIPROCESSORS: u32 = 132;
/// What a choice may take, of the least that was measured.
const TOLERANCE: f64 = 1.04;

/// Microseconds in a graph, by width and splits.
type Times = BTreeMap<([u32; 2], u32), f64>;

/// `m × k → n`, or `absorb, h batch, t m`, or the same of `expand`.
fn shape(case: &str) -> Option<Shape> {
    let number = |text: &str| text.parse().ok();
    if let Some((call, sizes)) = case.split_once(", h ") {
        let (batch, m) = sizes.split_once(", t ")?;
        let (n, k) = if call == "absorb" { (512, 128) } else { (128, 512) };
        return Some(Shape { batch: number(batch)?, m: number(m)?, n, k });
    }
    let (m, rest) = case.split_once(" × ")?;
    let (k, n) = rest.split_once(" → ")?;
    Some(Shape { batch: 1, m: number(m)?, n: number(n)?, k: number(k)? })
}

fn measured() -> BTreeMap<String, Times> {
    let mut cases = BTreeMap::<String, Times>::new();
    for line in RESULTS.lines() {
        let row: Value = serde_json::from_str(line).expect("a JSON object a line");
        let number = |name: &str| row[name].as_f64().expect("a number");
        let case = row["case"].as_str().expect("a name");
        let cut = ([number("rows") as u32, number("cluster") as u32], number("splits") as u32);
        cases.entry(case.into()).or_default().insert(cut, number("graph_us"));
    }
    cases
}

/// Of a cut that was not measured, the slower of its neighbours.
fn time(times: &Times, tiling: &Tiling) -> f64 {
    let of_width = |splits| (tiling.width, splits);
    let below = times.range(of_width(0)..=of_width(tiling.splits)).next_back();
    let above = times.range(of_width(tiling.splits)..=of_width(u32::MAX)).next();
    let (below, above) = (below.expect("fewer splits").1, above.expect("more splits").1);
    below.max(*above)
}

#[test]
fn the_choice_is_near_the_best_that_was_measured() {
    let cases = measured();
    assert!(cases.len() >= 24, "projections of DeepSeek-V3");
    for (case, times) in cases {
        let shape = shape(&case).expect("a case of the benchmark");
        let tiling = Tiling::choose(&shape, MULTIPROCESSORS).expect("a small product");
        let (time, least) =
            (time(&times, &tiling), times.values().copied().fold(f64::MAX, f64::min));
        assert!(time <= TOLERANCE * least, "{case}: {tiling:?} {time:.2} µs, best {least:.2} µs");
    }
}
