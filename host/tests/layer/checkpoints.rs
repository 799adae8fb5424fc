//! Checkpoints that are not what their `config.json` says.

use std::fs;
use std::path::Path;

use half::bf16;
use oxmla::checkpoint::{Checkpoint, CheckpointError};
use oxmla::layer::{HeadShard, MlaAttention};
use oxmla::{DType, Device};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use tempfile::TempDir;

use super::runner::{LAYER, distance, golden, run};

/// One tensor of a file.
struct Entry {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// A copy of a golden checkpoint, to be damaged.
fn copy(name: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
    }
    directory
}

fn open(directory: &Path) -> Result<MlaAttention, CheckpointError> {
    let checkpoint = Checkpoint::open(directory)?;
    checkpoint.attention(&Device::cpu(), LAYER, DType::F16, HeadShard::WHOLE, &mut |_| {})
}

/// The error of a checkpoint, with the directory left out.
fn error_of(directory: &TempDir) -> String {
    let error = open(directory.path()).unwrap_err().to_string();
    let place = format!("{}", directory.path().display());
    error.strip_prefix(&place).unwrap_or(&error).to_owned()
}

/// Writes a file of the checkpoint anew, with its tensors changed.
fn rewrite(directory: &TempDir, file: &str, change: impl FnOnce(&mut Vec<Entry>)) {
    let path = directory.path().join(file);
    let bytes = fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let entry = |(name, view): (String, TensorView<'_>)| Entry {
        name,
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    let mut entries: Vec<_> = tensors.tensors().into_iter().map(entry).collect();
    change(&mut entries);
    let views = entries.iter().map(|Entry { name, dtype, shape, bytes }| {
        (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn find<'a>(entries: &'a mut [Entry], name: &str) -> &'a mut Entry {
    entries.iter_mut().find(|entry| entry.name.contains(name)).unwrap()
}

#[test]
fn a_missing_tensor_is_named() {
    let directory = copy("direct_f16");
    rewrite(&directory, "model.safetensors", |entries| {
        entries.retain(|entry| !entry.name.contains("o_proj"));
    });
    assert_eq!(
        error_of(&directory),
        "/model.safetensors: there is no tensor `model.layers.1.self_attn.o_proj.weight`; of its layer \
         there are kv_a_layernorm.weight, kv_a_proj_with_mqa.weight, kv_b_proj.weight, q_proj.weight"
    );
}

#[test]
fn an_index_that_its_files_contradict() {
    let directory = copy("compressed_yarn_bf16");
    let shard = "model-00001-of-00002.safetensors";
    rewrite(&directory, shard, |entries| entries.retain(|entry| !entry.name.contains("q_a_proj")));
    let error = error_of(&directory);
    assert!(error.starts_with(&format!("/{shard}: there is no tensor `model.layers.1")), "{error}");
    fs::remove_file(directory.path().join(shard)).unwrap();
    assert!(error_of(&directory).starts_with(&format!("/{shard}: No such file")));
}

#[test]
fn an_index_stays_in_its_directory() {
    for file in ["../elsewhere.safetensors", "/etc/passwd", "", "a/b", ".."] {
        let directory = copy("compressed_yarn_bf16");
        let path = directory.path().join("model.safetensors.index.json");
        let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        index["weight_map"]["x"] = file.into();
        fs::write(path, index.to_string()).unwrap();
        assert_eq!(
            error_of(&directory),
            format!(
                "/model.safetensors.index.json: `weight_map.x` must be the name of a file beside it, \
                 but is \"{file}\""
            )
        );
    }
}

#[test]
fn a_misshapen_tensor_is_named() {
    let directory = copy("direct_f16");
    rewrite(&directory, "model.safetensors", |entries| {
        find(entries, "kv_b_proj").shape = vec![512, 48];
    });
    assert_eq!(
        error_of(&directory),
        "/model.safetensors: tensor `model.layers.1.self_attn.kv_b_proj.weight` must have shape \
         [48, 512], but has [512, 48]"
    );
}

#[test]
fn a_mistyped_tensor_is_named() {
    let directory = copy("direct_f16");
    rewrite(&directory, "model.safetensors", |entries| find(entries, "q_proj").dtype = Dtype::I16);
    assert_eq!(
        error_of(&directory),
        "/model.safetensors: tensor `model.layers.1.self_attn.q_proj.weight` must be bf16, f16, f32 or \
         f8_e4m3, but is i16"
    );
}

#[test]
fn a_damaged_file_and_a_directory_without_weights() {
    let directory = copy("direct_f16");
    let path = directory.path().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    for end in [0, 7, 8, 100, bytes.len() - 1] {
        fs::write(&path, &bytes[..end]).unwrap();
        let error = error_of(&directory);
        assert!(error.starts_with("/model.safetensors: "), "{end} bytes: {error}");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(
        error_of(&directory),
        " has neither `model.safetensors.index.json` nor `model.safetensors`"
    );
}

/// Whatever is in the files: an error or a layer, and never a panic.
#[test]
fn files_with_random_bytes_in_them() {
    let directory = copy("compressed_yarn_bf16");
    let mut state = 1u64;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut refused = 0;
    let files = ["config.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors"];
    for file in files {
        let path = directory.path().join(file);
        let whole = fs::read(&path).unwrap();
        // The headers of the small files; tensors are behind them.
        let header = whole.len().min(600);
        for _ in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..=random(3) {
                bytes[random(header)] = random(256) as u8;
            }
            fs::write(&path, &bytes).unwrap();
            refused += usize::from(open(directory.path()).is_err());
        }
        fs::write(&path, whole).unwrap();
    }
    assert!(refused > 300, "{refused} of 900");
    open(directory.path()).unwrap();
}

#[test]
fn a_layer_that_the_model_has_not() {
    let checkpoint = Checkpoint::open(golden("direct_f16")).unwrap();
    let load = |layer| {
        let loaded =
            checkpoint.attention(&Device::cpu(), layer, DType::F16, HeadShard::WHOLE, &mut |_| {});
        loaded.unwrap_err().to_string()
    };
    assert_eq!(load(2), "layer 2: `layer` must be from 0 to 1, but is 2");
    assert!(load(0).contains("there is no tensor `model.layers.0.self_attn.q_proj.weight`"));
}

/// As DeepSeek-V3 is published: e4m3 with a factor for every 128 × 128 elements. Elements that e4m3 has exactly,
/// times powers of two, are bf16 numbers, so that both layers must be the same.
#[test]
fn scaled_blocks_are_the_weights_that_they_stand_for() {
    let (scaled, plain) = (copy("compressed_yarn_bf16"), copy("compressed_yarn_bf16"));
    let (rows, columns) = (4 * (8 + 12), 512);
    let bits: Vec<u8> = (0..rows * columns).map(|i| (i * 37 % 251) as u8 % 0x7f).collect();
    let factors = [0.25f32, 0.0625, 0.03125, 0.125].map(|factor| factor / 16.0);
    let shard = fs::read_dir(scaled.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|file| file.starts_with("model-00001"))
        .unwrap();
    let index_path = scaled.path().join("model.safetensors.index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&index_path).unwrap()).unwrap();
    let name = "model.layers.1.self_attn.kv_b_proj.weight";
    let shard_of_kv_b = index["weight_map"][name].as_str().unwrap().to_owned();
    index["weight_map"][format!("{name}_scale_inv")] = shard.clone().into();
    fs::write(index_path, index.to_string()).unwrap();

    rewrite(&scaled, &shard_of_kv_b, |entries| {
        let entry = find(entries, "kv_b_proj");
        (entry.dtype, entry.bytes) = (Dtype::F8_E4M3, bits.clone());
    });
    let missing = error_of(&scaled);
    assert!(missing.contains("kv_b_proj.weight_scale_inv"), "{missing}");
    rewrite(&scaled, &shard, |entries| {
        entries.push(Entry {
            name: format!("{name}_scale_inv"),
            dtype: Dtype::F32,
            shape: vec![1, 4],
            bytes: factors.iter().flat_map(|factor| factor.to_le_bytes()).collect(),
        });
    });
    rewrite(&plain, &shard_of_kv_b, |entries| {
        let value = |(i, &bits): (usize, &u8)| {
            let (exponent, fraction) = (i32::from(bits >> 3), f32::from(bits & 7) / 8.0);
            let one = if exponent == 0 { 0.0 } else { 1.0 };
            let value = (one + fraction) * 2f32.powi(exponent.max(1) - 7);
            bf16::from_f32(value * factors[i % columns / 128]).to_le_bytes()
        };
        find(entries, "kv_b_proj").bytes = bits.iter().enumerate().flat_map(value).collect();
    });
    let hidden: Vec<f32> = (0..3 * 40).map(|i| (i % 7) as f32 - 3.0).collect();
    let of = |directory: &TempDir| run(&open(directory.path()).unwrap(), &hidden, &[3]).unwrap();
    assert_eq!(distance(&of(&scaled), &of(&plain)), 0.0);
    let golden = run(&open(&golden("compressed_yarn_bf16")).unwrap(), &hidden, &[3]);
    assert!(distance(&of(&plain), &golden.unwrap()) > 0.1);
}
