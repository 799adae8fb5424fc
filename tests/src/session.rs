//! A device that cases are run on, one after the other.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use anyhow::{Result, ensure};
use oxmla::{DType, Device, Stream};

use crate::case::{Case, Lengths, Views};
use crate::element::ElementPool;
use crate::inputs::Cache;
use crate::random::hash;
use crate::scene::{PlacedCache, Scene};
use crate::verify::{self, Cached, Errors};

/// What decides a cache.
type CacheKey = (DType, [usize; 3], Lengths, Views, u64, Option<usize>);

/// A device, and what cases share.
#[derive(Debug)]
pub struct Session {
    device: Device,
    stream: Stream,
    bf16: ElementPool,
    f16: ElementPool,
    budget: usize,
    /// The last cache: caches are the large part of a case, and neighbours in the grid share them.
    cache: Option<(CacheKey, Arc<PlacedCache>)>,
    /// What the check that runs has measured.
    figures: BTreeMap<&'static str, f64>,
}

impl Session {
    /// A session on `device`, whose cases may cost the oracle `budget` pairs of a query row and a token each.
    ///
    /// # Errors
    /// If the device gives no stream.
    pub fn new(device: Device, budget: usize) -> Result<Self> {
        let stream = device.stream()?;
        let [bf16, f16] = [DType::Bf16, DType::F16].map(ElementPool::new);
        Ok(Self { device, stream, bf16, f16, budget, cache: None, figures: BTreeMap::new() })
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// A stream of it.
    #[must_use]
    pub const fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Random elements.
    #[must_use]
    pub fn pool(&self, dtype: DType) -> &ElementPool {
        if dtype == DType::F16 { &self.f16 } else { &self.bf16 }
    }

    /// The tensors of a case, on the device.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn scene(&mut self, case: &Case) -> Result<Scene> {
        let cache = self.cache(case)?;
        Scene::new(&self.device, case, self.pool(case.dtype), cache)
    }

    /// Runs a case twice: results must be right, the same bits both times, and nothing else written.
    ///
    /// # Errors
    /// What is wrong.
    pub fn run(&mut self, case: &Case) -> Result<Errors> {
        let mut scene = self.scene(case)?;
        scene.attend(&self.device, &self.stream)?;
        let results = scene.results()?;
        let errors = verify::verify(&scene, &results, self.budget, Cached::Elements)?;
        scene.out.refill()?;
        scene.lse.refill()?;
        scene.attend(&self.device, &self.stream)?;
        ensure!(results.same_bits(&scene.results()?), "the second run gave other bits");
        Ok(errors)
    }

    /// Compares what a scene holds with the oracle.
    ///
    /// # Errors
    /// What is wrong.
    pub fn verify(&self, scene: &Scene) -> Result<Errors> {
        verify::verify(scene, &scene.results()?, self.budget, Cached::Elements)
    }

    /// Compares what a scene holds, attended to over an FP8 cache of its tokens, with the oracle.
    ///
    /// # Errors
    /// What is wrong.
    pub fn verify_over_fp8(&self, scene: &Scene) -> Result<Errors> {
        verify::verify(scene, &scene.results()?, self.budget, Cached::Fp8)
    }

    /// Notes what the check that runs has measured, by name and unit.
    pub fn note(&mut self, name: &'static str, value: f64) {
        self.figures.insert(name, value);
    }

    /// What has been noted, to forget it.
    pub(crate) fn take_figures(&mut self) -> BTreeMap<&'static str, f64> {
        mem::take(&mut self.figures)
    }

    fn cache(&mut self, case: &Case) -> Result<Arc<PlacedCache>> {
        let Case { dtype, batch, h_k, lengths, block_size, views, seed, mask, s_q, .. } = case;
        // What a window hides is poisoned.
        let reach = mask.window().map(|window| window as usize + s_q);
        let sizes = [*batch, *h_k, *block_size];
        let key = (*dtype, sizes, lengths.clone(), *views, *seed, reach);
        if let Some((cached, cache)) = &self.cache
            && *cached == key
        {
            return Ok(Arc::clone(cache));
        }
        // The old one first, so that there is never memory for two.
        self.cache = None;
        let host = Cache::new(case, self.pool(*dtype), hash(*seed, 0));
        let cache = Arc::new(PlacedCache::new(&self.device, host)?);
        self.cache = Some((key, Arc::clone(&cache)));
        Ok(cache)
    }
}
