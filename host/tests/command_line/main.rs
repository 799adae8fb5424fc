//! The program `oxmla`, run as its users run it.

mod dump;
mod replay;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// What the program said, and how it ended.
struct Finished {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the program; standard output and error are not terminals.
fn oxmla(arguments: &[&str]) -> Finished {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_oxmla")).args(arguments).output().unwrap();
    Finished {
        code: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// A file of that name for one test, which is not there yet.
fn scratch(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_file(&path);
    path
}

#[test]
fn devices_lists_the_cpu_wherever_it_runs() {
    let Finished { code, stdout, stderr } = oxmla(&["devices"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("CPU") && stdout.contains("used by default"), "{stdout}");
}

#[test]
fn the_demo_agrees_with_the_oracle() {
    let arguments = ["demo", "--backend", "cpu", "--batch", "3", "--tokens", "70", "--steps", "2"];
    let Finished { code, stdout, stderr } = oxmla(&[&arguments[..], &["--heads", "6"]].concat());
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    for part in ["3 requests", "decode", "TFLOP/s", "3,840", "1,152", "f64 oracle"] {
        assert!(stdout.contains(part), "no {part} in {stdout}");
    }
}

#[test]
fn a_layer_of_a_checkpoint_runs() {
    let checkpoint =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/layer/compressed_yarn_bf16");
    let arguments = ["layer", checkpoint, "--backend", "cpu", "--tokens", "70", "--steps", "2"];
    let layer =
        |number: &str| oxmla(&[&arguments[..], &["--layer", number, "--world", "2"]].concat());
    let Finished { code, stdout, stderr } = layer("1");
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    for part in ["2 of 4 heads", "of weights", "prompt, in chunks", "one token"] {
        assert!(stdout.contains(part), "no {part} in {stdout}");
    }
    let Finished { code, stdout, stderr } = layer("0");
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert_eq!(stderr.matches("there is no tensor").count(), 1, "{stderr}");
}

#[test]
fn the_simulated_kernels_agree_with_the_oracle() {
    let arguments = ["demo", "--backend", "sim", "--steps", "1", "--heads", "16"];
    let Finished { code, stdout, stderr } = oxmla(&arguments);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("3 requests") && stdout.contains("on simulated GPU"), "{stdout}");
}

#[test]
fn bench_sweeps_and_appends_records() {
    let path = scratch("bench.jsonl");
    let json = path.to_str().unwrap();
    let arguments =
        ["bench", "--backend", "cpu", "--seq-len", "64", "--heads", "2", "--repeat", "2"];
    let run = |batch| {
        let options = ["--batch", batch, "--json", json, "--commit", "abc"];
        let Finished { code, stdout, stderr } = oxmla(&[&arguments[..], &options].concat());
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
        stdout
    };
    let stdout = run("1,3");
    assert!(stdout.contains("b1_sq1_h2_sk64") && stdout.contains("b3_sq1_h2_sk64"), "{stdout}");
    run("2");
    let lines = fs::read_to_string(&path).unwrap();
    let records: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let batches: Vec<_> = records.iter().map(|record| record["batch"].as_u64().unwrap()).collect();
    assert_eq!(batches, [1, 3, 2]);
    let record = &records[1];
    assert_eq!(record["tokens"], 3 * 64);
    assert_eq!(record["flop"], 2.0 * 2176.0 * 3.0 * 64.0);
    assert_eq!(record["commit"], "abc");
    let us = record["wall_us"].as_f64().unwrap();
    assert!(us > 0.0);
    let tflops = record["wall_tflops"].as_f64().unwrap();
    assert!((tflops * us * 1e6 / record["flop"].as_f64().unwrap() - 1.0).abs() < 1e-9);
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for arguments in [
        &["bench", "--batch", "0"][..],
        &["bench", "--batch", "1,x"],
        &["bench", "suite", "--heads", "16"],
        &["bench", "--quick"],
        &["bench", "--backend", "tpu"],
        &["demo", "--steps", "0"],
        &["replay"],
        &["paint"],
    ] {
        let Finished { code, stderr, .. } = oxmla(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
    }
}

#[test]
fn the_simulator_is_not_timed() {
    let Finished { code, stdout, stderr } = oxmla(&["bench", "--backend", "sim"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert_eq!(stderr, "oxmla: what the simulator takes says nothing about a GPU\n");
}

#[test]
fn a_library_error_is_one_line() {
    let Finished { code, stdout, stderr } =
        oxmla(&["bench", "--backend", "cpu", "--heads", "9", "--kv-heads", "2"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert_eq!(
        stderr,
        "oxmla: b4_sq1_h9_sk1024_hk2: 9 query heads cannot be divided among 2 KV heads\n"
    );
}
