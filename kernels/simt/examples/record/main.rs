//! Records on an H100 what `tests/recorded` compares the machine with.
//!
//! `cargo run -p oxmla-simt --example record -- kernels/simt/tests/recorded/h100.bin`; with `--ptx DIRECTORY`
//! instead of a file it writes the kernels and runs nothing.

#[path = "../../tests/instructions/boxes.rs"]
mod boxes;
#[path = "../../tests/recorded/cases.rs"]
mod cases;
mod driver;
// What is recorded is compared elsewhere.
#[allow(dead_code)]
#[path = "../../tests/instructions/operands.rs"]
mod operands;
mod ptx;

use std::error::Error;

use cases::{Case, Function, Load, Multiply, OPERAND_BYTES};
use driver::{Argument, Gpu};

const USAGE: &str = "usage: record FILE | record --ptx DIRECTORY";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next().ok_or(USAGE)?;
    if first == "--ptx" {
        return write_kernels(&arguments.next().ok_or(USAGE)?);
    }
    let gpu = Gpu::open()?;
    let mut table = Vec::new();
    for case in cases::all() {
        let words = match &case {
            Case::Multiply(case) => multiply(&gpu, case)?,
            Case::Load(case) => load(&gpu, case)?,
            Case::Function(function) => apply(&gpu, *function)?,
        };
        table.extend(words);
    }
    std::fs::write(&first, &table)?;
    println!("{first}: {} bytes", table.len());
    Ok(())
}

fn write_kernels(directory: &str) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(directory)?;
    for (index, case) in cases::all().iter().enumerate() {
        std::fs::write(format!("{directory}/{index:03}.ptx"), kernel(case))?;
    }
    Ok(())
}

fn kernel(case: &Case) -> String {
    match case {
        Case::Multiply(case) => ptx::multiply(&case.form, case.a_layout.is_none()),
        Case::Load(case) => ptx::load(case.map.tile.len()),
        Case::Function(function) => ptx::function(*function),
    }
}

fn multiply(gpu: &Gpu, case: &Multiply) -> Result<Vec<u8>, Box<dyn Error>> {
    let [a, b] = case.images();
    let fragments: Vec<u8> =
        (0..128).flat_map(|thread| case.a.fragment(thread)).flat_map(u32::to_le_bytes).collect();
    let start: Vec<u8> = case.start.iter().flat_map(|x| x.to_le_bytes()).collect();
    let [a, b, fragments, d] = [&a, &b, &fragments, &start].map(|bytes| gpu.upload(bytes));
    let (a, b, fragments, d) = (a?, b?, fragments?, d?);
    let [a_descriptor, b_descriptor] = case.descriptors(0);
    let values = [a, b, fragments, d, a_descriptor, b_descriptor].map(Argument::Word);
    let source = ptx::multiply(&case.form, case.a_layout.is_none());
    gpu.launch(&source, 1, 2 * OPERAND_BYTES as u32, &values)?;
    gpu.download(d, start.len())
}

fn load(gpu: &Gpu, case: &Load) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut map = case.map.clone();
    map.address = gpu.upload(&cases::tensor())?;
    let size = map.footprint();
    let out = gpu.upload(&vec![0; size as usize])?;
    let mut values = vec![
        Argument::TensorMap(gpu.encode(&map)?),
        Argument::Word(out),
        Argument::Word(size.into()),
        Argument::Word(map.box_bytes().into()),
    ];
    values.extend(case.corner.iter().map(|&c| Argument::Word(u64::from(c as u32))));
    gpu.launch(&ptx::load(case.corner.len()), 1, 16384 + 8, &values)?;
    gpu.download(out, size as usize)
}

fn apply(gpu: &Gpu, function: Function) -> Result<Vec<u8>, Box<dyn Error>> {
    let numbers = cases::numbers();
    let bytes: Vec<u8> = numbers.iter().flatten().flat_map(|x| x.to_le_bytes()).collect();
    let (input, out) = (gpu.upload(&bytes)?, gpu.upload(&vec![0; 4 * numbers.len()])?);
    let values = [input, out, numbers.len() as u64].map(Argument::Word);
    gpu.launch(&ptx::function(function), numbers.len().div_ceil(128) as u32, 0, &values)?;
    gpu.download(out, 4 * numbers.len())
}
