//! Simulates one CTA of dense decode, 64 rows and 8 blocks of 64 tokens, and draws what its warpgroups do when.
//!
//! `cargo xtask sim dense_decode_bf16 --trace`

use std::error::Error;

use half::{bf16, f16};
use oxmla_kernels::abi::{Cut, Reach};
use oxmla_kernels::decode::Variant;
use oxmla_kernels::launch::{DENSE_DECODE_BF16, DENSE_DECODE_F16};
use oxmla_kernels::simulate::{CachedTokens, DenseDecode, ElementType};
use oxmla_simt::Trace;

const USAGE: &str = "usage: timeline dense_decode_bf16|dense_decode_f16 [FILE.svg]";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let kernel = arguments.next().ok_or(USAGE)?;
    let element = match kernel.as_str() {
        name if name == DENSE_DECODE_BF16.name => ElementType::Bf16,
        name if name == DENSE_DECODE_F16.name => ElementType::F16,
        _ => return Err(USAGE.into()),
    };
    let trace = simulate(element)?;
    println!("{kernel}: breaks no rule; {} cycles of the cost model", trace.cycles());
    if let Some(path) = arguments.next() {
        let picture = trace.svg([0; 3]).ok_or("nothing was recorded")?;
        std::fs::write(&path, picture).map_err(|error| format!("writing {path}: {error}"))?;
        println!("wrote {path}");
    }
    Ok(())
}

fn simulate(element: ElementType) -> Result<Trace, Box<dyn Error>> {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut random = |n: usize| -> Vec<u16> {
        let bits = |x| match element {
            ElementType::Bf16 => bf16::from_f32(x).to_bits(),
            ElementType::F16 => f16::from_f32(x).to_bits(),
        };
        (0..n).map(|_| bits(rng.f32() - 0.5)).collect()
    };
    let (q, kv_cache) = (random(64 * 576), random(8 * 64 * 576));
    let (mut out, mut lse) = (vec![0; 64 * 512], vec![0.0; 64]);
    let step = DenseDecode {
        element,
        s_q: 1,
        h_q: 64,
        h_k: 1,
        lengths: &[512],
        block_size: 64,
        block_table: &[0, 1, 2, 3, 4, 5, 6, 7],
        q: &q,
        kv_cache: CachedTokens::Elements(&kv_cache),
        out: &mut out,
        lse: &mut lse,
        softmax_scale: 576f32.powf(-0.5),
        softcap: None,
        causal: false,
        parts: 1,
        cut: Cut::balanced(0),
        reach: Reach::ALL,
        variant: Variant::Dense,
    };
    Ok(step.run(|launch| launch.trace(true))?)
}
