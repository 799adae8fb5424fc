//! candle-transformers' DeepSeek-V2 beside the same model with oxmla's attention: one set of random weights, two
//! implementations, the logits of both. Neither was written with a look at the other.
//!
//!     cargo run --manifest-path host/candle/Cargo.toml --example deepseek_v2

mod attention;
mod compare;
mod model;
mod weights;

use std::path::Path;

use anyhow::Result;

fn main() -> Result<()> {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deepseek_v2/configs");
    let prompt: Vec<u32> = (0..70).map(|i| i * 29 % 96).collect();
    for name in ["compressed.json", "direct.json"] {
        println!(
            "{name}: tokens, then token and first logits of candle and of oxmla, and their distance"
        );
        for outcome in compare::compare(&configs.join(name), &prompt, 32, 8)? {
            let (candle, oxmla) = outcome.choices();
            println!(
                "{:3}  {candle:2} {:8.4?}  {oxmla:2} {:8.4?}  {:.5}",
                outcome.tokens,
                &outcome.candle[..4],
                &outcome.oxmla[..4],
                outcome.distance()
            );
        }
    }
    Ok(())
}
