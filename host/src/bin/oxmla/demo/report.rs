//! What the demo has to tell.

use std::io::{self, Write};
use std::time::Duration;

use oxmla::{MlaDims, kv_cache_bytes_per_token};
use oxmla_bench::Work;

use super::oracle::Differences;
use super::{DTYPE, StepTime};
use crate::statistics::Summary;
use crate::{Verdict, table};

/// Width of a head's keys and values in DeepSeek-V3 before absorption: 128 dimensions, and 64 rotary ones in
/// the keys.
const HEAD_WIDTHS: (u32, u32) = (192, 128);
/// Groups of the GQA that the cache is compared with: as in Llama 3.
const GQA_GROUPS: u32 = 8;
/// Layers of DeepSeek-V3.
const LAYERS: u64 = 61;

/// Times and differences of the steps so far.
pub struct Report {
    dims: MlaDims,
    requests: usize,
    tokens: usize,
    append: Vec<f64>,
    plan: Vec<f64>,
    decode: Vec<f64>,
    differences: Option<Differences>,
}

impl Report {
    /// A report of no steps yet.
    pub const fn new(dims: MlaDims, requests: usize) -> Self {
        Self {
            dims,
            requests,
            tokens: 0,
            append: Vec::new(),
            plan: Vec::new(),
            decode: Vec::new(),
            differences: None,
        }
    }

    /// Takes in a step, after which `tokens` are cached.
    pub fn add(&mut self, time: &StepTime, tokens: usize, differences: &Differences) {
        self.tokens = tokens;
        self.append.push(us(time.append));
        self.plan.push(us(time.plan));
        self.decode.push(us(time.decode));
        self.differences = Some(match &self.differences {
            Some(so_far) => so_far.merge(differences),
            None => differences.clone(),
        });
    }

    /// Whether the samples were near enough to the oracle.
    pub fn verdict(&self) -> Verdict {
        match &self.differences {
            Some(differences) if !differences.pass() => Verdict::PastTolerance,
            _ => Verdict::Passed,
        }
    }

    /// Prints everything.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        self.print_times(out)?;
        self.print_speed(out)?;
        self.print_cache(out)?;
        self.print_differences(out)
    }

    fn print_times(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = table::of_numbers(&["one step, one layer", "median", "p10", "p90"]);
        let rows = [
            ("append, from the host", &self.append),
            ("plan", &self.plan),
            ("decode", &self.decode),
        ];
        for (name, times) in rows {
            if let Some(Summary { median, p10, p90 }) = Summary::of(times) {
                let times = [median, p10, p90].map(table::duration);
                table.add_row([name.to_owned()].into_iter().chain(times));
            }
        }
        writeln!(out, "{}", table.trim_fmt())
    }

    fn print_speed(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some(Summary { median: us, .. }) = Summary::of(&self.decode) else { return Ok(()) };
        let work = Work::of_decode(self.requests, 1, self.dims.h_q(), self.dims.h_k(), self.tokens);
        let tokens_per_second = self.requests as f64 / us * 1e6;
        let (tflops, gbps) = (table::figures(work.tflops(us)), table::figures(work.gbps(us)));
        writeln!(
            out,
            "decode: {} tokens/s through one layer, {tflops} TFLOP/s, {gbps} GB/s",
            table::thousands(tokens_per_second as u64),
        )
    }

    /// `h_k · (512 + 64)` elements for MLA; `heads · (192 + 128)` for attention that caches the keys and values
    /// of each head, or of each group of heads.
    fn print_cache(&self, out: &mut dyn Write) -> io::Result<()> {
        let (d_k, d_v) = HEAD_WIDTHS;
        let mla = self.dims.cache_bytes_per_token(DTYPE);
        let heads = self.dims.h_q();
        let groups = GQA_GROUPS.min(heads);
        let of_heads = |heads| kv_cache_bytes_per_token(heads, d_k, d_v, DTYPE);
        let mut table = table::of_numbers(&[
            "cache",
            "bytes per token and layer",
            "of MLA",
            "this batch, 61 layers",
        ]);
        for (name, per_token) in [
            ("MLA: latent 512 + rope 64".to_owned(), mla),
            (format!("GQA: {groups} groups x ({d_k} + {d_v})"), of_heads(groups)),
            (format!("MHA: {heads} heads x ({d_k} + {d_v})"), of_heads(heads)),
        ] {
            let whole = per_token as u64 * self.tokens as u64 * LAYERS;
            table.add_row([
                name,
                table::thousands(per_token as u64),
                format!("{:.1} x", per_token as f64 / mla as f64),
                table::bytes(whole),
            ]);
        }
        writeln!(out, "{}", table.trim_fmt())
    }

    fn print_differences(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some(differences) = &self.differences else { return Ok(()) };
        let Differences { out: values, lse } = differences;
        writeln!(
            out,
            "against the f64 oracle, {} sampled rows: out {values}; lse {lse}",
            lse.elements,
        )?;
        if !differences.pass() {
            let (values, lse) = (values.failures, lse.failures);
            writeln!(out, "PAST THE TOLERANCE: {values} elements of out, {lse} of lse")?;
        }
        Ok(())
    }
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
