//! Attention layers out of a Hugging Face checkpoint, of one rank of several: what they take, and how long it takes.
//!
//!     cargo run --release --features checkpoint --example 04_checkpoint -- DIRECTORY [LAYER [RANK WORLD]]
//!
//! Without a directory it loads one of the small checkpoints that the tests have.

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use oxmla::checkpoint::{Checkpoint, Progress};
use oxmla::layer::HeadShard;
use oxmla::{DType, Device};

const SMALL: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/layer/compressed_yarn_bf16");

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: usize| match arguments.get(index) {
        Some(text) => text.parse::<usize>(),
        None => Ok(default),
    };
    let directory = arguments.first().map_or(SMALL, String::as_str);
    let layer = number(1, 1)?;
    let shard = HeadShard::new(number(2, 0)?, number(3, 1)?)?;

    let checkpoint = Checkpoint::open(directory)?;
    let config = checkpoint.config();
    println!("{directory}: {} layers, {config:#?}", checkpoint.layers());
    println!("softmax scale {}", config.softmax_scale());

    let start = Instant::now();
    let mut bar = |Progress { done, total }| {
        print!("\rlayer {layer}: {done} of {total} bytes");
        // What cannot be shown is not worth an error.
        let _ = std::io::stdout().flush();
    };
    let loaded = checkpoint.attention(&Device::cpu(), layer, DType::Bf16, shard, &mut bar)?;
    println!("\n{} heads in {:.3} s", loaded.dims().h_q(), start.elapsed().as_secs_f64());
    Ok(())
}
