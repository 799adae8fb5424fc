//! Every kernel for dense decode gives the same, right bits.

use anyhow::{Context, Result, ensure};
use oxmla::{DType, Location, Mask, Planner, Variant};

use crate::case::{Case, Lengths};
use crate::session::Session;

/// Rows in full pairs of tiles and with padding, several lists of them, masks, requests without tokens, in one piece,
/// shared by neighbouring parts and by many.
fn cases(gpu: bool) -> Vec<Case> {
    let longest = if gpu { 5_000 } else { 140 };
    let lengths = Lengths::Listed(vec![longest, 0, 65, longest / 2]);
    let case = Case { batch: 4, h_q: 128, lengths, seed: 83, ..Case::default() };
    let one = Case { batch: 1, lengths: Lengths::Fixed(longest), ..case.clone() };
    let mut cases = vec![
        Case { s_q: 3, h_q: 40, mask: Mask::Causal, ..case.clone() },
        Case { dtype: DType::F16, ..one },
    ];
    let windowed = Case { s_q: 3, h_q: 40, mask: Mask::Causal.within(70), ..case.clone() };
    cases.extend([
        Case { softcap: Some(2.0), ..windowed.clone() },
        Case { block_size: 16, ..windowed.clone() },
        windowed,
        Case { s_q: 2, block_size: 128, ..case.clone() },
    ]);
    if gpu {
        cases.extend([
            Case { s_q: 2, mask: Mask::Causal, ..case.clone() },
            Case { h_q: 256, h_k: 2, ..case.clone() },
            Case { h_q: 256, h_k: 2, block_size: 32, ..case.clone() },
            Case { s_q: 2, mask: Mask::Causal.within(1030), softcap: Some(30.0), ..case.clone() },
            Case { batch: 150, lengths: Lengths::Varied(700), ..case },
        ]);
    }
    cases
}

/// Each case with each of them.
pub fn agree(session: &mut Session) -> Result<()> {
    let gpu = matches!(session.device().location(), Location::Cuda { .. });
    for case in cases(gpu) {
        let mut scene = session.scene(&case)?;
        let mut planner = Planner::new(session.device(), scene.planner_config()?)?;
        let mut first = None;
        for variant in [Variant::Dense, Variant::Pair] {
            let place = || format!("{variant:?} of {case:?}");
            planner.prefer(Some(variant));
            scene.out.refill()?;
            scene.lse.refill()?;
            scene.attend_with(&mut planner, session.stream())?;
            session.verify(&scene).with_context(place)?;
            let results = scene.results()?;
            let first = first.get_or_insert_with(|| results.clone());
            ensure!(first.same_bits(&results), "other bits from {}", place());
        }
    }
    Ok(())
}
