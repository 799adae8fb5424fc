//! Sparse attention to replay: files with `indices` in the place of a block table.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Instant;

use oxmla::cache::Fp8Format;
use oxmla::{
    DType, Device, Selection, SparseAttention, SparsePlanner, SparsePlannerConfig, SparseStep,
    TensorRef, sparse_decode, sparse_prefill,
};
use safetensors::SafeTensors;

use super::error::InputError;
use super::input::{FLOAT, INTEGER, value};
use super::output::Output;
use super::tensor::{Axis, Placed, Tensor};
use super::{bytes, compare_tensor, count};
use crate::compare::Tolerance;
use crate::{Verdict, elements, table};

const D_V: usize = 512;

/// Names of the tensors of a cache: its own, its indices, how many of them count.
type Names = [&'static str; 3];

const FIRST: Names = ["kv_cache", "indices", "lengths"];
const SECOND: Names = ["extra_kv_cache", "extra_indices", "extra_lengths"];

/// Whether a file is one of sparse attention.
pub fn is_in(file: &SafeTensors<'_>) -> bool {
    file.tensor(FIRST[1]).is_ok()
}

/// One call, as someone's model made it.
#[derive(Debug)]
pub struct Input<'file> {
    /// `[tokens, h_q, d_qk] bf16`.
    q: Tensor<'file, 3>,
    first: List<'file>,
    second: Option<List<'file>>,
    /// `[h_q] f32`.
    sink: Option<Tensor<'file, 1>>,
    softmax_scale: f32,
    /// What it got: `[tokens, h_q, 512]`.
    expect_out: Option<Tensor<'file, 3>>,
    /// What it got: `[tokens, h_q]`.
    expect_lse: Option<Tensor<'file, 2>>,
    /// What it got: `[tokens, h_q]`.
    expect_max_logits: Option<Tensor<'file, 2>>,
}

/// A cache and what is listed of it.
#[derive(Debug)]
struct List<'file> {
    /// `[blocks, block_size, 1, d_qk] bf16`, or bytes.
    kv_cache: Tensor<'file, 4>,
    /// `[tokens, topk] i32`.
    indices: Tensor<'file, 2>,
    /// `[tokens] i32`.
    lengths: Option<Tensor<'file, 1>>,
}

/// A list where its device can read it.
struct PlacedList<'file> {
    kv_cache: Placed<'file>,
    indices: Placed<'file>,
    lengths: Option<Placed<'file>>,
}

/// What a call gives.
struct Results {
    output: Output,
    /// f32, of a prefill.
    max_logits: Option<Vec<u8>>,
}

impl<'file> Input<'file> {
    /// Holds what the file has against what a call needs.
    pub fn check(
        file: &SafeTensors<'file>,
        metadata: &HashMap<String, String>,
    ) -> Result<Self, InputError> {
        let axes = [("tokens", None), ("h_q", None), ("d_qk", None)];
        let q = Tensor::find(file, "q", &[DType::Bf16], axes)?;
        let [tokens, h_q, d_qk] = q.shape();
        let (tokens, h_q) = (("tokens", Some(tokens)), ("h_q", Some(h_q)));
        let of_rows = [tokens, h_q];
        let second = file.tensor(SECOND[0]).is_ok();
        Ok(Self {
            first: List::check(file, FIRST, tokens, d_qk)?,
            second: second.then(|| List::check(file, SECOND, tokens, d_qk)).transpose()?,
            sink: Tensor::find_optional(file, "sink", &[DType::F32], [h_q])?,
            softmax_scale: value(metadata, "softmax_scale", "a number", |text| text.parse().ok())?,
            expect_out: Tensor::find_optional(
                file,
                "expect_out",
                FLOAT,
                [tokens, h_q, ("d_v", Some(D_V))],
            )?,
            expect_lse: Tensor::find_optional(file, "expect_lse", FLOAT, of_rows)?,
            expect_max_logits: Tensor::find_optional(file, "expect_max_logits", FLOAT, of_rows)?,
            q,
        })
    }

