//! The requests of the demo, and their cache.

use bytemuck::cast_slice;
use half::bf16;
use oxmla::{BlockPool, BlockTable, CacheLayout, Device, LatentCache, Result, Sequence};
use rand_distr::{Distribution, Uniform};

use crate::elements::{self, Rng};

/// Tokens of a prompt that are appended at a time, one request after the other, as a runtime does that
/// prefills in chunks. So the blocks of a request do not lie side by side.
const CHUNK: usize = 256;
/// Random rows to draw from: more than enough for no two requests to look alike.
const ROWS: usize = 16 * CHUNK + 1;

/// Requests that are being decoded.
pub struct Batch {
    pool: BlockPool,
    cache: LatentCache,
    sequences: Vec<Sequence>,
    blocks_per_sequence: usize,
    rows: Rows,
}

/// Lengths of `requests` prompts, evenly spread from a quarter to seven quarters of `mean`.
pub fn prompt_lengths(requests: usize, mean: usize, rng: &mut Rng) -> Vec<usize> {
    let (least, most) = (mean.div_ceil(4), mean + mean * 3 / 4);
    match Uniform::new_inclusive(least, most) {
        Ok(lengths) => lengths.sample_iter(rng).take(requests).collect(),
        Err(_) => vec![mean; requests],
    }
}

impl Batch {
    /// Prefills a cache with prompts of `lengths` tokens. It has room for `steps` more tokens of each.
    pub fn admit(
        device: &Device,
        layout: CacheLayout,
        lengths: &[usize],
        steps: usize,
        rng: &mut Rng,
    ) -> Result<Self> {
        let blocks_of = |&length: &usize| (length + steps).div_ceil(layout.block_size());
        let pool = BlockPool::new(lengths.iter().map(blocks_of).sum())?;
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut batch = Self {
            cache: LatentCache::new(device, layout, pool.capacity())?,
            sequences: lengths.iter().map(|_| pool.sequence()).collect(),
            blocks_per_sequence: blocks_of(&longest),
            rows: Rows::random(layout, rng),
            pool,
        };
        for chunk in (0..longest).step_by(CHUNK) {
            for (request, &length) in lengths.iter().enumerate() {
                batch.append(request, length.saturating_sub(chunk).min(CHUNK))?;
            }
        }
        Ok(batch)
    }

    /// Appends the token that every request has just generated.
    pub fn append_one_token_each(&mut self) -> Result<()> {
        (0..self.requests()).try_for_each(|request| self.append(request, 1))
    }

    /// Appends up to [`CHUNK`] tokens to a request.
    fn append(&mut self, request: usize, tokens: usize) -> Result<()> {
        let sequence = &mut self.sequences[request];
        let append = self.pool.append(sequence, tokens)?;
        if let Some(copy) = append.copy {
            self.cache.copy_block(copy)?;
        }
        self.cache.write_rows(sequence, append.positions, self.rows.take(tokens))
    }

    /// What the planner needs to know.
    pub fn table(&self) -> Result<BlockTable> {
        BlockTable::from_sequences(&self.sequences.iter().collect::<Vec<_>>())
    }

    /// The cached rows of a request.
    pub fn cached_rows(&self, request: usize) -> Result<Vec<bf16>> {
        let sequence = &self.sequences[request];
        self.cache.read_rows(sequence, 0..sequence.len())
    }

    /// The cache of the layer.
    pub const fn cache(&self) -> &LatentCache {
        &self.cache
    }

    /// Blocks of the cache.
    pub fn blocks(&self) -> usize {
        self.pool.capacity()
    }

    /// Blocks that the longest request will have after the last step.
    pub const fn blocks_per_sequence(&self) -> usize {
        self.blocks_per_sequence
    }

    /// Requests in the batch.
    pub fn requests(&self) -> usize {
        self.sequences.len()
    }

    /// Cached tokens of all requests.
    pub fn tokens(&self) -> usize {
        self.sequences.iter().map(Sequence::len).sum()
    }
}

/// Random cached rows, handed out in windows that wander.
struct Rows {
    elements: Vec<bf16>,
    elements_per_token: usize,
    next: usize,
}

impl Rows {
    fn random(layout: CacheLayout, rng: &mut Rng) -> Self {
        let elements_per_token = layout.elements_per_token();
        let bits = elements::random(layout.dtype(), ROWS * elements_per_token, rng);
        Self { elements: cast_slice(&bits).to_vec(), elements_per_token, next: 0 }
    }

    /// The rows of the next `tokens` tokens, at most [`CHUNK`].
    fn take(&mut self, tokens: usize) -> &[bf16] {
        let start = self.next % (ROWS - CHUNK);
        self.next = start + tokens;
        &self.elements[start * self.elements_per_token..][..tokens * self.elements_per_token]
    }
}
