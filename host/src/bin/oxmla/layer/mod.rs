//! `oxmla layer`: the attention of one layer of a checkpoint, loaded and run: a prompt in chunks, then token by token.

mod run;

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use clap::value_parser;
use indicatif::{ProgressBar, ProgressStyle};
use oxmla::Device;
use oxmla::checkpoint::{Checkpoint, Progress};
use oxmla::layer::{HeadShard, MlaAttention};

use self::run::Run;
use crate::backend::{AttentionType, BackendArgs};
use crate::statistics::Summary;
use crate::{Verdict, table};

/// Arguments of `oxmla layer`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A Hugging Face checkpoint: config.json, and weights in safetensors files
    #[arg(value_name = "DIRECTORY")]
    checkpoint: PathBuf,
    /// Number of the layer
    #[arg(long, value_name = "N", default_value_t = 0)]
    layer: usize,
    /// Run the heads of this rank alone
    #[arg(long, value_name = "N", default_value_t = 0)]
    rank: usize,
    /// Ranks that the heads are divided among
    #[arg(long, value_name = "N", default_value_t = 1)]
    world: usize,
    /// Tokens of the prompt
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = value_parser!(u32).range(1..=1 << 20))]
    tokens: u32,
    /// Tokens of a chunk of the prompt
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = value_parser!(u32).range(1..=1 << 14))]
    chunk: u32,
    /// Tokens after the prompt, one by one
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = value_parser!(u32).range(1..=1 << 20))]
    steps: u32,
    /// Type of queries and cache
    #[arg(long, value_enum, default_value_t = AttentionType::Bf16)]
    dtype: AttentionType,
    #[command(flatten)]
    backend: BackendArgs,
}

/// Loads the layer and runs it.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Verdict> {
    let device = args.backend.open()?;
    let start = Instant::now();
    let layer = load(args, &device)?;
    let config = layer.config();
    writeln!(
        out,
        "layer {} of {} on {}: {} of {} heads, hidden size {}, {} of weights, loaded in {}",
        args.layer,
        args.checkpoint.display(),
        device.name(),
        layer.dims().h_q(),
        config.num_attention_heads,
        table::thousands(config.hidden_size as u64),
        table::bytes(layer.weight_bytes() as u64),
        table::duration(start.elapsed().as_secs_f64() * 1e6),
    )?;

    let (prompt, chunk) = (args.tokens as usize, args.chunk as usize);
    let mut run = Run::new(&layer, prompt + args.steps as usize, chunk.min(prompt))?;
    let mut prefill = 0.0;
    let mut rest = prompt;
    while rest > 0 {
        prefill += run.step(rest.min(chunk))?;
        rest -= rest.min(chunk);
    }
    let steps = (0..args.steps).map(|_| run.step(1)).collect::<Result<Vec<_>, _>>()?;
    let mut times = table::of_numbers(&["plan and layer", "tokens", "time"]);
    let prompt = table::thousands(prompt as u64);
    times.add_row(["prompt, in chunks", &prompt, &table::duration(prefill)]);
    if let Some(Summary { median, .. }) = Summary::of(&steps) {
        times.add_row(["one token, median", "1", &table::duration(median)]);
    }
    writeln!(out, "{times}")?;
    Ok(Verdict::Passed)
}

/// Loads the layer, with a bar on a terminal.
fn load(args: &Args, device: &Device) -> anyhow::Result<MlaAttention> {
    let shard = HeadShard::new(args.rank, args.world)?;
    let checkpoint = Checkpoint::open(&args.checkpoint)?;
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut progress = |Progress { done, total }| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    };
    let layer = checkpoint.attention(device, args.layer, args.dtype.into(), shard, &mut progress);
    bar.finish_and_clear();
    Ok(layer?)
}
