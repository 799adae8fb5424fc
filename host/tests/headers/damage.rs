//! A small checkpoint, damaged in whatever way: `config.json`, index and header of the safetensors file.

use std::fs;
use std::path::Path;

use oxmla::checkpoint::{Checkpoint, CheckpointError};
use oxmla::layer::HeadShard;
use oxmla::{DType, Device};

const CONFIG: &str = r#"{"model_type": "deepseek_v3", "hidden_size": 1, "num_hidden_layers": 1,
    "num_attention_heads": 1, "q_lora_rank": null, "kv_lora_rank": 512, "qk_nope_head_dim": 1,
    "qk_rope_head_dim": 64, "v_head_dim": 1, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
    "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096,
    "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0},
    "max_position_embeddings": 163840}"#;
/// Name and shape of each tensor; all are f16 zeros.
const TENSORS: [(&str, &[usize]); 5] = [
    ("q_proj", &[65, 1]),
    ("kv_a_proj_with_mqa", &[576, 1]),
    ("kv_a_layernorm", &[512]),
    ("kv_b_proj", &[2, 512]),
    ("o_proj", &[1, 1]),
];
const SHARD: &str = "shard.safetensors";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// What a value in JSON may become.
const VALUES: [&str; 36] = [
    "null",
    "true",
    "{}",
    "[]",
    "0",
    "1",
    "2",
    "-1",
    "0.5",
    "1e308",
    "1e999",
    "512",
    "64",
    "65",
    "2147483647",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "1e19",
    "\"\"",
    "\"BF16\"",
    "\"I16\"",
    "\"F32\"",
    "\"F8_E4M3\"",
    "\"yarn\"",
    "\"deepseek_v2\"",
    "\"..\"",
    "\"config.json\"",
    "[0, 0]",
    "[1, 65]",
    "[1, 576]",
    "[512, 2]",
    "[512, 1]",
    "[[[[[[[[]]]]]]]]",
    "\"\\ud800\"",
];

/// The files, before they are written.
struct Files {
    config: Vec<u8>,
    index: Vec<u8>,
    /// Without the eight bytes that say how long it is.
    header: Vec<u8>,
    data: Vec<u8>,
}

impl Files {
    fn sound() -> Self {
        let (mut header, mut index, mut end) = (Vec::new(), Vec::new(), 0);
        for (name, shape) in TENSORS {
            let name = format!("model.layers.0.self_attn.{name}.weight");
            let start = end;
            end += 2 * shape.iter().product::<usize>();
            header.push(format!(
                r#""{name}": {{"dtype": "F16", "shape": {shape:?}, "data_offsets": [{start}, {end}]}}"#
            ));
            index.push(format!(r#""{name}": "{SHARD}""#));
        }
        Self {
            config: CONFIG.into(),
            index: format!(r#"{{"weight_map": {{{}}}}}"#, index.join(", ")).into(),
            header: format!("{{{}}}", header.join(", ")).into(),
            data: vec![0; end],
        }
    }

    /// One more thing wrong, or none.
    fn damage(&mut self, [file, kind, at, far, value]: [u8; 5]) {
        let file = match file % 4 {
            0 => &mut self.config,
            1 => &mut self.index,
            2 => &mut self.header,
            _ => &mut self.data,
        };
        let at = (usize::from(at) | usize::from(far) << 8) % (file.len() + 1);
        let rest = file.len() - at;
        match kind % 8 {
            0 => file.truncate(at),
            1 => drop(file.drain(at..at + rest.min(usize::from(value)))),
            2 => file.insert(at, value),
            3 if rest > 0 => file[at] = value,
            4 => {
                let again = file[at..at + rest.min(4 * usize::from(value))].to_vec();
                drop(file.splice(at..at, again));
            }
            _ => replace_value(file, at, VALUES[usize::from(value) % VALUES.len()]),
        }
    }

    /// All of them in a directory, with an index or without.
    fn write(&self, directory: &Path, has_index: bool) -> std::io::Result<()> {
        fs::write(directory.join("config.json"), &self.config)?;
        let length = (self.header.len() as u64).to_le_bytes();
        let weights = [&length, &self.header[..], &self.data].concat();
        if !has_index {
            return fs::write(directory.join(SINGLE), weights);
        }
        fs::write(directory.join(INDEX), &self.index)?;
        fs::write(directory.join(SHARD), weights)
    }

    fn len(&self) -> usize {
        self.config.len() + self.index.len() + self.header.len() + self.data.len()
    }
}

/// Puts another value in the place of the one behind the next colon.
fn replace_value(json: &mut Vec<u8>, at: usize, value: &str) {
    let Some(colon) = json[at..].iter().position(|&byte| byte == b':') else { return };
    let start = at + colon + 1;
    let mut depth = 0;
    let is_end = |&byte: &u8| {
        let closes = b"]}".contains(&byte);
        let ends = depth == 0 && (closes || byte == b',');
        depth += i32::from(b"[{".contains(&byte)) - i32::from(closes);
        ends
    };
    let len = json[start..].iter().position(is_end).unwrap_or(json.len() - start);
    drop(json.splice(start..start + len, value.bytes()));
}

/// What came of a checkpoint.
pub struct Outcome {
    /// Bytes of its files.
    pub bytes: usize,
    /// What was wrong with it.
    pub error: Option<CheckpointError>,
}

/// Damages the checkpoint as the bytes say, and loads its layer. An error names the directory and a file in it.
pub fn load(bytes: &[u8]) -> std::io::Result<Outcome> {
    let directory = tempfile::tempdir()?;
    let mut files = Files::sound();
    let (has_index, damages) =
        bytes.split_first().map_or((false, bytes), |(b, rest)| (b % 2 == 1, rest));
    damages.as_chunks().0.iter().for_each(|&damage| files.damage(damage));
    files.write(directory.path(), has_index)?;
    let error = attention(directory.path()).err();
    if let Some(error) = &error {
        let said = error.to_string();
        let named = ["config.json", INDEX, SINGLE, SHARD]
            .iter()
            .any(|file| said.contains(&directory.path().join(file).display().to_string()));
        // A file name of the index that is damaged is one of the checkpoint all the same.
        let of_index = has_index && said.starts_with(&directory.path().display().to_string());
        assert!(named || of_index, "no file is named: {said}");
    }
    Ok(Outcome { bytes: files.len(), error })
}

fn attention(directory: &Path) -> oxmla::checkpoint::Result<()> {
    let checkpoint = Checkpoint::open(directory)?;
    checkpoint.attention(&Device::cpu(), 0, DType::F16, HeadShard::WHOLE, &mut |_| {}).map(drop)
}