    /// Prints what is in the file.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.q)?;
        for List { kv_cache, indices, lengths } in
            [Some(&self.first), self.second.as_ref()].into_iter().flatten()
        {
            writeln!(out, "{kv_cache}\n{indices}")?;
            if let Some(lengths) = lengths {
                writeln!(out, "{lengths}")?;
            }
        }
        if let Some(sink) = &self.sink {
            writeln!(out, "{sink}")?;
        }
        writeln!(out, "softmax_scale {}", self.softmax_scale)
    }

    /// Attends as a decode, and over a bf16 cache as a prefill too; compares each with what the file expects. The output is
    /// that of the decode.
    pub fn replay(
        &self,
        device: &Device,
        out: &mut dyn Write,
    ) -> anyhow::Result<(Output, Verdict)> {
        let (decode, mut verdict) = self.run(device, false, out)?;
        if self.first.kv_cache.dtype() == DType::Bf16 {
            verdict = verdict.and(self.run(device, true, out)?.1);
        }
        Ok((decode, verdict))
    }

    fn run(
        &self,
        device: &Device,
        is_prefill: bool,
        out: &mut dyn Write,
    ) -> anyhow::Result<(Output, Verdict)> {
        let start = Instant::now();
        let Results { output, max_logits } = self.attend(device, is_prefill)?;
        let time = table::duration(start.elapsed().as_secs_f64() * 1e6);
        let way = if is_prefill { "prefill" } else { "decode" };
        writeln!(out, "{way} done on {} in {time}, transfers included", device.name())?;
        let mut verdict = Verdict::Passed;
        if let Some(expected) = &self.expect_out {
            let got = elements::to_f32(output.dtype, &output.out);
            verdict = verdict.and(compare_tensor(&got, expected, Tolerance::OUT, out)?);
        }
        let of_rows =
            [(Some(&output.lse), &self.expect_lse), (max_logits.as_ref(), &self.expect_max_logits)];
        for (got, expected) in of_rows {
            if let (Some(got), Some(expected)) = (got, expected) {
                let got = elements::to_f32(DType::F32, got);
                let tolerance = Tolerance::of_lse(self.first.kv_cache.dtype(), device);
                verdict = verdict.and(compare_tensor(&got, expected, tolerance, out)?);
            }
        }
        Ok((output, verdict))
    }

    fn attend(&self, device: &Device, is_prefill: bool) -> oxmla::Result<Results> {
        let [tokens, h_q, _] = self.q.shape();
        let (rows, stream) = (tokens * h_q, device.stream()?);
        let (q, first) = (self.q.place(device)?, self.first.place(device)?);
        let second = self.second.as_ref().map(|list| list.place(device)).transpose()?;
        let sink = self.sink.as_ref().map(|sink| sink.place(device)).transpose()?;
        let mut out = device.alloc(rows * D_V * DType::Bf16.size())?;
        let [mut lse, mut max_logits] = [device.alloc(4 * rows)?, device.alloc(4 * rows)?];
        let args = SparseAttention {
            q: q.view()?,
            selection: first.view()?,
            extra: second.as_ref().map(PlacedList::view).transpose()?,
            sink: view(sink.as_ref())?,
            out: out.view_mut(DType::Bf16, &[tokens, h_q, D_V])?,
            lse: lse.view_mut(DType::F32, &[tokens, h_q])?,
            softmax_scale: self.softmax_scale,
        };
        if is_prefill {
            let max_logits = max_logits.view_mut(DType::F32, &[tokens, h_q])?;
            sparse_prefill(device, stream.as_ref(), args, Some(max_logits))?;
        } else {
            let config = SparsePlannerConfig { h_q: count(h_q), max_tokens: tokens };
            let planner = SparsePlanner::new(device, config)?;
            let extra_topk = self.second.as_ref().map_or(0, List::topk);
            let plan = planner.plan(SparseStep { tokens, topk: self.first.topk(), extra_topk })?;
            sparse_decode(&planner, &plan, stream.as_ref(), args)?;
        }
        stream.synchronize()?;
        let output = Output {
            dtype: DType::Bf16,
            out_shape: vec![tokens, h_q, D_V],
            out: bytes(&out)?,
            lse_shape: vec![tokens, h_q],
            lse: bytes(&lse)?,
        };
        let max_logits = is_prefill.then(|| bytes(&max_logits)).transpose()?;
        Ok(Results { output, max_logits })
    }
}

impl<'file> List<'file> {
    fn check(
        file: &SafeTensors<'file>,
        [kv_cache, indices, lengths]: Names,
        tokens: Axis,
        d_qk: usize,
    ) -> Result<Self, InputError> {
        let bytes = if d_qk == D_V { Fp8Format::Paged584 } else { Fp8Format::Token656 };
        let (dtype, row) = match file.tensor(kv_cache).map(|view| view.dtype()) {
            Ok(safetensors::Dtype::U8) => {
                (DType::U8, ("bytes", Some(bytes.bytes_per_token() as usize)))
            }
            _ => (DType::Bf16, ("d_qk", Some(d_qk))),
        };
        let axes = [("blocks", None), ("block_size", None), ("h_k", Some(1)), row];
        Ok(Self {
            kv_cache: Tensor::find(file, kv_cache, &[dtype], axes)?,
            indices: Tensor::find(file, indices, INTEGER, [tokens, ("topk", None)])?,
            lengths: Tensor::find_optional(file, lengths, INTEGER, [tokens])?,
        })
    }

    const fn topk(&self) -> usize {
        self.indices.shape()[1]
    }

    fn place(&self, device: &Device) -> oxmla::Result<PlacedList<'file>> {
        Ok(PlacedList {
            kv_cache: self.kv_cache.place(device)?,
            indices: self.indices.place(device)?,
            lengths: self.lengths.as_ref().map(|lengths| lengths.place(device)).transpose()?,
        })
    }
}

impl PlacedList<'_> {
    fn view(&self) -> oxmla::Result<Selection<'_>> {
        Ok(Selection {
            kv_cache: self.kv_cache.view()?,
            indices: self.indices.view()?,
            lengths: view(self.lengths.as_ref())?,
        })
    }
}

fn view<'a>(placed: Option<&'a Placed<'_>>) -> oxmla::Result<Option<TensorRef<'a>>> {
    placed.map(Placed::view).transpose()
}
