//! What only a GPU can show of a layer.

use allocation_counter::measure;
use anyhow::{Result, bail, ensure};
use oxmla::backend::cuda::graph::Graph;
use oxmla::layer::{HeadShard, MlaConfig};
use oxmla::{DType, Device};

use super::model::Model;
use super::near::ensure_near;
use super::runner::Runner;
use super::{TOKENS, check, decode_script, prefill_script, small_models, steps_script};
use crate::session::Session;

/// DeepSeek-V2-Lite's layer, and what one of eight ranks has of DeepSeek-V3's.
pub fn model_sizes(session: &mut Session) -> Result<()> {
    let lite = MlaConfig {
        hidden_size: 2048,
        num_attention_heads: 16,
        q_lora_rank: None,
        ..MlaConfig::deepseek_v3()
    };
    let models = [
        Model::new(lite.clone(), DType::Bf16, HeadShard::WHOLE, 3),
        Model::new(lite, DType::F16, HeadShard::WHOLE, 4),
        Model::new(MlaConfig::deepseek_v3(), DType::Bf16, HeadShard::new(3, 8)?, 5),
    ];
    for model in &models {
        for script in [decode_script, prefill_script, steps_script] {
            check(session, model, script)?;
        }
    }
    Ok(())
}

/// A layer captured once follows lengths, blocks and hidden states of the steps after it.
pub fn replayed_steps(session: &mut Session) -> Result<()> {
    let Device::Cuda(device) = session.device() else {
        bail!("{} captures no graphs", session.device().name())
    };
    let (stream, no_stream) = (session.stream(), Device::cpu().stream()?);
    for model in &small_models()? {
        let (gpu, cpu) = (model.layer(session.device())?, model.layer(&Device::cpu())?);
        let mut runner = Runner::new(&gpu, stream, TOKENS)?;
        let mut reference = Runner::new(&cpu, &no_stream, TOKENS)?;
        let (mut request, mut expected) = (runner.pool.sequence(), reference.pool.sequence());
        let mut graph = None;
        for (step, new) in [60, 1, 1, 1, 1, 1, 1].into_iter().enumerate() {
            let _ = runner.pool.append(&mut request, new)?;
            let _ = reference.pool.append(&mut expected, new)?;
            runner.set_hidden(new, step as u64)?;
            let plan = runner.plan(&[&request], new)?;
            if new > 1 {
                runner.forward(&plan)?;
            } else if graph.is_none() {
                let work = || runner.forward(&plan);
                graph = Some(Graph::capture(device, stream.as_ref(), work)?);
            }
            if let Some(graph) = &graph {
                // SAFETY: layer and runner outlive the step, which is waited for, and nobody else uses their memory.
                unsafe { graph.launch(stream.as_ref())? };
            }
            let (got, expected) =
                (runner.output(new)?, reference.step(&[&expected], new, step as u64)?);
            ensure_near(model.dtype, &got, &expected, &format!("step {step}"))?;
        }
        runner.pool.free(request)?;
        reference.pool.free(expected)?;
    }
    Ok(())
}

/// A run allocates nothing on the host.
pub fn allocations(session: &mut Session) -> Result<()> {
    for model in &small_models()? {
        let layer = model.layer(session.device())?;
        let mut runner = Runner::new(&layer, session.stream(), TOKENS)?;
        runner.set_hidden(3, 1)?;
        let mut request = runner.pool.sequence();
        let _ = runner.pool.append(&mut request, 100)?;
        let plan = runner.plan(&[&request], 3)?;
        runner.forward(&plan)?;
        let mut outcome = Ok(());
        let counted = measure(|| outcome = (0..20).try_for_each(|_| runner.forward(&plan)));
        outcome?;
        session.stream().synchronize()?;
        let count = counted.count_total;
        ensure!(count == 0, "20 runs of a layer made {count} allocations");
        runner.pool.free(request)?;
    }
    Ok(())
}
