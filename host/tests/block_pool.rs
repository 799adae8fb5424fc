//! The block pool under random use, checked against a model that keeps every sequence's tokens apart.

use std::collections::{HashMap, HashSet};

use oxmla::{Append, BLOCK_SIZE, BlockCopy, BlockPool, BlockTable, Error, Result, Sequence};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Action {
    New,
    Append { sequence: usize, tokens: usize },
    Fork { sequence: usize },
    Truncate { sequence: usize, thousandths: usize },
    Free { sequence: usize },
}

fn action() -> impl Strategy<Value = Action> {
    let sequence = any::<usize>();
    prop_oneof![
        1 => Just(Action::New),
        4 => (sequence, 0..200usize)
            .prop_map(|(sequence, tokens)| Action::Append { sequence, tokens }),
        2 => sequence.prop_map(|sequence| Action::Fork { sequence }),
        2 => (sequence, 0..=1000usize)
            .prop_map(|(sequence, thousandths)| Action::Truncate { sequence, thousandths }),
        1 => sequence.prop_map(|sequence| Action::Free { sequence }),
    ]
}

/// A pool, the memory that its blocks stand for, and what each sequence should find in it.
struct Model {
    pool: BlockPool,
    memory: HashMap<(i32, usize), u64>,
    sequences: Vec<(Sequence, Vec<u64>)>,
    next_token: u64,
}

impl Model {
    fn new(blocks: usize) -> Result<Self> {
        let pool = BlockPool::new(blocks)?;
        Ok(Self { pool, memory: HashMap::new(), sequences: Vec::new(), next_token: 0 })
    }

    fn apply(&mut self, action: &Action) -> Result<()> {
        let index = |sequence: &usize| match self.sequences.len() {
            0 => None,
            len => Some(sequence % len),
        };
        match action {
            Action::New => self.sequences.push((self.pool.sequence(), Vec::new())),
            Action::Append { sequence, tokens } => {
                if let Some(index) = index(sequence) {
                    self.append(index, *tokens)?;
                }
            }
            Action::Fork { sequence } => {
                if let Some(index) = index(sequence) {
                    let (sequence, tokens) = &self.sequences[index];
                    let fork = (self.pool.fork(sequence)?, tokens.clone());
                    self.sequences.push(fork);
                }
            }
            Action::Truncate { sequence, thousandths } => {
                if let Some(index) = index(sequence) {
                    let (sequence, tokens) = &mut self.sequences[index];
                    let len = tokens.len() * thousandths / 1000;
                    self.pool.truncate(sequence, len)?;
                    tokens.truncate(len);
                }
            }
            Action::Free { sequence } => {
                if let Some(index) = index(sequence) {
                    self.pool.free(self.sequences.swap_remove(index).0)?;
                }
            }
        }
        Ok(())
    }

    fn append(&mut self, index: usize, tokens: usize) -> Result<()> {
        let (sequence, expected) = &mut self.sequences[index];
        let available = self.pool.available();
        let blocks = sequence.blocks().to_vec();
        let Append { positions, copy } = match self.pool.append(sequence, tokens) {
            Err(Error::OutOfBlocks { requested, available: reported }) => {
                assert!(requested > available && reported == available);
                assert_eq!(self.pool.available(), available, "a refused append takes no block");
                assert_eq!((sequence.len(), sequence.blocks()), (expected.len(), &*blocks));
                return Ok(());
            }
            other => other?,
        };
        assert_eq!(positions, expected.len()..expected.len() + tokens);
        if let Some(BlockCopy { from, to }) = copy {
            for offset in 0..BLOCK_SIZE {
                if let Some(&token) = self.memory.get(&(from, offset)) {
                    self.memory.insert((to, offset), token);
                }
            }
        }
        for position in positions {
            let slot = sequence.slot(position)?;
            self.memory.insert((slot.block, slot.offset), self.next_token);
            expected.push(self.next_token);
            self.next_token += 1;
        }
        Ok(())
    }

    /// Every sequence finds its tokens; every block is free or held, and none is both.
    fn check(&self) -> Result<()> {
        let mut held = HashSet::new();
        for (sequence, tokens) in &self.sequences {
            assert_eq!(sequence.len(), tokens.len());
            assert_eq!(sequence.blocks().len(), tokens.len().div_ceil(BLOCK_SIZE));
            for (position, token) in tokens.iter().enumerate() {
                let slot = sequence.slot(position)?;
                assert_eq!(self.memory.get(&(slot.block, slot.offset)), Some(token));
            }
            held.extend(sequence.blocks());
        }
        let ids = 0..self.pool.capacity() as i32;
        assert!(held.iter().all(|block| ids.contains(block)));
        assert_eq!(held.len() + self.pool.available(), self.pool.capacity());
        Ok(())
    }

