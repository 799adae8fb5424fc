//! Which tokens lie in which block.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

/// A tree with a full block at every node. A path from the root spells a prefix, a block of tokens at a step, and its
/// nodes are the blocks that hold it.
///
/// A hash of (parent, tokens) leads to a node, and both are compared before the node is believed. Since the
/// parent was found in the same way, a node that is found holds exactly the prefix that was asked for: colliding
/// hashes cost time and nothing else.
#[derive(Debug)]
pub(in crate::cache) struct PrefixIndex<S = RandomState> {
    /// Tokens of a block.
    block_size: usize,
    /// By id of the block.
    nodes: Vec<Option<Box<Node>>>,
    /// Ids of the blocks that have nodes.
    by_hash: HashTable<i32>,
    /// Blocks with nodes that no sequence holds, by when the last one let go.
    unused: BTreeMap<u64, i32>,
    /// Source of serials and times.
    clock: u64,
    hasher: S,
}

#[derive(Debug)]
struct Node {
    /// Never used twice: what hangs under a node that is gone is not found through its block's next one.
    serial: u64,
    /// Serial of the parent.
    parent: u64,
    tokens: Box<[u32]>,
    /// Of `parent` and `tokens`.
    hash: u64,
    /// Key in `unused`.
    unused_since: Option<u64>,
}

/// The parent of blocks that nothing precedes; serials begin behind it.
const ROOT: u64 = 0;

impl PrefixIndex {
    /// An index that knows nothing, of a pool of `blocks` blocks of `block_size` tokens.
    pub fn new(blocks: usize, block_size: usize) -> Self {
        Self::with_hasher(blocks, block_size, RandomState::new())
    }
}

impl<S: BuildHasher> PrefixIndex<S> {
    fn with_hasher(blocks: usize, block_size: usize, hasher: S) -> Self {
        Self {
            block_size,
            nodes: (0..blocks).map(|_| None).collect(),
            by_hash: HashTable::new(),
            unused: BTreeMap::new(),
            clock: ROOT,
            hasher,
        }
    }

    /// The blocks that hold the longest known prefix of `tokens`.
    pub fn find(&self, tokens: &[u32]) -> impl Iterator<Item = i32> {
        let mut parent = ROOT;
        tokens.chunks_exact(self.block_size).map_while(move |tokens| {
            let block = self.child(parent, tokens)?;
            parent = self.node(block)?.serial;
            Some(block)
        })
    }

    /// Remembers that the first `blocks` hold `tokens`; a last block that is not full is left out.
    pub fn publish(&mut self, blocks: &[i32], tokens: &[u32]) {
        let mut parent = ROOT;
        for (&block, tokens) in blocks.iter().zip(tokens.chunks_exact(self.block_size)) {
            let known = self.child(parent, tokens).and_then(|block| self.node(block));
            parent = match known {
                Some(node) => node.serial,
                None => self.insert(block, parent, tokens),
            };
        }
    }

    /// Whether it is known what lies in `block`.
    pub fn contains(&self, block: i32) -> bool {
        self.node(block).is_some()
    }

    /// No sequence holds `block` any more: whether it stays here.
    pub fn retire(&mut self, block: i32) -> bool {
        let Some(node) = &mut self.nodes[block as usize] else { return false };
        self.clock += 1;
        node.unused_since = Some(self.clock);
        self.unused.insert(self.clock, block);
        true
    }

    /// A sequence holds `block` again.
    pub fn revive(&mut self, block: i32) {
        let node = self.nodes[block as usize].as_mut();
        if let Some(time) = node.and_then(|node| node.unused_since.take()) {
            self.unused.remove(&time);
        }
    }

    /// Forgets the block that no sequence has held for longest, and gives it away.
    pub fn evict(&mut self) -> Option<i32> {
        let (_, block) = self.unused.pop_first()?;
        self.forget(block);
        Some(block)
    }

    /// Forgets everything, and gives away the blocks that no sequence holds.
    pub fn clear(&mut self) -> Vec<i32> {
        self.nodes.fill_with(|| None);
        self.by_hash.clear();
        std::mem::take(&mut self.unused).into_values().collect()
    }

    /// Known blocks that no sequence holds.
    pub fn unused(&self) -> usize {
        self.unused.len()
    }

    fn node(&self, block: i32) -> Option<&Node> {
        self.nodes[block as usize].as_deref()
    }

    /// The block that holds `tokens` behind the prefix of `parent`.
    fn child(&self, parent: u64, tokens: &[u32]) -> Option<i32> {
        let is_it = |&block: &i32| {
            self.node(block).is_some_and(|node| node.parent == parent && *node.tokens == *tokens)
        };
        self.by_hash.find(self.hasher.hash_one((parent, tokens)), is_it).copied()
    }

