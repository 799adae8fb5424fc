//! `oxmla replay`.

use std::fs;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use super::dump::{self, Dump};
use super::{Finished, oxmla, scratch};

fn replay(path: &Path) -> Finished {
    replay_on("cpu", path)
}

fn replay_on(backend: &str, path: &Path) -> Finished {
    oxmla(&["replay", path.to_str().unwrap(), "--backend", backend])
}

/// Replays a file that `change` has made another of.
fn replay_changed(name: &str, change: impl FnOnce(&mut Dump)) -> Finished {
    let path = scratch(name);
    let mut dump = dump::requests();
    change(&mut dump);
    dump.write(&path);
    replay(&path)
}

/// Replays a changed file that must be refused; returns the reason.
fn refusal(name: &str, change: impl FnOnce(&mut Dump)) -> String {
    let Finished { code, stderr, .. } = replay_changed(name, change);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.starts_with("oxmla: ") && stderr.lines().count() == 1, "{stderr}");
    stderr
}

#[test]
fn agrees_with_attention_written_down() {
    let Finished { code, stdout, stderr } = replay_changed("good.safetensors", |_| ());
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert_eq!(stdout.matches("within the tolerance").count(), 2, "{stdout}");
}

#[test]
fn simulated_kernels_agree_with_attention_written_down() {
    let path = scratch("simulated.safetensors");
    dump::requests().write(&path);
    let Finished { code, stdout, stderr } = replay_on("sim", &path);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert_eq!(stdout.matches("within the tolerance").count(), 2, "{stdout}");
}

/// What numpy made of decode over FP8, of sparse decode and of sparse prefill; on both devices.
#[test]
fn golden_files_of_every_kernel_agree() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    for (file, comparisons) in [
        ("replay/fp8_decode_bf16", 2),
        ("sparse/plain_576", 5),
        ("sparse/lengths_512", 5),
        ("sparse/second_cache_576", 5),
        ("replay/fp8_sparse_decode_576", 2),
        ("replay/fp8_sparse_decode_512", 2),
    ] {
        for backend in ["cpu", "sim"] {
            let path = golden.join(file).with_extension("safetensors");
            let Finished { code, stdout, stderr } = replay_on(backend, &path);
            assert_eq!((code, stderr.as_str()), (Some(0), ""), "{file}: {stdout}");
            let agree = stdout.matches("within the tolerance").count();
            assert_eq!(agree, comparisons, "{file} on {backend}: {stdout}");
        }
    }
}

#[test]
fn writes_what_it_expects() {
    let (input, output) = (scratch("input.safetensors"), scratch("output.safetensors"));
    let mut dump = dump::requests();
    dump.write(&input);
    let arguments = ["replay", input.to_str().unwrap(), "--out", output.to_str().unwrap()];
    let Finished { code, stdout, stderr } =
        oxmla(&[&arguments[..], &["--backend", "cpu"]].concat());
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");

    let bytes = fs::read(&output).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (out, lse) = (file.tensor("out").unwrap(), file.tensor("lse").unwrap());
    assert_eq!((out.dtype(), out.shape()), (Dtype::BF16, &[3, 2, 3, 512][..]));
    assert_eq!((lse.dtype(), lse.shape()), (Dtype::F32, &[3, 3, 2][..]));

    // What was written is now what is expected, to the bit.
    let (out, lse) = (out.data().to_vec(), lse.data().to_vec());
    (dump.tensor("expect_out").dtype, dump.tensor("expect_out").bytes) = (Dtype::BF16, out);
    dump.tensor("expect_lse").bytes = lse;
    dump.write(&input);
    let Finished { code, stdout, .. } = replay(&input);
    assert_eq!(
        (code, stdout.matches("largest difference 0.00e0").count()),
        (Some(0), 2),
        "{stdout}"
    );
}

#[test]
fn may_replace_its_input() {
    let path = scratch("replaced.safetensors");
    dump::requests().write(&path);
    let name = path.to_str().unwrap();
    let Finished { code, .. } = oxmla(&["replay", name, "--out", name, "--backend", "cpu"]);
    assert_eq!(code, Some(0));
    let bytes = fs::read(&path).unwrap();
    assert!(SafeTensors::deserialize(&bytes).unwrap().tensor("out").is_ok());
    assert!(!scratch("replaced.safetensors.partial").exists());
}

