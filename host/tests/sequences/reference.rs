//! What becomes of the blocks of a pool, said as plainly as can be.

/// A block that is known to hold the last tokens of a prefix.
struct Published {
    prefix: Vec<u32>,
    block: i32,
    /// Whether all blocks before it have been known since it was published.
    found: bool,
}

pub struct Reference {
    /// Tokens of a block.
    block_size: usize,
    /// Requests that hold each block.
    held: Vec<usize>,
    free: Vec<bool>,
    published: Vec<Published>,
    /// Published blocks that nobody holds, in the order in which they were let go.
    unused: Vec<i32>,
    has_index: bool,
}

impl Reference {
    pub fn new(blocks: usize, block_size: usize, has_index: bool) -> Self {
        let (held, free) = (vec![0; blocks], vec![true; blocks]);
        Self { block_size, held, free, published: Vec::new(), unused: Vec::new(), has_index }
    }

    pub fn available(&self) -> usize {
        self.free.iter().filter(|&&free| free).count() + self.unused.len()
    }

    pub fn cached(&self) -> usize {
        self.unused.len()
    }

    pub fn held(&self, block: i32) -> usize {
        self.held[block as usize]
    }

    /// Whether a request that goes on inside `block` must have a copy, if so many hold it.
    pub fn is_kept(&self, block: i32, held: usize) -> bool {
        held > 1 || self.published.iter().any(|published| published.block == block)
    }

    /// The blocks that hold the first of these tokens.
    pub fn find(&self, tokens: &[u32]) -> Vec<i32> {
        let blocks = tokens.len() / self.block_size;
        let prefixes = (1..=blocks).map(|blocks| &tokens[..blocks * self.block_size]);
        prefixes.map_while(|prefix| self.block_of(prefix)).collect()
    }

    /// A request has been given `block`, which must have been the next in turn.
    pub fn take(&mut self, block: i32) {
        assert_eq!(self.held(block), 0, "block {block} is handed out twice");
        if self.free.contains(&true) {
            assert!(self.free[block as usize], "block {block} is cached, and others are free");
            self.free[block as usize] = false;
        } else {
            assert_eq!(self.unused.first(), Some(&block), "another block was let go earlier");
            self.unused.remove(0);
            self.unpublish(block);
        }
        self.held[block as usize] = 1;
    }

    /// One more request holds `block`.
    pub fn hold(&mut self, block: i32) {
        self.unused.retain(|&unused| unused != block);
        self.held[block as usize] += 1;
    }

    /// One request less holds `block`.
    pub fn release(&mut self, block: i32) {
        self.held[block as usize] -= 1;
        if self.held(block) > 0 {
        } else if self.is_kept(block, 0) {
            self.unused.push(block);
        } else {
            self.free[block as usize] = true;
        }
    }

    pub fn publish(&mut self, blocks: &[i32], tokens: &[u32]) {
        if !self.has_index {
            return;
        }
        for (&block, end) in
            blocks.iter().zip((self.block_size..=tokens.len()).step_by(self.block_size))
        {
            let prefix = tokens[..end].to_vec();
            if self.block_of(&prefix).is_none() {
                self.unpublish(block);
                self.published.push(Published { prefix, block, found: true });
            }
        }
    }

    pub fn forget_prefixes(&mut self) {
        self.published.clear();
        for block in self.unused.drain(..) {
            self.free[block as usize] = true;
        }
    }

    fn block_of(&self, prefix: &[u32]) -> Option<i32> {
        let is_it = |published: &&Published| published.found && published.prefix == prefix;
        self.published.iter().find(is_it).map(|published| published.block)
    }

    /// What lies in `block` is not known any more, and what follows it is not found any more.
    fn unpublish(&mut self, block: i32) {
        let is_it = |published: &Published| published.block == block;
        let Some(position) = self.published.iter().position(is_it) else { return };
        let gone = self.published.swap_remove(position);
        let behind = |published: &&mut Published| published.prefix.starts_with(&gone.prefix);
        self.published
            .iter_mut()
            .filter(|_| gone.found)
            .filter(behind)
            .for_each(|published| published.found = false);
    }
}
