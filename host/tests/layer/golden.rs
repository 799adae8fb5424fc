//! The layer against files that numpy made without absorbing anything: `tests/golden/make_layer.py`.

use half::{bf16, f16};
use oxmla::DType;
use safetensors::{Dtype, SafeTensors};

use super::runner::{distance, golden, load, run};

/// What rounding of queries, rows of the cache (twice, as on a GPU) and attention's output to 8 and to 11 bits leaves
/// is 4.0 % and 0.83 %; an eps of 0.05 too much in the norms makes 22 %.
const TOLERANCES: [(DType, f32); 2] = [(DType::Bf16, 0.06), (DType::F16, 0.012)];

/// Hidden states, and the layer's output.
fn expected(name: &str) -> (Vec<f32>, Vec<f32>) {
    let bytes = std::fs::read(golden(name).join("expected.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let widen = |name| {
        let tensor = file.tensor(name).unwrap();
        let (pairs, quads) = (tensor.data().chunks_exact(2), tensor.data().chunks_exact(4));
        match tensor.dtype() {
            Dtype::BF16 => pairs.map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            Dtype::F16 => pairs.map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            _ => quads.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        }
    };
    (widen("hidden"), widen("out"))
}

fn check(chunks: &[usize]) {
    for name in ["compressed_yarn_bf16", "direct_f16"] {
        let (hidden, expected) = expected(name);
        for (dtype, tolerance) in TOLERANCES {
            let out = run(&load(name, dtype), &hidden, chunks).unwrap();
            let distance = distance(&out, &expected);
            assert!(distance < tolerance, "{name}, {dtype}, chunks {chunks:?}: {distance}");
        }
    }
}

#[test]
fn whole_prefill() {
    check(&[150]);
}

#[test]
fn prefill_in_chunks() {
    check(&[64, 5, 60, 40]);
}

#[test]
fn token_by_token() {
    check(&[1]);
}

#[test]
fn two_tokens_at_a_time_behind_a_prompt() {
    check(&[63, 2]);
}
