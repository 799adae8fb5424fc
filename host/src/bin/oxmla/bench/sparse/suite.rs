//! The part of `oxmla bench suite` that is about sparse attention.

use anyhow::Context;
use oxmla::Device;
use serde_json::json;

use super::super::case::Cache;
use super::super::{Bench, Results, gpu, progress_bar, record};
use super::Name;
use super::case::{Case, DECODE, PREFILL};
use super::workload::Workload;

/// One configuration or two of each regime.
const QUICK: [&str; 4] = [
    "sdec_b2_sq2_h128_sk32768_top2048",
    "sdec_b128_sq2_h128_sk32768_top2048",
    "sdec_b128_sq2_h128_sk32768_top2048_bf16",
    "spre_d576_h128_sq4096_skv8192_top2048",
];

/// Every row that FlashMLA is recorded with, and what targets set beside our dense decode.
fn all() -> Vec<(Name, Case)> {
    let of_peer = DECODE[..5].iter().map(|case| Case { cache: Cache::Fp8, ..*case });
    let decode = of_peer.chain([DECODE[0], DECODE[2]]).map(|case| (Name::Decode, case));
    decode.chain(PREFILL.map(|case| (Name::Prefill, case))).collect()
}

/// The names of all configurations, or those of a quick look.
#[cfg(test)]
pub fn names(quick: bool) -> Vec<String> {
    cases(quick).iter().map(|(name, case)| name.of(case)).collect()
}

fn cases(quick: bool) -> Vec<(Name, Case)> {
    let mut cases = all();
    cases.retain(|(name, case)| !quick || QUICK.contains(&name.of(case).as_str()));
    cases
}

/// Measures them on a GPU; other devices are left out.
pub fn run(bench: &Bench, quick: bool, seed: u64, results: &mut Results) -> anyhow::Result<()> {
    let cases = cases(quick);
    let progress = progress_bar(cases.len());
    for (name, case) in cases {
        let title = name.of(&case);
        progress.set_message(title.clone());
        measure(bench, (name, case), seed, results).context(title)?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(())
}

fn measure(
    bench: &Bench,
    (name, case): (Name, Case),
    seed: u64,
    results: &mut Results,
) -> anyhow::Result<()> {
    let Bench { device, stream, repeat, environment, .. } = bench;
    let Device::Cuda(gpu) = device else { return Ok(()) };
    let mut workload = Workload::new(device, case, seed)?;
    let (caches, work) = (workload.caches(), case.work());
    let mut call = |cache| name.call(&mut workload, stream, cache);
    let timings = gpu::calls(gpu, stream, *repeat, caches, &mut call)?;
    let configuration = json!({
        "name": name.of(&case),
        "batch": case.batch,
        "heads": case.heads,
        "s_q": case.s_q,
        "seq_len": case.cached,
        "d_qk": case.d_qk,
        "topk": case.topk,
        "dtype": "bf16",
        "cache": case.cache,
        "seed": seed,
        "repeat": repeat,
        "caches": caches,
        "flop": work.flop,
        "bytes": work.bytes,
    });
    results.report.add(name.of(&case), &work, &timings);
    let record = record::with_times(configuration, &work, &timings, environment)?;
    bench.keep(record, results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_look_is_part_of_all() {
        assert_eq!(names(true).len(), QUICK.len());
        assert_eq!(names(false).len(), 11);
    }
}
