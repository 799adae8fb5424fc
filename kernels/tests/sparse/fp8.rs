//! Sparse decode over FP8 caches.

use half::bf16;
use oxmla_kernels::abi::Cut;
use oxmla_kernels::cache::fp8::{Fp8Format, LEAST_SCALE};
use oxmla_simt::Timing;

use crate::problem::{List, Magnitudes, Problem, Work};
use crate::{check, decode};

/// Both formats, by the dimensions of their tokens.
const WIDTHS: [usize; 2] = [576, 512];

impl List {
    pub fn format(&self) -> Fp8Format {
        if self.d_qk == 576 { Fp8Format::Token656 } else { Fp8Format::Paged584 }
    }

    /// Blocks begin at multiples of 16 bytes, with a gap before them.
    pub fn code_strides(&self) -> [usize; 2] {
        let token = self.format().bytes_per_token() as usize;
        [(self.shape.size * token + 1).next_multiple_of(16), token]
    }

    /// Random codes and scales for the rows that count, NaN for everything else; the elements become those that they stand
    /// for.
    pub fn quantise(&mut self, rng: &mut fastrand::Rng, magnitudes: &Magnitudes) {
        let (format, layout) = (self.format(), self.format().layout());
        let [block_stride, _] = self.code_strides();
        let mut bytes = vec![0xff; self.shape.blocks * block_stride];
        self.exact = vec![f64::NAN; self.shape.blocks * self.shape.size * self.d_qk];
        for row in 0..self.shape.blocks * self.shape.size {
            let at = self.place(row);
            let elements = &mut self.cache[at..at + self.d_qk];
            if bf16::from_bits(elements[0]).is_nan() {
                continue;
            }
            let (block, place) = (row / self.shape.size, row % self.shape.size);
            let token = block * block_stride + place * layout.token_stride as usize;
            let scales = block * block_stride
                + format.layout().scales(self.shape.size as u64) as usize
                + place * layout.scale_stride as usize;
            let exact = &mut self.exact[row * self.d_qk..][..self.d_qk];
            let (latent, rope) = elements.split_at_mut(layout.latent as usize);
            for (tile, elements) in latent.chunks_mut(layout.tile as usize).enumerate() {
                let (scale, stored) = scale(format, rng, (magnitudes.scale)(row, tile));
                self.largest_scale =
                    self.largest_scale.max(if scale.is_finite() { scale } else { 0.0 });
                bytes[scales + tile * stored.len()..][..stored.len()].copy_from_slice(&stored);
                for (d, element) in elements.iter_mut().enumerate() {
                    let code = rng.u8(0..0x7f) | u8::from(rng.bool()) << 7;
                    bytes[token + tile * layout.tile as usize + d] = code;
                    exact[tile * layout.tile as usize + d] =
                        f64::from(e4m3(code)) * f64::from(scale);
                    *element = bf16::from_f32(e4m3(code) * scale).to_bits();
                }
            }
            for (exact, bits) in exact[layout.latent as usize..].iter_mut().zip(&mut *rope) {
                let value = bf16::from_f64(bf16::from_bits(*bits).to_f64() * magnitudes.rope);
                (*exact, *bits) = (value.to_f64(), value.to_bits());
            }
            let rope: Vec<u8> = rope.iter().flat_map(|bits| bits.to_le_bytes()).collect();
            bytes[token + layout.rope(0) as usize..][..rope.len()].copy_from_slice(&rope);
        }
        self.codes = Some(bytes);
    }
}

/// A scale, multiplied by `magnitude`, and how the format stores it, which has no 0.
fn scale(format: Fp8Format, rng: &mut fastrand::Rng, magnitude: f32) -> (f32, Vec<u8>) {
    match format {
        Fp8Format::Token656 => {
            let scale = (0.5 + rng.f32()) / 448.0 * magnitude;
            (scale, scale.to_le_bytes().to_vec())
        }
        Fp8Format::Paged584 => {
            let scale = 2f32.powi(i32::from(rng.u8(117..120)) - 127) * magnitude;
            // A NaN has the same exponent field as infinity: 255.
            let code = (scale.to_bits() >> 23) as u8;
            if code == 0 { (2f32.powi(-127), vec![0]) } else { (scale, vec![code]) }
        }
        Fp8Format::Planar644 => panic!("sparse attention takes no such cache"),
    }
}

