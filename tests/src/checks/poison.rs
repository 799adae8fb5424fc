//! NaN where attention does look.

use std::sync::Arc;

use anyhow::{Result, ensure};
use oxmla::Mask;

use crate::case::{Case, Lengths};
use crate::element::{NAN_BITS, widen};
use crate::inputs::Cache;
use crate::layout::{D_K, D_V};
use crate::scene::{PlacedCache, Scene};
use crate::session::Session;

/// The request whose cache holds a NaN.
const POISONED: usize = 1;

/// A NaN among a request's tokens makes its results NaN, and changes no bit of the others.
pub fn stays_in_its_request(session: &mut Session) -> Result<()> {
    let lengths = Lengths::Listed(vec![100, 200, 64, 700]);
    let case = Case { batch: 4, h_q: 64, lengths, mask: Mask::None, seed: 31, ..Case::default() };
    let device = session.device().clone();
    let run = |poison: bool| -> Result<_> {
        let pool = session.pool(case.dtype);
        let mut cache = Cache::new(&case, pool, 0);
        if poison {
            spoil_row(&mut cache);
        }
        let mut scene =
            Scene::new(&device, &case, pool, Arc::new(PlacedCache::new(&device, cache)?))?;
        scene.attend(&device, session.stream())?;
        scene.results()
    };
    let (clean, poisoned) = (run(false)?, run(true)?);
    for (request, head) in
        (0..case.batch).flat_map(|request| (0..case.h_q).map(move |head| (request, head)))
    {
        let row = |results: &crate::scene::Results| {
            let mut out = [0.0; D_V];
            widen(case.dtype, results.out.row([request, 0, head, 0]), &mut out);
            (out, results.lse.at([request, head, 0]))
        };
        let (out, lse) = row(&poisoned);
        if request == POISONED {
            let spread = lse.is_nan() && out.iter().all(|value| value.is_nan());
            ensure!(spread, "head {head} of the poisoned request does not show it");
        } else {
            ensure!(
                (out, lse) == row(&clean),
                "head {head} of request {request} is not what it was"
            );
        }
    }
    Ok(())
}

/// Token 70 of the request, all of it.
fn spoil_row(cache: &mut Cache) {
    let id = cache.table[POISONED * cache.max_blocks + 1];
    let start = cache.layout.offset([id as usize, 6, 0, 0]);
    cache.bits[start..start + D_K].fill(NAN_BITS);
}
