//! Results for programs: one JSON object a line.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use oxmla_bench::Work;
use serde_json::{Map, Value, json};

use super::case::Case;
use super::environment::Environment;
use super::timing::{Timing, Timings};
use super::workload::Workload;

/// Everything about one measurement: the configuration, `…_us`, `…_tflops` and `…_gbps` for each way to
/// measure it, and what it was measured on.
pub fn of(
    case: &Case,
    repeat: u32,
    workload: &Workload,
    timings: &Timings,
    environment: &Environment,
) -> anyhow::Result<Value> {
    let configuration = json!({
        "name": case.name(),
        "batch": case.batch,
        "heads": case.heads,
        "kv_heads": case.kv_heads,
        "s_q": case.s_q,
        "seq_len": case.seq_len,
        "dist": case.distribution,
        "dtype": case.dtype.to_string(),
        "cache": case.cache,
        "block_size": case.block_size,
        "causal": case.causal,
        "window": case.window,
        "softcap": case.softcap,
        "seed": case.seed,
        "repeat": repeat,
        "tokens": workload.tokens,
        "parts": workload.parts(),
        "caches": workload.caches(),
        "flop": workload.work.flop,
        "bytes": workload.work.bytes,
    });
    with_times(configuration, &workload.work, timings, environment)
}

/// A configuration with what was measured of it, and where.
pub fn with_times(
    configuration: Value,
    work: &Work,
    timings: &Timings,
    environment: &Environment,
) -> anyhow::Result<Value> {
    let mut record = Map::new();
    add(&mut record, configuration);
    for timing in &timings.times {
        add_timing(&mut record, timing, work);
    }
    add(&mut record, serde_json::to_value(timings.load)?);
    add(&mut record, serde_json::to_value(timings.host)?);
    add(&mut record, serde_json::to_value(environment)?);
    Ok(Value::Object(record))
}

/// Appends a record to a file.
pub fn append(path: &Path, record: &Value) -> anyhow::Result<()> {
    let mut line = record.to_string();
    line.push('\n');
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}

fn add_timing(record: &mut Map<String, Value>, timing: &Timing, work: &Work) {
    let name = timing.method;
    let mut put = |quantity, value: f64| record.insert(format!("{name}_{quantity}"), value.into());
    put("us", timing.us);
    put("tflops", work.tflops(timing.us));
    put("gbps", work.gbps(timing.us));
    if let Some((p10, p90)) = timing.spread {
        put("p10_us", p10);
        put("p90_us", p90);
    }
}

/// Adds the members of an object.
fn add(record: &mut Map<String, Value>, object: Value) {
    if let Value::Object(members) = object {
        record.extend(members);
    }
}