/// The value of an e4m3 code that is a number.
fn e4m3(code: u8) -> f32 {
    let (exponent, fraction) = (code >> 3 & 15, f32::from(code & 7));
    let magnitude = match exponent {
        0 => fraction * 2f32.powi(-9),
        _ => (8.0 + fraction) * 2f32.powi(i32::from(exponent) - 10),
    };
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

#[test]
fn one_list_of_one_part() {
    for d_qk in WIDTHS {
        for (seed, timing) in [Timing::Late, Timing::Random].into_iter().enumerate() {
            check(&Problem::new([1, 64, d_qk], 400, decode(1), 3).in_fp8(), seed as u64, timing);
        }
    }
}

#[test]
fn any_number_of_indices() {
    for (seed, topk) in [1, 63, 64, 65, 128, 129].into_iter().enumerate() {
        let problem = Problem::new([1, 16, WIDTHS[seed % 2]], topk, decode(1), seed as u64);
        check(&problem.in_fp8(), 0, Timing::Random);
    }
}

#[test]
fn few_and_many_heads() {
    for (seed, h_q) in [1, 16, 65, 128].into_iter().enumerate() {
        let problem = Problem::new([2, h_q, WIDTHS[seed % 2]], 130, decode(2), 9);
        check(&problem.in_fp8(), seed as u64, Timing::Random);
    }
}

#[test]
fn lists_split_among_parts() {
    check(&Problem::new([3, 16, 576], 300, decode(5), 1).in_fp8(), 0, Timing::Late);
    check(&Problem::new([1, 64, 512], 1000, decode(8), 2).in_fp8(), 1, Timing::Random);
    let work = Work::Decode(2, Cut::fixed(1));
    check(&Problem::new([2, 16, 576], 500, work, 3).in_fp8(), 2, Timing::Random);
}

#[test]
fn lengths_second_caches_and_sinks() {
    for (d_qk, parts) in [(576, 1), (512, 4)] {
        let lengths = vec![i32::MIN, 0, 64, 10, i32::MAX];
        let mut problem = Problem::new([5, 16, d_qk], 150, decode(parts), 4)
            .with(|list| list.lengths = Some(lengths))
            .with_extra(130, Some(vec![0, 130, 65, 7, 1]))
            .in_fp8();
        problem.sink = Some((0..16).map(|head| head as f32 - 4.0).collect());
        let outcome = check(&problem, 1, Timing::Random);
        assert_eq!(outcome.lse[..16], [f32::NEG_INFINITY; 16]);
    }
}

#[test]
fn lists_that_name_nothing() {
    for d_qk in WIDTHS {
        let problem = Problem::new([3, 16, d_qk], 150, decode(4), 8);
        let problem = problem.with(|list| list.indices[..220].fill(-7)).in_fp8();
        let outcome = check(&problem, 0, Timing::Late);
        assert_eq!(outcome.lse[..16], [f32::NEG_INFINITY; 16]);
        assert_eq!(outcome.out[..16 * 512], [0; 16 * 512]);
    }
}

fn check_of(magnitudes: &Magnitudes) {
    for d_qk in WIDTHS {
        let of = |h_q, topk, parts| Problem::new([1, h_q, d_qk], topk, decode(parts), 11);
        check(&of(16, 300, 2).in_fp8_of(magnitudes), 0, Timing::Random);
        check(&of(40, 130, 1).in_fp8_of(magnitudes), 1, Timing::Late);
    }
}

#[test]
fn small_and_large_scales() {
    let power = |k: i32| 2f64.powi(k);
    let of = Magnitudes::default;
    check_of(&Magnitudes { scale: |_, _| 2f32.powi(-60), rope: power(-60), q: power(60) });
    // The least that quantisation makes.
    check_of(&Magnitudes { scale: |_, _| 512.0 * LEAST_SCALE, rope: power(-72), ..of() });
    check_of(&Magnitudes { scale: |_, _| 2f32.powi(120), rope: power(80), q: power(-120) });
    check_of(&Magnitudes { scale: |_, _| 0.0, ..of() });
}

#[test]
fn tiles_of_different_scales() {
    let scale = |_, tile| [1.0, 2f32.powi(-20), 2f32.powi(-8), 0.0][tile % 4];
    check_of(&Magnitudes { scale, ..Magnitudes::default() });
}

/// The unit has to move, with what has been added up; scales of one block are far apart.
#[test]
fn tokens_of_different_scales() {
    let scale = |row, _| 2f32.powi(row as i32 / 16);
    check_of(&Magnitudes { scale, q: 2f64.powi(-16), ..Magnitudes::default() });
    let scale = |row, _| if row % 50 == 7 { 2f32.powi(100) } else { 2f32.powi(-80) };
    check_of(&Magnitudes { scale, rope: 2f64.powi(-80), q: 2f64.powi(-104) });
}

/// Where rope parts are V, they move the unit.
#[test]
fn rope_parts_much_larger_or_smaller_than_latents() {
    let scale = |_, _| 2f32.powi(-12);
    check_of(&Magnitudes { scale, rope: 2f64.powi(12), q: 2f64.powi(-12) });
    check_of(&Magnitudes { rope: 2f64.powi(-12), ..Magnitudes::default() });
}

/// A scale that is no number makes NaN of the rows that see its token, and of no others.
#[test]
fn scales_that_are_no_numbers() {
    for d_qk in WIDTHS {
        let problem = Problem::new([2, 16, d_qk], 100, decode(1), 6).with(|list| {
            list.indices[..100].fill(-1);
            list.indices[..90].copy_from_slice(&(0..90).collect::<Vec<_>>());
            list.indices[100..].copy_from_slice(&(100..200).collect::<Vec<_>>());
        });
        let scale = |row, _| if row == 150 { f32::NAN } else { 1.0 };
        let problem = problem.in_fp8_of(&Magnitudes { scale, ..Magnitudes::default() });
        let (outcome, _) = problem.run(|launch| launch).expect("the kernel is right");
        assert!(outcome.lse[..16].iter().all(|lse| lse.is_finite()));
        assert!(outcome.lse[16..].iter().all(|lse| lse.is_nan()));
    }
}

/// The results are closer to what codes and scales stand for than those over tokens in bf16: where a scale is any number, keys
/// are rounded twice to 11 bits instead of once to 8, so that an LSE is off by a quarter of it at most; where it is a power
/// of two, they are rounded in neither.
#[test]
fn closer_than_over_dequantised_tokens() {
    for d_qk in WIDTHS {
        let problem = Problem::new([2, 40, d_qk], 500, decode(2), 5).with_extra(33, None).in_fp8();
        let [fp8, bf16] = [problem.clone(), problem.clone().dequantised()].map(|of| {
            let run = of.run(|launch| launch.timing(Timing::Random));
            problem.distance(&run.expect("the kernel is right").0)
        });
        println!("{d_qk}: out, lse {fp8:?} over codes, {bf16:?} over elements");
        let lse = if d_qk == 576 { bf16[1] / 4.0 } else { 1e-5 };
        assert!(fp8[0] < bf16[0] && fp8[1] < lse, "{d_qk}: {fp8:?}, not {bf16:?}");
    }
}