    /// Forgets what lies in `block`, if it is known.
    fn forget(&mut self, block: i32) {
        if let Some(node) = self.nodes[block as usize].take()
            && let Ok(entry) = self.by_hash.find_entry(node.hash, |&other| other == block)
        {
            entry.remove();
        }
    }

    /// Makes a node, in the place of one that leads elsewhere, and says its serial.
    fn insert(&mut self, block: i32, parent: u64, tokens: &[u32]) -> u64 {
        self.forget(block);
        self.clock += 1;
        let (serial, hash) = (self.clock, self.hasher.hash_one((parent, tokens)));
        let node = Node { serial, parent, tokens: tokens.into(), hash, unused_since: None };
        self.nodes[block as usize] = Some(Box::new(node));
        let nodes = &self.nodes;
        let hash_of = |&block: &i32| nodes[block as usize].as_ref().map_or(0, |node| node.hash);
        self.by_hash.insert_unique(hash, block, hash_of);
        serial
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, Hasher};

    use super::*;

    const BLOCK_SIZE: usize = 64;

    /// Every hash is the same.
    #[derive(Default)]
    struct Colliding;

    impl Hasher for Colliding {
        fn write(&mut self, _: &[u8]) {}

        fn finish(&self) -> u64 {
            0
        }
    }

    fn colliding(blocks: usize) -> PrefixIndex<BuildHasherDefault<Colliding>> {
        PrefixIndex::with_hasher(blocks, BLOCK_SIZE, BuildHasherDefault::default())
    }

    fn found<S: BuildHasher>(index: &PrefixIndex<S>, tokens: &[u32]) -> Vec<i32> {
        index.find(tokens).collect()
    }

    /// One block of each.
    fn prefix(tokens: &[u32]) -> Vec<u32> {
        tokens.iter().flat_map(|&token| [token; BLOCK_SIZE]).collect()
    }

    #[test]
    fn colliding_hashes_lead_to_no_wrong_block() {
        let mut index = colliding(6);
        index.publish(&[0, 1], &prefix(&[1, 2]));
        index.publish(&[2, 3], &prefix(&[2, 2]));
        index.publish(&[0, 4], &prefix(&[1, 3]));
        assert_eq!(found(&index, &prefix(&[1, 2])), [0, 1]);
        assert_eq!(found(&index, &prefix(&[2, 2, 2])), [2, 3]);
        assert_eq!(found(&index, &prefix(&[1, 3])), [0, 4]);
        assert_eq!(found(&index, &prefix(&[3, 2])), [0; 0]);
        assert!(index.retire(3) && index.retire(0));
        assert_eq!(index.evict(), Some(3));
        assert_eq!(found(&index, &prefix(&[2, 2])), [2]);
        assert_eq!(found(&index, &prefix(&[1, 2])), [0, 1]);
    }

    #[test]
    fn a_block_that_is_not_full_is_left_out() {
        let mut index = PrefixIndex::new(2, BLOCK_SIZE);
        let tokens = prefix(&[5, 6]);
        index.publish(&[0, 1], &tokens[..127]);
        assert_eq!(found(&index, &tokens), [0]);
        assert_eq!(found(&index, &tokens[..63]), [0; 0]);
        assert!(index.contains(0) && !index.contains(1) && !index.retire(1));
    }

    #[test]
    fn who_is_first_is_found() {
        let mut index = PrefixIndex::new(4, BLOCK_SIZE);
        index.publish(&[0], &prefix(&[1]));
        index.publish(&[2, 3], &prefix(&[1, 2]));
        assert_eq!(found(&index, &prefix(&[1, 2])), [0, 3]);
        assert!(!index.contains(2));
    }

    #[test]
    fn what_follows_an_evicted_block_is_not_found_through_its_successor() {
        let mut index = PrefixIndex::new(3, BLOCK_SIZE);
        index.publish(&[0, 1], &prefix(&[1, 2]));
        assert!(index.retire(0));
        assert_eq!(index.evict(), Some(0));
        index.publish(&[0], &prefix(&[9]));
        assert_eq!(found(&index, &prefix(&[9, 2])), [0]);
        index.publish(&[2, 1], &prefix(&[1, 2]));
        assert_eq!(found(&index, &prefix(&[1, 2])), [2, 1], "published again, it is found again");
        assert_eq!(index.by_hash.len(), 3, "one entry for each block");
    }

    #[test]
    fn a_revived_block_is_not_evicted() {
        let mut index = PrefixIndex::new(3, BLOCK_SIZE);
        index.publish(&[0, 1, 2], &prefix(&[1, 2, 3]));
        assert!([2, 1, 0].iter().all(|&block| index.retire(block)));
        index.revive(2);
        assert_eq!((index.unused(), index.evict()), (2, Some(1)));
        assert_eq!(index.clear(), [0]);
        assert_eq!((index.unused(), index.evict(), index.contains(2)), (0, None, false));
    }
}
