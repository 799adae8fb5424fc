//! Planners and plans that serve more than one call.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use oxmla::{DType, Device, Mask, Planner, PlannerConfig, decode};

use crate::case::{Case, Lengths};
use crate::element::ElementPool;
use crate::inputs::Cache;
use crate::scene::{PlacedCache, Scene};
use crate::session::Session;

/// Blocks of every cache here: a planner serves caches of one size.
const BLOCKS: usize = 150;

fn scene(device: &Device, case: &Case, pool: &ElementPool, order: u64) -> Result<Scene> {
    let host = Cache::with_blocks(case, pool, order, BLOCKS);
    Scene::new(device, case, pool, Arc::new(PlacedCache::new(device, host)?))
}

/// Where blocks lie in the pool changes no bit of the result.
pub fn block_order(session: &mut Session) -> Result<()> {
    let case = Case {
        batch: 5,
        s_q: 2,
        h_k: 2,
        lengths: Lengths::Varied(700),
        mask: Mask::Causal,
        seed: 11,
        ..Case::default()
    };
    let [one, other] = [1, 2].map(|order| -> Result<_> {
        let mut scene = scene(session.device(), &case, session.pool(case.dtype), order)?;
        scene.attend(session.device(), session.stream())?;
        session.verify(&scene)?;
        scene.results()
    });
    ensure!(one?.same_bits(&other?), "another order of blocks gave other bits");
    Ok(())
}

/// One planner serves steps that grow and shrink in every direction, given to the device one after the other
/// without waiting: more of them than there is room for uploads on the way.
pub fn reuse(session: &mut Session) -> Result<()> {
    let step = |(batch, s_q, mask, lengths)| Case {
        batch,
        s_q,
        mask,
        lengths,
        h_q: 64,
        seed: 12,
        ..Case::default()
    };
    let cases = [
        (6, 2, Mask::Causal, Lengths::Varied(700)),
        (1, 1, Mask::None, Lengths::Fixed(1)),
        (6, 4, Mask::None, Lengths::Fixed(64)),
        (3, 1, Mask::Causal, Lengths::Listed(vec![0, 2000, 0])),
        (6, 2, Mask::Causal, Lengths::Fixed(0)),
        (2, 4, Mask::Causal, Lengths::Fixed(1999)),
    ]
    .map(step);
    let place = |case| scene(session.device(), case, session.pool(DType::Bf16), 0);
    let mut scenes = cases.iter().cycle().take(24).map(place).collect::<Result<Vec<_>>>()?;
    let largest = PlannerConfig {
        max_batch: 8,
        max_blocks_per_sequence: 40,
        max_s_q: 5,
        block_size: oxmla::BLOCK_SIZE,
        ..scenes[0].planner_config()?
    };
    let mut planner = Planner::new(session.device(), largest)?;
    let stream = session.stream().as_ref();
    for scene in &mut scenes {
        let plan = planner.plan(stream, scene.step()?)?;
        decode(&planner, &plan, stream, scene.args()?)?;
    }
    session.stream().synchronize()?;
    for scene in &scenes {
        session.verify(scene).with_context(|| scene.case.to_string())?;
    }
    Ok(())
}

/// One plan serves all layers of a step: each has its cache, queries and results, all share the table.
pub fn layers(session: &mut Session) -> Result<()> {
    let layer = |seed| {
        let lengths = Lengths::Listed(vec![130, 0, 999, 64]);
        let case = Case {
            batch: 4,
            s_q: 2,
            h_q: 128,
            lengths,
            mask: Mask::Causal,
            seed,
            ..Case::default()
        };
        scene(session.device(), &case, session.pool(case.dtype), 0)
    };
    let mut layers = [21, 22, 23].map(layer).into_iter().collect::<Result<Vec<_>>>()?;
    let mut planner = Planner::new(session.device(), layers[0].planner_config()?)?;
    let stream = session.stream().as_ref();
    let plan = planner.plan(stream, layers[0].step()?)?;
    for layer in &mut layers {
        decode(&planner, &plan, stream, layer.args()?)?;
    }
    session.stream().synchronize()?;
    for (index, layer) in layers.iter().enumerate() {
        ensure!(
            layer.cache.host.table == layers[0].cache.host.table,
            "layers with different tables"
        );
        session.verify(layer).with_context(|| format!("layer {index}"))?;
    }
    Ok(())
}

/// A step without requests is a step, and writes nothing.
pub fn empty_batch(session: &mut Session) -> Result<()> {
    let case = Case { batch: 0, ..Case::default() };
    let mut scene = scene(session.device(), &case, session.pool(case.dtype), 0)?;
    let config = PlannerConfig { max_batch: 3, ..scene.planner_config()? };
    let mut planner = Planner::new(session.device(), config)?;
    scene.attend_with(&mut planner, session.stream())?;
    ensure!(scene.out.is_untouched()? && scene.lse.is_untouched()?, "something was written");
    Ok(())
}
