//! `oxmla replay`: attention on tensors that somebody's model has dumped, and a comparison with what it got.

mod error;
mod input;
mod output;
mod sparse;
mod tensor;

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use memmap2::Mmap;
use oxmla::{
    BlockTable, Buffer, CacheLayout, DType, Decode, Device, MlaDims, Planner, PlannerConfig, Step,
    decode,
};

use self::input::{Contents, Input};
use self::output::Output;
use self::tensor::Tensor;
use crate::backend::BackendArgs;
use crate::compare::{Comparison, Tolerance};
use crate::{Verdict, elements, table};

/// Arguments of `oxmla replay`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// File with `q`, `kv_cache`, `block_table` and `cache_seqlens`, metadata `softmax_scale` and `causal`, and
    /// maybe `expect_out` and `expect_lse`; or with `indices` in the place of the table
    #[arg(value_name = "IN.safetensors")]
    input: PathBuf,
    /// Write `out` and `lse` to this file
    #[arg(long, value_name = "OUT.safetensors")]
    out: Option<PathBuf>,
    #[command(flatten)]
    backend: BackendArgs,
}

/// Replays a file.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Verdict> {
    let path = args.input.display();
    let file = File::open(&args.input).with_context(|| format!("opening {path}"))?;
    // SAFETY: the file is only read. Whoever shortens it meanwhile ends the program (SIGBUS), whoever writes to
    // it gets a result of the new contents: documented in `docs/cli.md`.
    let bytes = unsafe { Mmap::map(&file) }.with_context(|| format!("mapping {path}"))?;
    let contents = Contents::read(&bytes).with_context(|| format!("reading {path}"))?;
    let device = args.backend.open()?;
    let (output, verdict) = match contents {
        Contents::Dense(input) => replay(&device, &input, out),
        Contents::Sparse(input) => {
            input.print(out)?;
            input.replay(&device, out)
        }
    }
    .with_context(|| format!("replaying {path}"))?;
    if let Some(path) = &args.out {
        output.write(path, device.name())?;
        writeln!(out, "wrote {}", path.display())?;
    }
    Ok(verdict)
}

/// Decodes, and compares with what the file expects.
fn replay(
    device: &Device,
    input: &Input<'_>,
    out: &mut dyn Write,
) -> anyhow::Result<(Output, Verdict)> {
    print_input(input, out)?;
    let start = Instant::now();
    let output = attend(device, input)?;
    let time = table::duration(start.elapsed().as_secs_f64() * 1e6);
    writeln!(out, "done on {} in {time}, transfers included", device.name())?;
    let verdict = compare(device, input, &output, out)?;
    Ok((output, verdict))
}

fn print_input(input: &Input<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", input.q)?;
    writeln!(out, "{}", input.kv_cache)?;
    writeln!(out, "{}", input.block_table)?;
    writeln!(out, "{}", input.cache_seqlens)?;
    writeln!(out, "softmax_scale {}, {}", input.softmax_scale, input.mask)
}

