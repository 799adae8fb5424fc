//! `oxmla demo`: the main job. A batch of requests goes through cache append, plan and decode, step by step,
//! and samples of the result are held against the oracle.

mod batch;
mod oracle;
mod report;

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::value_parser;
use indicatif::{ProgressBar, ProgressStyle};
use oxmla::{
    Buffer, CacheLayout, DType, Decode, Device, Mask, MlaDims, Planner, PlannerConfig, Step,
    Stream, decode,
};
use rand_chacha::rand_core::SeedableRng;

use self::batch::Batch;
use self::oracle::Differences;
use self::report::Report;
use crate::backend::BackendArgs;
use crate::elements::{self, Rng};
use crate::{Verdict, table};

/// Of DeepSeek-V3: queries and keys of a head have 128 + 64 dimensions before absorption.
const SOFTMAX_SCALE: f32 = 0.072_168_78;
const DTYPE: DType = DType::Bf16;

/// Arguments of `oxmla demo`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    backend: BackendArgs,
    /// Requests [default: 16 on the CPU, 128 on a GPU, 3 on the simulator]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=65_536))]
    batch: Option<u32>,
    /// Mean length of a prompt, in tokens; lengths are between a quarter and seven quarters of it
    /// [default: 2048 on the CPU, 4096 on a GPU, 200 on the simulator]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1 << 24))]
    tokens: Option<u32>,
    /// Decode steps; each appends one token to every request [default: 16, 4 on the simulator]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1 << 20))]
    steps: Option<u32>,
    /// Query heads; DeepSeek-V3 has 128
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = value_parser!(u32).range(1..=1 << 16))]
    heads: u32,
    /// Seed of prompts and queries
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// What is done unless the arguments say otherwise: a few seconds of work.
struct Defaults {
    requests: u32,
    tokens: u32,
    steps: u32,
}

impl Defaults {
    const fn of(device: &Device) -> Self {
        match device {
            Device::Cpu(_) => Self { requests: 16, tokens: 2048, steps: 16 },
            Device::Sim(_) => Self { requests: 3, tokens: 200, steps: 4 },
            _ => Self { requests: 128, tokens: 4096, steps: 16 },
        }
    }
}

/// How long the parts of one step took.
struct StepTime {
    append: Duration,
    plan: Duration,
    decode: Duration,
}

/// Runs the demo.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Verdict> {
    let device = args.backend.open()?;
    let defaults = Defaults::of(&device);
    let requests = args.batch.unwrap_or(defaults.requests) as usize;
    let tokens = args.tokens.unwrap_or(defaults.tokens) as usize;
    let steps = args.steps.unwrap_or(defaults.steps);
    let mut rng = Rng::seed_from_u64(args.seed);

    let dims = MlaDims::new(args.heads, 1)?;
    let layout = CacheLayout::new(dims, DTYPE, oxmla::BLOCK_SIZE)?;
    let lengths = batch::prompt_lengths(requests, tokens, &mut rng);
    let batch = Batch::admit(&device, layout, &lengths, steps as usize, &mut rng)
        .context("filling the cache with the prompts")?;
    writeln!(
        out,
        "{requests} requests of {} to {} tokens on {}, {} query heads; {} cached tokens in {} blocks",
        lengths.iter().min().unwrap_or(&0),
        lengths.iter().max().unwrap_or(&0),
        device.name(),
        args.heads,
        table::thousands(lengths.iter().sum::<usize>() as u64),
        batch.blocks(),
    )?;
    let report = Engine::new(device, dims, batch)?.run(steps, &mut rng)?;
    report.print(out)?;
    Ok(report.verdict())
}

/// Everything that one layer of a runtime keeps between steps.
struct Engine {
    dims: MlaDims,
    batch: Batch,
    planner: Planner,
    stream: Stream,
    q: Buffer,
    out: Buffer,
    lse: Buffer,
}

impl Engine {
    fn new(device: Device, dims: MlaDims, batch: Batch) -> anyhow::Result<Self> {
        let query_rows = batch.requests() * dims.h_q() as usize;
        let config = PlannerConfig {
            dims,
            dtype: DTYPE,
            max_batch: batch.requests(),
            max_blocks_per_sequence: batch.blocks_per_sequence(),
            max_s_q: 1,
            block_size: oxmla::BLOCK_SIZE,
            blocks_in_cache: batch.blocks(),
        };
        Ok(Self {
            dims,
            planner: Planner::new(&device, config)?,
            stream: device.stream()?,
            q: device.alloc(query_rows * dims.d_qk() as usize * DTYPE.size())?,
            out: device.alloc(query_rows * dims.d_v() as usize * DTYPE.size())?,
            lse: device.alloc(query_rows * DType::F32.size())?,
            batch,
        })
    }

    fn run(mut self, steps: u32, rng: &mut Rng) -> anyhow::Result<Report> {
        let progress = progress_bar(steps);
        let mut report = Report::new(self.dims, self.batch.requests());
        for step in 0..steps {
            let queries = elements::random(DTYPE, self.q.len_bytes() / DTYPE.size(), rng);
            self.q.write(0, bytemuck::cast_slice(&queries))?;
            let time = self.step().with_context(|| format!("step {step}"))?;
            let differences = self.check(&queries, rng).context("comparing with the oracle")?;
            report.add(&time, self.batch.tokens(), &differences);
            progress.inc(1);
        }
        progress.finish_and_clear();
        Ok(report)
    }

    /// One step of one layer: the new tokens' rows into the cache, the plan, the attention.
    fn step(&mut self) -> oxmla::Result<StepTime> {
        let start = Instant::now();
        self.batch.append_one_token_each()?;
        let appended = Instant::now();
        let table = self.batch.table()?;
        let plan = self.planner.plan(self.stream.as_ref(), Step::new(&table, 1, Mask::Causal))?;
        let planned = Instant::now();

        let (batch, h_q) = (self.batch.requests(), self.dims.h_q() as usize);
        let args = Decode {
            q: self.q.view(DTYPE, &[batch, 1, h_q, self.dims.d_qk() as usize])?,
            kv_cache: self.batch.cache().view(),
            out: self.out.view_mut(DTYPE, &[batch, 1, h_q, self.dims.d_v() as usize])?,
            lse: self.lse.view_mut(DType::F32, &[batch, h_q, 1])?,
            softmax_scale: SOFTMAX_SCALE,
            softcap: None,
        };
        decode(&self.planner, &plan, self.stream.as_ref(), args)?;
        self.stream.synchronize()?;
        Ok(StepTime {
            append: appended - start,
            plan: planned - appended,
            decode: planned.elapsed(),
        })
    }

    /// Compares a few heads of one request, drawn at random, with the oracle.
    fn check(&self, queries: &[u16], rng: &mut Rng) -> oxmla::Result<Differences> {
        let sample = oracle::Sample::draw(self.batch.requests(), self.dims, rng);
        let expected = sample.attend(&self.batch, queries, SOFTMAX_SCALE)?;
        sample.compare(&self.out, &self.lse, &expected)
    }
}

/// A bar on standard error, if that is a terminal.
fn progress_bar(steps: u32) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} step {pos} of {len}, {eta} left");
    let bar = ProgressBar::new(steps.into());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
