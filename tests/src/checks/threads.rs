//! Several threads, one device.

use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use oxmla::{Device, Mask};

use crate::case::{Case, Lengths};
use crate::scene::Scene;
use crate::session::Session;

/// Threads with planners and streams of their own do not disturb each other.
pub fn independent(session: &mut Session) -> Result<()> {
    const ROUNDS: usize = 20;
    let cases = [1, 2].map(|seed| Case {
        batch: 7,
        s_q: 2,
        h_q: 128,
        lengths: Lengths::Varied(600),
        mask: Mask::Causal,
        seed: 40 + seed,
        ..Case::default()
    });
    let mut scenes = cases.iter().map(|case| session.scene(case)).collect::<Result<Vec<_>>>()?;
    let device = session.device();
    thread::scope(|scope| {
        let running: Vec<_> =
            scenes.iter_mut().map(|scene| scope.spawn(|| repeat(device, scene, ROUNDS))).collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
    })?;
    for scene in &scenes {
        session.verify(scene).with_context(|| scene.case.to_string())?;
    }
    Ok(())
}

fn repeat(device: &Device, scene: &mut Scene, rounds: usize) -> Result<()> {
    let stream = device.stream()?;
    scene.attend(device, &stream)?;
    let first = scene.results()?;
    for round in 1..rounds {
        scene.attend(device, &stream)?;
        ensure!(scene.results()?.same_bits(&first), "round {round} gave other bits");
    }
    Ok(())
}