/// One decode call.
fn attend(device: &Device, input: &Input<'_>) -> oxmla::Result<Output> {
    let dtype = input.q.dtype();
    let [batch, s_q, h_q, _] = input.q.shape();
    let [blocks, block_size, h_k, _] = input.kv_cache.shape();
    let [_, max_blocks] = input.block_table.shape();
    let dims = MlaDims::new(count(h_q), count(h_k))?;
    if input.kv_cache.dtype() != DType::U8 {
        CacheLayout::new(dims, dtype, block_size)?;
    }
    let config = PlannerConfig {
        dims,
        dtype,
        max_batch: batch,
        max_blocks_per_sequence: max_blocks,
        max_s_q: count(s_q),
        block_size,
        blocks_in_cache: blocks,
    };
    let mut planner = Planner::new(device, config)?;
    let stream = device.stream()?;
    let ids = input.block_table.to_i32();
    let rows: Vec<_> = ids.chunks(max_blocks).collect();
    let block_table = BlockTable::from_rows_of(block_size, &input.cache_seqlens.to_i32(), &rows)?;
    let step = Step::new(&block_table, count(s_q), input.mask);
    let plan = planner.plan(stream.as_ref(), step)?;

    let (q, kv_cache) = (input.q.place(device)?, input.kv_cache.place(device)?);
    let out_shape = [batch, s_q, h_q, dims.d_v() as usize];
    let lse_shape = [batch, h_q, s_q];
    let size = |shape: &[usize], dtype: DType| shape.iter().product::<usize>() * dtype.size();
    let mut out = device.alloc(size(&out_shape, dtype))?;
    let mut lse = device.alloc(size(&lse_shape, DType::F32))?;
    let tensors = Decode {
        q: q.view()?,
        kv_cache: kv_cache.view()?,
        out: out.view_mut(dtype, &out_shape)?,
        lse: lse.view_mut(DType::F32, &lse_shape)?,
        softmax_scale: input.softmax_scale,
        softcap: None,
    };
    decode(&planner, &plan, stream.as_ref(), tensors)?;
    stream.synchronize()?;
    let (out_shape, lse_shape) = (out_shape.to_vec(), lse_shape.to_vec());
    Ok(Output { dtype, out_shape, out: bytes(&out)?, lse_shape, lse: bytes(&lse)? })
}

fn bytes(buffer: &Buffer) -> oxmla::Result<Vec<u8>> {
    let mut bytes = vec![0; buffer.len_bytes()];
    buffer.read(0, &mut bytes)?;
    Ok(bytes)
}

/// Sizes that no `u32` holds become one that the library refuses.
fn count(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// Holds the result against what the file expects.
fn compare(
    device: &Device,
    input: &Input<'_>,
    output: &Output,
    out: &mut dyn Write,
) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::Passed;
    if let Some(expected) = &input.expect_out {
        let got = elements::to_f32(output.dtype, &output.out);
        verdict = verdict.and(compare_tensor(&got, expected, Tolerance::OUT, out)?);
    }
    if let Some(expected) = &input.expect_lse {
        let got = elements::to_f32(DType::F32, &output.lse);
        let tolerance = Tolerance::of_lse(input.kv_cache.dtype(), device);
        verdict = verdict.and(compare_tensor(&got, expected, tolerance, out)?);
    }
    Ok(verdict)
}

fn compare_tensor<const RANK: usize>(
    got: &[f32],
    expected: &Tensor<'_, RANK>,
    tolerance: Tolerance,
    out: &mut dyn Write,
) -> anyhow::Result<Verdict> {
    let comparison = Comparison::new(got, &expected.to_f32(), tolerance);
    if comparison.passes() {
        writeln!(out, "{expected}: within the tolerance; {comparison}")?;
        return Ok(Verdict::Passed);
    }
    write!(out, "{expected}: PAST THE TOLERANCE; {comparison}")?;
    if let Some(first) = comparison.first_failure {
        let index = unravel(first.index, expected.shape());
        let (failures, elements) = (comparison.failures, comparison.elements);
        write!(out, "; {failures} of {elements} elements")?;
        write!(out, ", first {index:?}: {} for {}", first.got, first.expected)?;
    }
    writeln!(out)?;
    Ok(Verdict::PastTolerance)
}

/// Index along each axis of element `index` of a tensor.
fn unravel<const RANK: usize>(mut index: usize, shape: [usize; RANK]) -> [usize; RANK] {
    let mut indices = shape;
    for (place, &size) in indices.iter_mut().zip(&shape).rev() {
        *place = index % size;
        index /= size;
    }
    indices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_run_fastest_along_the_last_axis() {
        assert_eq!(unravel(0, [2, 3, 4]), [0, 0, 0]);
        assert_eq!(unravel(23, [2, 3, 4]), [1, 2, 3]);
        assert_eq!(unravel(13, [2, 3, 4]), [1, 0, 1]);
    }
}
