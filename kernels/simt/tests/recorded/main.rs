//! The machine against a table recorded on an H100: accumulators of `wgmma` for every type and layout, images of
//! TMA boxes, and rounding at every edge. `examples/record` makes the table.

#[path = "../instructions/boxes.rs"]
mod boxes;
mod cases;
#[path = "../instructions/operands.rs"]
mod operands;
mod simulate;

use cases::{Case, Function, Multiply};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded/h100.bin");

#[test]
fn the_machine_agrees_with_an_h100() {
    let table = std::fs::read(TABLE).expect("the recorded table");
    let mut words =
        table.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("4")));
    for (index, case) in cases::all().iter().enumerate() {
        let got = simulate::run(case);
        let recorded: Vec<u32> = words.by_ref().take(got.len()).collect();
        assert_eq!(recorded.len(), got.len(), "the table ends in case {index}");
        compare(index, case, &got, &recorded);
    }
    assert_eq!(words.next(), None, "the table goes on");
}

/// The machine can run every case, and the multiplies agree with f64.
#[test]
fn every_case_runs() {
    for (index, case) in cases::all().iter().enumerate() {
        let got = simulate::run(case);
        if let Case::Multiply(multiply) = case {
            let exact: Vec<u32> = exact(multiply).map(|(d, _)| (d as f32).to_bits()).collect();
            compare(index, case, &got, &exact);
        }
    }
}

fn compare(index: usize, case: &Case, got: &[u32], recorded: &[u32]) {
    match case {
        Case::Multiply(multiply) => {
            // Products are added in fixed point, aligned to the largest: of 8-bit types with about 14 bits.
            let unit = if multiply.form.a.bytes() == 1 { 2f64.powi(-12) } else { 2f64.powi(-20) };
            for (i, (_, magnitude)) in exact(multiply).enumerate() {
                let (a, b) = (float(got[i]), float(recorded[i]));
                let near = (a - b).abs() <= unit * magnitude;
                assert!(near, "case {index}, {:?}: accumulator {i}: {a}, not {b}", multiply.form);
            }
        }
        Case::Load(load) => {
            assert_eq!(got, recorded, "case {index}, {:?} at {:?}", load.map, load.corner);
        }
        Case::Function(function) => {
            for (i, x) in cases::numbers().iter().enumerate() {
                let near = agrees(*function, x[0], got[i], recorded[i]);
                let (a, b) = (got[i], recorded[i]);
                assert!(near, "case {index}, {function:?} of {x:?}: {a:#x}, not {b:#x}");
            }
        }
    }
}

/// Conversions exactly, approximations within the sum of both errors.
fn agrees(function: Function, x: f32, got: u32, recorded: u32) -> bool {
    let (a, b) = (float(got), float(recorded));
    let same = got == recorded || a.is_nan() && b.is_nan();
    let relative = |error: i32| (a - b).abs() <= 2f64.powi(error) * b.abs();
    match function {
        Function::Exp2 | Function::Rsqrt => same || relative(-21),
        Function::Recip => same || relative(-22),
        Function::Log2 => {
            let near_one = (0.5..2.0).contains(&x);
            same || if near_one { (a - b).abs() <= 2f64.powi(-21) } else { relative(-21) }
        }
        Function::Max => same,
        _ => got == recorded,
    }
}

fn float(bits: u32) -> f64 {
    f32::from_bits(bits).into()
}

/// Each accumulator in f64, in the order of threads and registers, with the sum of the magnitudes in it.
fn exact(multiply: &Multiply) -> impl Iterator<Item = (f64, f64)> {
    let per_thread = multiply.form.n as usize / 2;
    (0..128 * per_thread).map(move |at| {
        let (thread, i) = (at / per_thread, at % per_thread);
        let row = 16 * (thread / 32) + thread % 32 / 4 + if i / 2 % 2 == 1 { 8 } else { 0 };
        let column = 8 * (i / 4) + 2 * (thread % 4) + i % 2;
        let start = f64::from(multiply.start[at]);
        let k = multiply.a.k as usize;
        (0..k).fold((start, start.abs()), |(sum, magnitude), i| {
            let product = multiply.a.values[row * k + i] * multiply.b.values[column * k + i];
            (sum + product, magnitude + product.abs())
        })
    })
}
