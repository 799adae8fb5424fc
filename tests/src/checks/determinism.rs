//! The same bits again, and next to whichever neighbours.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use oxmla::{Location, Mask, Planner, PlannerConfig};

use crate::case::{Case, Lengths};
use crate::inputs::{Cache, Queries};
use crate::scene::{PlacedCache, Results, Scene};
use crate::session::Session;

/// Tokens of the requests that batches are put together from, where there is no GPU. Shared out evenly among four
/// parts, the longest is split after other blocks in a batch than alone.
const LENGTHS: [i32; 4] = [350, 0, 65, 200];
/// How many times as many a GPU gets: more pieces than it has parts.
const GPU_FACTOR: i32 = 16;
/// Each request alone, then the longest first, in the middle and last.
const BATCHES: [&[usize]; 7] = [&[0], &[1], &[2], &[3], &[0, 3, 1], &[2, 1, 0, 3], &[3, 2, 0]];
/// Tokens of a piece: the fewest; two blocks; more than any request has where there is no GPU.
const PIECES: [u32; 3] = [64, 128, 512];

/// With pieces of a fixed length, a request has the same bits alone and at any place of any batch, the right ones.
pub fn neighbours(session: &mut Session) -> Result<()> {
    let stock = Stock::new(session);
    for tokens in PIECES {
        let mut planner = Planner::deterministic(session.device(), stock.config()?, tokens)?;
        let mut alone = Vec::new();
        for requests in BATCHES {
            let place = || format!("requests {requests:?} in pieces of {tokens} tokens");
            let mut scene = stock.scene(session, requests)?;
            scene.attend_with(&mut planner, session.stream())?;
            session.verify(&scene).with_context(place)?;
            let results = scene.results()?;
            if let [_] = requests {
                alone.push(results);
                continue;
            }
            for (index, &request) in requests.iter().enumerate() {
                let same = stock.same_bits((&results, index), (&alone[request], 0));
                ensure!(same, "request {request} is not as it is alone among {}", place());
            }
        }
    }
    Ok(())
}

/// The same step gives the same bits, with either planner and another step in between.
pub fn repetition(session: &mut Session) -> Result<()> {
    let stock = Stock::new(session);
    let balanced = Planner::new(session.device(), stock.config()?)?;
    let fixed = Planner::deterministic(session.device(), stock.config()?, 128)?;
    let [.., batch, other] = BATCHES;
    let (mut scene, mut other) = (stock.scene(session, batch)?, stock.scene(session, other)?);
    for (mut planner, name) in [(balanced, "balanced"), (fixed, "fixed")] {
        scene.attend_with(&mut planner, session.stream())?;
        session.verify(&scene).context(name)?;
        let first = scene.results()?;
        other.attend_with(&mut planner, session.stream())?;
        scene.out.refill()?;
        scene.lse.refill()?;
        scene.attend_with(&mut planner, session.stream())?;
        ensure!(first.same_bits(&scene.results()?), "{name}: the second run gave other bits");
    }
    Ok(())
}

/// Requests, for batches that have some of them in some order.
struct Stock {
    case: Case,
    cache: Cache,
    queries: Queries,
}

impl Stock {
    fn new(session: &Session) -> Self {
        let (h_q, factor) = match session.device().location() {
            Location::Host => (16, 1),
            Location::Cuda { .. } => (128, GPU_FACTOR),
        };
        let lengths = Lengths::Listed(LENGTHS.map(|length| length * factor).to_vec());
        let (batch, s_q, mask) = (LENGTHS.len(), 2, Mask::Causal);
        let case = Case { batch, s_q, h_q, mask, lengths, seed: 71, ..Case::default() };
        let pool = session.pool(case.dtype);
        let (cache, queries) = (Cache::new(&case, pool, 0), Queries::new(&case, pool));
        Self { case, cache, queries }
    }

    /// For all batches.
    fn config(&self) -> Result<PlannerConfig> {
        Ok(PlannerConfig {
            dims: self.case.dims()?,
            dtype: self.case.dtype,
            max_batch: self.case.batch,
            max_blocks_per_sequence: self.cache.max_blocks,
            max_s_q: self.case.s_q as u32,
            block_size: oxmla::BLOCK_SIZE,
            blocks_in_cache: self.cache.blocks(),
        })
    }

    /// A batch of `requests`, which bring their queries and keep their places in the cache.
    fn scene(&self, session: &Session, requests: &[usize]) -> Result<Scene> {
        let Cache { lengths, table, max_blocks, .. } = &self.cache;
        let lengths: Vec<i32> = requests.iter().map(|&request| lengths[request]).collect();
        let listed = Lengths::Listed(lengths.clone());
        let case = Case { batch: requests.len(), lengths: listed, ..self.case.clone() };
        let table = of_requests(table, *max_blocks, requests);
        let host = Cache { lengths, table, ..self.cache.clone() };
        let device = session.device();
        let cache = Arc::new(PlacedCache::new(device, host)?);
        let mut scene = Scene::new(device, &case, session.pool(case.dtype), cache)?;
        let Queries { layout, bits } = &self.queries;
        scene.queries.bits = of_requests(bits, layout.strides[0], requests);
        scene.q.write(0, bytemuck::cast_slice(&scene.queries.bits))?;
        Ok(scene)
    }

    /// Whether two requests, each given by the results of its batch and its index there, have the same results.
    fn same_bits(&self, one: (&Results, usize), other: (&Results, usize)) -> bool {
        let Case { s_q, h_q, .. } = self.case;
        let rows = || (0..s_q).flat_map(move |token| (0..h_q).map(move |head| (token, head)));
        rows().all(|(token, head)| {
            let row = |(results, request): (&Results, usize)| {
                let lse = results.lse.at([request, head, token]).to_bits();
                (results.out.row([request, token, head, 0]).to_vec(), lse)
            };
            row(one) == row(other)
        })
    }
}

/// The rows of `requests`, of a tensor without gaps that has `width` elements for each request.
fn of_requests<T: Copy>(elements: &[T], width: usize, requests: &[usize]) -> Vec<T> {
    requests.iter().flat_map(|request| &elements[request * width..][..width]).copied().collect()
}
