//! A whole layer: what a device makes of it beside what the CPU does.

#[cfg(feature = "gpu")]
mod gpu;
mod model;
mod near;
mod runner;

use anyhow::{Context, Result, ensure};
use oxmla::layer::{HeadShard, MlaAttention, MlaConfig};
use oxmla::{DType, Device, Stream};

#[cfg(feature = "gpu")]
pub use self::gpu::{allocations, model_sizes, replayed_steps};
use self::model::Model;
use self::near::ensure_near;
use self::runner::Runner;
use crate::session::Session;

/// Most tokens of a step of these checks.
const TOKENS: usize = 70;

/// What requests do with a layer, and what comes out: of every step, and what the cache holds in the end.
type Script = fn(&mut Runner<'_>) -> Result<Vec<Vec<u16>>>;

/// Two of the smallest layers that kernels take: with and without compressed queries, all heads and one rank's.
fn small_models() -> Result<[Model; 2]> {
    let config = MlaConfig {
        hidden_size: 72,
        num_attention_heads: 6,
        q_lora_rank: Some(40),
        qk_nope_head_dim: 16,
        v_head_dim: 24,
        ..MlaConfig::deepseek_v3()
    };
    let direct = MlaConfig { q_lora_rank: None, num_attention_heads: 2, ..config.clone() };
    Ok([
        Model::new(config, DType::Bf16, HeadShard::new(1, 2)?, 1),
        Model::new(direct, DType::F16, HeadShard::WHOLE, 2),
    ])
}

/// Requests with one new token, then with three.
pub fn decode(session: &mut Session) -> Result<()> {
    small_models()?.iter().try_for_each(|model| check(session, model, decode_script))
}

/// A prompt in chunks.
pub fn prefill(session: &mut Session) -> Result<()> {
    small_models()?.iter().try_for_each(|model| check(session, model, prefill_script))
}

/// Prompts, then token by token, two requests beside each other.
pub fn steps(session: &mut Session) -> Result<()> {
    small_models()?.iter().try_for_each(|model| check(session, model, steps_script))
}

fn decode_script(runner: &mut Runner<'_>) -> Result<Vec<Vec<u16>>> {
    runner.fill(7)?;
    let mut requests: Vec<_> = (0..5).map(|_| runner.pool.sequence()).collect();
    for (request, length) in requests.iter_mut().zip([1, 64, 65, 250, 130]) {
        let _ = runner.pool.append(request, length)?;
    }
    let first = runner.step(&requests.iter().collect::<Vec<_>>(), 1, 8)?;
    for request in &mut requests {
        let _ = runner.pool.append(request, 3)?;
    }
    // Of the youngest, the first of three tokens does not exist.
    requests.push(runner.pool.sequence());
    let _ = runner.pool.append(&mut requests[5], 2)?;
    let second = runner.step(&requests.iter().collect::<Vec<_>>(), 3, 9)?;
    let width = second.len() / 18;
    let missing = &second[15 * width..16 * width];
    ensure!(missing.iter().all(|bits| bits & 0x7fff == 0), "a token that is not there has output");
    requests.into_iter().try_for_each(|request| runner.pool.free(request))?;
    Ok(vec![first, second])
}

fn prefill_script(runner: &mut Runner<'_>) -> Result<Vec<Vec<u16>>> {
    let mut request = runner.pool.sequence();
    let mut results = Vec::new();
    for (seed, chunk) in [70, 3, 64, 1, 66].into_iter().enumerate() {
        let _ = runner.pool.append(&mut request, chunk)?;
        results.push(runner.step(&[&request], chunk, seed as u64)?);
    }
    runner.pool.free(request)?;
    results.push(runner.cache()?);
    Ok(results)
}

fn steps_script(runner: &mut Runner<'_>) -> Result<Vec<Vec<u16>>> {
    let mut requests = [runner.pool.sequence(), runner.pool.sequence()];
    let mut results = Vec::new();
    for (request, prompt) in requests.iter_mut().zip([61, 20]) {
        let _ = runner.pool.append(request, prompt)?;
        results.push(runner.step(&[&*request], prompt, prompt as u64)?);
    }
    for seed in 1..6 {
        for request in &mut requests {
            let _ = runner.pool.append(request, 1)?;
        }
        let [first, second] = &requests;
        results.push(runner.step(&[first, second], 1, seed)?);
    }
    requests.into_iter().try_for_each(|request| runner.pool.free(request))?;
    results.push(runner.cache()?);
    Ok(results)
}

/// Runs a script twice on the session's device, and once on the CPU.
fn check(session: &mut Session, model: &Model, script: Script) -> Result<()> {
    let name = format!("{} of {} hidden", model.dtype, model.config.hidden_size);
    let run =
        |layer: &MlaAttention, stream: &Stream| script(&mut Runner::new(layer, stream, TOKENS)?);
    let layer = model.layer(session.device())?;
    let first = run(&layer, session.stream()).with_context(|| name.clone())?;
    ensure!(first == run(&layer, session.stream())?, "{name}: the second run gave other bits");
    let expected = run(&model.layer(&Device::cpu())?, &Device::cpu().stream()?)?;
    ensure!(first.len() == expected.len(), "{name}: {} results", first.len());
    let mut worst: f64 = 0.0;
    for (index, (got, expected)) in first.iter().zip(&expected).enumerate() {
        let name = format!("{name}, result {index}");
        worst = worst.max(ensure_near(model.dtype, got, expected, &name)?);
    }
    session.note("share_of_tolerance", worst);
    Ok(())
}
