//! The page from a small file of records, and how it goes stale.

use super::*;

const RECORDS: &str = r#"{"name":"b1_sq1_h128_sk1024","flop":285212672.0,"bytes":1458176.0,"kernel_us":7.0,"ev_us":8.0,"sustained_us":7.5,"host_us":2.5,"host_allocations":0,"plan_us":4.0,"sm_clock_mhz":1980,"power_w":300.5,"device":"H100","driver":"580.1","cuda":"13.0","version":"0.1.0","commit":"abc","command":"oxmla bench suite","copy_gbps":3020.0,"read_gbps":3041.0,"mma_tflops":787.0,"empty_us":1.3}
{"name":"b4_sq1_h128_sk4096","flop":4563402752.0,"bytes":19988480.0,"kernel_us":20.0,"ev_us":24.0,"sustained_us":20.5,"sm_clock_mhz":1900,"power_w":400.0,"device":"H100","driver":"580.1","cuda":"13.0","version":"0.1.0","commit":"abc","command":"oxmla bench suite","copy_gbps":3020.0,"read_gbps":3041.0,"mma_tflops":787.0,"empty_us":1.3}
"#;

/// An empty directory that goes away.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("oxmla-report-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn records(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, RECORDS).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn page(files: &Files) -> &str {
    &files[Path::new(PAGE)]
}

#[test]
fn every_number_has_its_run() {
    let scratch = Scratch::new("page");
    let files = render(&[scratch.records("dense-x.jsonl")]).unwrap();
    let page = page(&files);
    for part in [
        "## H100, commit `abc`",
        "| driver | 580.1 |",
        "| command | `oxmla bench suite` |",
        "1900 to 1980 MHz",
        "| records | [dense-x.jsonl](../bench/results/dense-x.jsonl) |",
        "| b1_sq1_h128_sk1024 | call | 8.0 | 6.0 % of reads | FlashInfer (three-peers-h100) | 17.6 | 2.7 % of reads | 0.45× time | ≤ 0.50× time | met |",
        "| b4_sq1_h128_sk4096 | call | 24.0 | 27 % of reads | FlashInfer (three-peers-h100) | 27.1 | 24 % of reads | 0.89× time | ≤ 0.50× time | missed |",
        "| b2_sq1_h16_sk1024 | call | – | – | FlashInfer (three-peers-h100) | 16.7 | 4.8 % of reads | – | ≤ 0.50× time | not measured |",
        "| b4_sq1_h128_sk4096 | 20.0 | 228 | 999 | 24.0 | 190 | 833 | 20.5 | 223 | 975 | 1900 | 400 | – | – |",
        "Targets: 2 met, 1 missed, 57 not measured.",
        "(plots/dense-x-roofline.svg)",
    ] {
        assert!(page.contains(part), "no {part} in\n{page}");
    }
}

#[test]
fn the_same_records_give_the_same_bytes() {
    let scratch = Scratch::new("twice");
    let records = [scratch.records("dense-x.jsonl")];
    assert_eq!(render(&records).unwrap(), render(&records).unwrap());
}

#[test]
fn plots_hold_every_series() {
    let scratch = Scratch::new("plots");
    let files = render(&[scratch.records("dense-x.jsonl")]).unwrap();
    let plot = &files[Path::new("plots/dense-x-batch.svg")];
    for label in
        ["oxmla", "floor of our run", "FlashMLA (flashmla-h100)", "FlashInfer (three-peers-h100)"]
    {
        assert!(plot.contains(label), "no {label}");
    }
    assert_eq!(files.len(), 5);
}

#[test]
fn what_differs_is_missing_or_left_over_is_stale() {
    let scratch = Scratch::new("stale");
    let records = vec![scratch.records("dense-x.jsonl")];
    let files = render(&records).unwrap();
    let out = scratch.0.join("docs");
    let stale = || stale(&out, &files).unwrap();
    assert_eq!(stale().len(), files.len(), "nothing written yet");

    let root = scratch.0.clone();
    let workspace = Workspace { target: root.join("target"), root };
    let args = Args { records, out: Some(out.clone()), check: false };
    run(&workspace, &args).unwrap();
    assert!(stale().is_empty());
    let args = Args { check: true, ..args };
    run(&workspace, &args).unwrap();

    fs::write(out.join(PAGE), "").unwrap();
    fs::write(out.join(PLOTS).join("dense-old-roofline.svg"), "").unwrap();
    fs::remove_file(out.join(PLOTS).join("dense-x-batch.svg")).unwrap();
    assert_eq!(stale(), [PAGE, "plots/dense-x-batch.svg", "plots/dense-old-roofline.svg"]);

    let error = run(&workspace, &args).unwrap_err().to_string();
    assert!(error.starts_with("stale: performance.md, plots/dense-x-batch.svg"), "{error}");

    run(&workspace, &Args { check: false, ..args }).unwrap();
    assert!(stale().is_empty(), "written anew, and what no record gives is gone");
}

#[test]
fn two_files_of_one_name_are_refused() {
    let scratch = Scratch::new("names");
    let (a, b) = (scratch.records("dense-x.jsonl"), scratch.records("dense-x.json"));
    let error = render(&[a, b]).unwrap_err();
    assert_eq!(error.to_string(), "two files of records are called dense-x");
}
