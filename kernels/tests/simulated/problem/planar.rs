//! Problems over a cache of `Planar644`, whose kernels multiply in FP8.

use half::bf16;
use oxmla_kernels::cache::fp8::Fp8Format;
use oxmla_kernels::simulate::ElementType;

use super::{D_QK, D_V, Problem, Shape, e4m3, parts, round, softmax, value};

/// What rounding a weight to e4m3 may change, relative to it.
const ROUNDING: f64 = 1.0 / 16.0;
/// The same relative to the largest weight of its row, which is 2^5 at least, for weights in steps of 2^−9.
const STEP: f64 = 1.0 / 32768.0;

impl Problem {
    /// A problem over blocks of `block_size` tokens. Codes, rope parts and scales that no request may read are NaN. What
    /// is right is what follows from the codes, those of the queries included.
    pub fn planar(block_size: usize, shape: Shape, element: ElementType, seed: u64) -> Self {
        assert_eq!(shape.h_k, 1, "the format has one KV head");
        let mut problem = Self::paged(block_size, shape, element, seed);
        let mut rng = fastrand::Rng::with_seed(!seed);
        let blocks = problem.cache.bits.len() / D_QK / block_size;
        let format = Fp8Format::Planar644;
        let mut bytes = vec![0xff; blocks * format.bytes_per_block(block_size as u32) as usize];
        let lengths = problem.shape.lengths.clone();
        for (request, &length) in lengths.iter().enumerate() {
            for position in 0..length as usize {
                let row = problem.row(request, position);
                let values = &mut problem.cache.values[row * D_QK..][..D_QK];
                let [latent, rope, scale] = parts(format, block_size, row);
                let power = 2f32.powi(rng.i32(-10..-6));
                bytes[scale].copy_from_slice(&power.to_le_bytes());
                for (value, code) in values.iter_mut().zip(&mut bytes[latent]) {
                    *code = rng.u8(0..0x7f) | u8::from(rng.bool()) << 7;
                    *value = f64::from(e4m3(*code) * power);
                }
                for (value, pair) in values[D_V..].iter_mut().zip(bytes[rope].chunks_exact_mut(2)) {
                    let rope = bf16::from_f64(*value / f64::from(power));
                    pair.copy_from_slice(&rope.to_le_bytes());
                    *value = rope.to_f64() * f64::from(power);
                }
            }
        }
        problem.fp8 = Some((format, bytes));
        for row in problem.q.values.chunks_exact_mut(D_QK) {
            quantise(row);
        }
        problem
    }

    /// What each output may be off: weights are rounded to e4m3, and the result to the element type.
    pub fn planar_tolerance(&self, outputs: &[f64]) -> Vec<f64> {
        let Shape { lengths, s_q, h_q, causal, .. } = &self.shape;
        let mut tolerances = Vec::with_capacity(outputs.len());
        for (request, &length) in lengths.iter().enumerate() {
            for row in 0..s_q * h_q {
                let hidden = if *causal { s_q - 1 - row / h_q } else { 0 };
                let own = i64::from(length) - (s_q - row / h_q) as i64;
                let first = self.window.map_or(0, |window| (own + 1 - i64::from(window)).max(0));
                let seen = first as usize..(length as usize).saturating_sub(hidden);
                let kv: Vec<&[f64]> =
                    seen.clone().map(|position| self.cached(request, position, 0)).collect();
                let q = (request * s_q * h_q + row) * D_QK;
                let scores = self.scores(&self.q.values[q..q + D_QK], &kv);
                let scales: Vec<f64> =
                    seen.map(|position| self.token_scale(request, position)).collect();
                let probabilities = softmax(&scores).0;
                let weights = probabilities.iter().zip(&scales).map(|(p, scale)| p * scale);
                let largest = weights.fold(0.0, f64::max);
                let off = |i: usize| (ROUNDING * probabilities[i]).max(STEP * largest / scales[i]);
                tolerances.extend((0..D_V).map(|column| {
                    kv.iter().enumerate().map(|(i, v)| off(i) * v[column].abs()).sum::<f64>()
                }));
            }
        }
        let rounding = 2f64.powi(if self.element == ElementType::Bf16 { -8 } else { -11 });
        tolerances.iter().zip(outputs).map(|(off, out)| off + rounding * out.abs() + 1e-6).collect()
    }

    fn token_scale(&self, request: usize, position: usize) -> f64 {
        let (format, bytes) = self.fp8.as_ref().expect("a cache in FP8");
        let [.., scale] = parts(*format, self.block_size, self.row(request, position));
        f32::from_le_bytes(bytes[scale].try_into().expect("four bytes")).into()
    }
}

/// What the codes of a query row stand for.
fn quantise(row: &mut [f64]) {
    let (latent, rope) = row.split_at_mut(D_V);
    let amax = latent.iter().fold(0f64, |amax, x| amax.max(x.abs()));
    let scale = (amax / 448.0).max(2f64.powi(-80)).log2().ceil().exp2();
    for x in latent {
        *x = nearest(*x / scale) * scale;
    }
    for x in rope {
        *x = value(ElementType::Bf16, round(ElementType::Bf16, (*x / scale) as f32)) * scale;
    }
}

/// The nearest e4m3 number, of two the one with an even code.
fn nearest(x: f64) -> f64 {
    let distance = |code: &u8| (f64::from(e4m3(*code)) - x.abs()).abs();
    let code =
        (0..=0x7e).min_by(|a, b| distance(a).total_cmp(&distance(b)).then((a % 2).cmp(&(b % 2))));
    f64::from(e4m3(code.expect("there are numbers"))).copysign(x)
}
