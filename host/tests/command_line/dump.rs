//! Files as a model's author would dump them, with what attention gives for them.

use std::collections::HashMap;
use std::path::Path;

use half::bf16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

const D_QK: usize = 576;
const D_V: usize = 512;
const BLOCK: usize = 64;

/// A tensor by name.
pub struct Named {
    pub name: &'static str,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// A file to be.
pub struct Dump {
    pub tensors: Vec<Named>,
    pub metadata: HashMap<String, String>,
}

/// Requests of 70, 0 and 5 tokens, two query tokens each, three heads, causal. The cache is NaN wherever
/// nobody should look, and the table holds ids that no block has.
pub fn requests() -> Dump {
    let (lengths, table) = ([70, 0, 5], [[4, 1], [i32::MAX, -1], [3, i32::MIN]]);
    let (blocks, s_q, h_q, scale) = (5, 2, 3, 0.07);
    let mut number = numbers();
    let q: Vec<bf16> = number.by_ref().take(lengths.len() * s_q * h_q * D_QK).collect();
    let mut cache = vec![bf16::NAN; blocks * BLOCK * D_QK];
    for (request, &length) in lengths.iter().enumerate() {
        for position in 0..length {
            let row = row_of(&table[request], position);
            cache[row..][..D_QK].fill_with(|| number.next().unwrap());
        }
    }

    let (mut out, mut lse) = (Vec::new(), vec![0.0; lengths.len() * h_q * s_q]);
    for (index, query) in q.chunks(D_QK).enumerate() {
        let (request, token, head) = (index / h_q / s_q, index / h_q % s_q, index % h_q);
        let visible = (lengths[request] + token + 1).saturating_sub(s_q);
        let rows = (0..visible).map(|position| &cache[row_of(&table[request], position)..][..D_QK]);
        let (values, log_sum) = attend(query, &rows.collect::<Vec<_>>(), scale);
        out.extend(values);
        lse[(request * h_q + head) * s_q + token] = log_sum;
    }

    let lengths: Vec<i32> = lengths.iter().map(|&length| length as i32).collect();
    let tensors = vec![
        named("q", Dtype::BF16, &[3, s_q, h_q, D_QK], &q),
        named("kv_cache", Dtype::BF16, &[blocks, BLOCK, 1, D_QK], &cache),
        named("block_table", Dtype::I32, &[3, 2], table.as_flattened()),
        named("cache_seqlens", Dtype::I32, &[3], &lengths),
        named("expect_out", Dtype::F32, &[3, s_q, h_q, D_V], &out),
        named("expect_lse", Dtype::F32, &[3, h_q, s_q], &lse),
    ];
    let metadata = [("softmax_scale", scale.to_string()), ("causal", "True".to_owned())];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
    Dump { tensors, metadata }
}

impl Dump {
    /// Writes the file.
    pub fn write(&self, path: &Path) {
        let views = self.tensors.iter().map(|Named { name, dtype, shape, bytes }| {
            (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        safetensors::serialize_to_file(views, Some(self.metadata.clone()), path).unwrap();
    }

    /// A tensor, to be changed.
    pub fn tensor(&mut self, name: &str) -> &mut Named {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
    }
}

/// Attention of one query to `rows`, in f64: output, and natural-log sum of exponentials.
fn attend(query: &[bf16], rows: &[&[bf16]], scale: f32) -> (Vec<f32>, f32) {
    if rows.is_empty() {
        return (vec![0.0; D_V], f32::NEG_INFINITY);
    }
    let product = |row: &&[bf16]| -> f64 {
        let products = query.iter().zip(*row).map(|(a, b)| a.to_f64() * b.to_f64());
        products.sum::<f64>() * f64::from(scale)
    };
    let weights: Vec<f64> = rows.iter().map(product).map(f64::exp).collect();
    let sum: f64 = weights.iter().sum();
    let value = |column: usize| {
        let values = rows.iter().zip(&weights).map(|(row, weight)| weight * row[column].to_f64());
        (values.sum::<f64>() / sum) as f32
    };
    ((0..D_V).map(value).collect(), sum.ln() as f32)
}

/// Where the row of a token begins in the cache.
fn row_of(blocks: &[i32], position: usize) -> usize {
    (blocks[position / BLOCK] as usize * BLOCK + position % BLOCK) * D_QK
}

fn named<T: bytemuck::Pod>(
    name: &'static str,
    dtype: Dtype,
    shape: &[usize],
    values: &[T],
) -> Named {
    Named { name, dtype, shape: shape.to_vec(), bytes: bytemuck::cast_slice(values).to_vec() }
}

/// Numbers between −1/2 and 1/2 in steps of 1/128, the same in every run.
fn numbers() -> impl Iterator<Item = bf16> {
    let mut state = 1u32;
    std::iter::from_fn(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some(bf16::from_f32(((state >> 25) as f32 - 64.0) / 128.0))
    })
}
