//! Draws what the warpgroups of dense decode do when: one CTA, 64 rows, 8 blocks of 64 tokens.
//!
//! `cargo run -p oxmla-kernels --features simt --release --example timeline -- dense-decode.svg`

use oxmla_kernels::simulate::{DenseDecode, ElementType};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: timeline FILE.svg")?;
    let mut rng = fastrand::Rng::with_seed(1);
    let mut random = |n: usize| -> Vec<u16> {
        (0..n).map(|_| half::bf16::from_f32(rng.f32() - 0.5).to_bits()).collect()
    };
    let (q, kv_cache) = (random(64 * 576), random(8 * 64 * 576));
    let (mut out, mut lse) = (vec![0; 64 * 512], vec![0.0; 64]);
    let step = DenseDecode {
        element: ElementType::Bf16,
        s_q: 1,
        h_q: 64,
        h_k: 1,
        lengths: &[512],
        block_table: &[0, 1, 2, 3, 4, 5, 6, 7],
        q: &q,
        kv_cache: &kv_cache,
        out: &mut out,
        lse: &mut lse,
        softmax_scale: 576f32.powf(-0.5),
        causal: false,
        parts: 1,
    };
    let trace = step.run(|launch| launch.trace(true))?;
    let picture = trace.svg([0; 3]).ok_or("nothing was recorded")?;
    std::fs::write(&path, picture)?;
    println!("{path}: {} cycles of the cost model", trace.cycles());
    Ok(())
}