#[test]
fn says_where_an_output_is_off() {
    let element = ((2 * 2 + 1) * 3 + 1) * 512 + 7;
    let Finished { code, stdout, .. } = replay_changed("off.safetensors", |dump| {
        let bytes = &mut dump.tensor("expect_out").bytes[element * 4..][..4];
        bytes.copy_from_slice(&1.5f32.to_le_bytes());
    });
    assert_eq!(code, Some(3));
    assert!(stdout.contains("PAST THE TOLERANCE"), "{stdout}");
    assert!(stdout.contains("1 of 9216 elements, first [2, 1, 1, 7]:"), "{stdout}");
    assert!(stdout.contains("expect_lse [3, 3, 2] f32: within the tolerance"), "{stdout}");
}

#[test]
fn says_where_an_lse_is_off() {
    let Finished { code, stdout, .. } = replay_changed("lse.safetensors", |dump| {
        dump.tensor("expect_lse").bytes[6 * 4..][..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    });
    assert_eq!(code, Some(3));
    assert!(stdout.contains("1 of 18 elements, first [1, 0, 0]: -inf for inf"), "{stdout}");
}

#[test]
fn files_that_are_none_are_refused() {
    let path = scratch("none.safetensors");
    assert!(replay(&path).stderr.contains("opening"));
    fs::write(&path, b"").unwrap();
    assert_eq!(replay(&path).code, Some(1));
    fs::write(&path, [255; 64]).unwrap();
    assert_eq!(replay(&path).code, Some(1));
    dump::requests().write(&path);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let Finished { code, stderr, .. } = replay(&path);
    assert_eq!((code, stderr.lines().count()), (Some(1), 1), "{stderr}");
}

#[test]
fn contents_that_make_no_sense_are_refused() {
    let reason = refusal("missing.safetensors", |dump| {
        dump.tensors.retain(|tensor| tensor.name != "kv_cache");
    });
    assert!(reason.contains("there is no tensor `kv_cache`"), "{reason}");
    let reason = refusal("scale.safetensors", |dump| {
        dump.metadata.insert("softmax_scale".into(), "-1".into());
    });
    assert!(reason.contains("`softmax_scale` must be finite and greater than 0"), "{reason}");
    let reason = refusal("blocks.safetensors", |dump| {
        dump.tensor("kv_cache").shape = vec![40, 8, 1, 576];
    });
    assert!(reason.contains("block size must be 16, 32, 64 or 128 tokens, but is 8"), "{reason}");
    let reason = refusal("pool.safetensors", |dump| {
        dump.tensor("block_table").bytes[..4].copy_from_slice(&5i32.to_le_bytes());
    });
    assert!(reason.contains("block 0 of request 0 has id 5, but the cache has 5"), "{reason}");
    let reason = refusal("length.safetensors", |dump| {
        dump.tensor("cache_seqlens").bytes[..4].copy_from_slice(&129i32.to_le_bytes());
    });
    assert!(reason.contains("request 0 has 129 tokens"), "{reason}");
    let reason = refusal("heads.safetensors", |dump| {
        dump.tensor("kv_cache").shape = vec![1, 64, 5, 576];
    });
    assert!(reason.contains("3 query heads cannot be divided among 5 KV heads"), "{reason}");
}

/// Shapes in which an axis has size 0.
#[test]
fn emptiness_is_refused_or_answered() {
    let reason = refusal("table.safetensors", |dump| {
        let table = dump.tensor("block_table");
        (table.shape, table.bytes) = (vec![3, 0], Vec::new());
    });
    assert!(reason.contains("max_blocks"), "{reason}");
    let reason = refusal("cache.safetensors", |dump| {
        let cache = dump.tensor("kv_cache");
        (cache.shape, cache.bytes) = (vec![0, 64, 1, 576], Vec::new());
    });
    assert!(reason.contains("blocks_in_cache"), "{reason}");
}