    fn free_everything(mut self) -> Result<()> {
        for (sequence, _) in self.sequences.drain(..) {
            self.pool.free(sequence)?;
        }
        assert_eq!(self.pool.available(), self.pool.capacity(), "blocks have leaked");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_block_is_leaked_or_handed_out_twice(
        blocks in 1..40usize,
        actions in prop::collection::vec(action(), 1..80),
    ) {
        let mut model = Model::new(blocks)?;
        for action in &actions {
            model.apply(action)?;
            model.check()?;
        }
        model.free_everything()?;
    }

    #[test]
    fn a_table_says_of_each_sequence_what_the_sequence_says(
        lengths in prop::collection::vec(0..400usize, 0..12),
    ) {
        let mut pool = BlockPool::new(12 * 7)?;
        let mut sequences = Vec::new();
        for &length in &lengths {
            let mut sequence = pool.sequence();
            let _ = pool.append(&mut sequence, length)?;
            sequences.push(sequence);
        }
        let table = BlockTable::from_sequences(&sequences.iter().collect::<Vec<_>>())?;
        prop_assert_eq!(table.batch(), lengths.len());
        prop_assert_eq!(table.ids().len(), table.batch() * table.max_blocks());
        for (request, sequence) in sequences.iter().enumerate() {
            prop_assert_eq!(table.lengths()[request] as usize, sequence.len());
            let row = &table.ids()[request * table.max_blocks()..][..table.max_blocks()];
            let (used, unused) = row.split_at(sequence.blocks().len());
            prop_assert_eq!(used, sequence.blocks());
            prop_assert!(unused.iter().all(|&id| id as usize >= pool.capacity()));
        }
    }
}

#[test]
fn a_shared_block_is_copied_by_whoever_appends_first() -> Result<()> {
    let mut pool = BlockPool::new(4)?;
    let mut first = pool.sequence();
    let _ = pool.append(&mut first, 70)?;
    let mut second = pool.fork(&first)?;
    let shared = first.blocks()[1];
    let copy = pool.append(&mut second, 1)?.copy;
    assert_eq!(copy, Some(BlockCopy { from: shared, to: second.blocks()[1] }));
    assert_eq!(pool.append(&mut first, 1)?.copy, None, "nobody shares it any more");
    assert_eq!(first.blocks()[0], second.blocks()[0], "full blocks stay shared");
    Ok(())
}

#[test]
fn a_full_block_is_never_copied() -> Result<()> {
    let mut pool = BlockPool::new(4)?;
    let mut first = pool.sequence();
    let _ = pool.append(&mut first, 64)?;
    let mut second = pool.fork(&first)?;
    assert_eq!(pool.append(&mut second, 0)?.copy, None);
    assert_eq!(pool.append(&mut second, 1)?.copy, None);
    Ok(())
}

#[test]
fn refusals() -> Result<()> {
    let mut pool = BlockPool::new(2)?;
    let mut other = BlockPool::new(2)?;
    let mut sequence = pool.sequence();
    let _ = pool.append(&mut sequence, 65)?;

    let refused = pool.append(&mut sequence, 64).map(|_| ());
    assert_eq!(refused, Err(Error::OutOfBlocks { requested: 1, available: 0 }));
    let too_many = Error::OutOfRange {
        arg: "tokens",
        min: 0,
        max: i128::from(i32::MAX) - 65,
        got: usize::MAX as i128,
    };
    assert_eq!(pool.append(&mut sequence, usize::MAX).map(|_| ()), Err(too_many));
    let beyond = Error::BeyondSequence { position: 66, len: 65 };
    assert_eq!(pool.truncate(&mut sequence, 66), Err(beyond));

    let foreign = |result: Result<()>| {
        assert!(matches!(result, Err(Error::SequenceOfAnotherPool { .. })), "{result:?}");
    };
    foreign(other.append(&mut sequence, 1).map(|_| ()));
    foreign(other.fork(&sequence).map(|_| ()));
    foreign(other.truncate(&mut sequence, 0));
    assert!(pool.owns(&sequence) && !other.owns(&sequence));
    foreign(other.free(sequence));
    assert_eq!((pool.available(), other.available()), (0, 2));
    Ok(())
}

#[test]
fn pools_have_blocks_that_an_i32_can_number() {
    for blocks in [0, i32::MAX as usize + 1, usize::MAX] {
        let refused = BlockPool::new(blocks).map(|_| ());
        assert!(matches!(refused, Err(Error::OutOfRange { arg: "blocks", .. })), "{refused:?}");
    }
}
