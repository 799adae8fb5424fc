//! Sparse decode over FP8 caches.

use half::bf16;
use oxmla_kernels::abi::Cut;
use oxmla_kernels::cache::fp8::Fp8Format;
use oxmla_simt::Timing;

use crate::problem::{List, Problem, Work};
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
    pub fn quantise(&mut self, rng: &mut fastrand::Rng) {
        let (format, layout) = (self.format(), self.format().layout());
        let [block_stride, _] = self.code_strides();
        let mut bytes = vec![0xff; self.shape.blocks * block_stride];
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
            let (latent, rope) = elements.split_at_mut(layout.latent as usize);
            for (tile, elements) in latent.chunks_mut(layout.tile as usize).enumerate() {
                let (scale, stored) = scale(format, rng);
                bytes[scales + tile * stored.len()..][..stored.len()].copy_from_slice(&stored);
                for (d, element) in elements.iter_mut().enumerate() {
                    let code = rng.u8(0..0x7f) | u8::from(rng.bool()) << 7;
                    bytes[token + tile * layout.tile as usize + d] = code;
                    *element = bf16::from_f32(e4m3(code) * scale).to_bits();
                }
            }
            let rope: Vec<u8> = rope.iter().flat_map(|bits| bits.to_le_bytes()).collect();
            bytes[token + layout.rope(0) as usize..][..rope.len()].copy_from_slice(&rope);
        }
        self.codes = Some(bytes);
    }
}

/// A scale, and how the format stores it.
fn scale(format: Fp8Format, rng: &mut fastrand::Rng) -> (f32, Vec<u8>) {
    match format {
        Fp8Format::Token656 => {
            let scale = (0.5 + rng.f32()) / 448.0;
            (scale, scale.to_le_bytes().to_vec())
        }
        Fp8Format::Paged584 => {
            let code = rng.u8(117..120);
            (2f32.powi(i32::from(code) - 127), vec![code])
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

/// What the converter makes is what the sparse kernel gathers from a cache of dequantised tokens.
#[test]
fn the_same_bits_as_over_dequantised_tokens() {
    for d_qk in WIDTHS {
        let problem = Problem::new([2, 40, d_qk], 500, decode(2), 5).with_extra(33, None).in_fp8();
        let [fp8, bf16] = [problem.clone(), problem.dequantised()].map(|problem| {
            problem.run(|launch| launch.timing(Timing::Random)).expect("the kernel is right").0
        });
        assert_eq!((fp8.out, fp8.lse), (bf16.out, bf16.lse));
    }
}
