//! What the block pool does, by example; `tests/sequences` has the random use.

use oxmla::{Admission, BlockCopy, BlockPool, BlockTable, Error, Result};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

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
fn the_last_of_all_that_share_a_block_keeps_it() -> Result<()> {
    let mut pool = BlockPool::new(5)?;
    let mut first = pool.sequence();
    let _ = pool.append(&mut first, 70)?;
    let (mut second, mut third) = (pool.fork(&first)?, pool.fork(&first)?);
    let all = [(&first, 1), (&second, 1), (&third, 1)];
    assert_eq!((pool.blocks_to_append(&all[..2])?, pool.blocks_to_append(&all)?), (2, 2));

    let appends = pool.append_all(&mut [(&mut first, 1), (&mut second, 1), (&mut third, 1)])?;
    let kept = third.blocks()[1];
    let copies: Vec<_> = appends.iter().map(|append| append.copy).collect();
    let copy = |to| Some(BlockCopy { from: kept, to });
    assert_eq!(copies, [copy(first.blocks()[1]), copy(second.blocks()[1]), None]);
    Ok(())
}

#[test]
fn a_batch_gets_its_blocks_or_none() -> Result<()> {
    let mut pool = BlockPool::new(3)?;
    let (mut first, mut second) = (pool.sequence(), pool.sequence());
    let refused = pool.append_all(&mut [(&mut first, 65), (&mut second, 65)]);
    assert_eq!(refused, Err(Error::OutOfBlocks { requested: 4, available: 3 }));
    assert!(!pool.can_append(&[(&first, 65), (&second, 65)])?);
    assert_eq!((first.len(), second.len(), pool.available()), (0, 0, 3));
    assert!(pool.can_append(&[(&first, 65), (&second, 64)])?);
    assert_eq!(pool.append_all(&mut [(&mut first, 65), (&mut second, 64)])?.len(), 2);
    Ok(())
}

#[test]
fn a_published_block_is_copied_before_it_is_written() -> Result<()> {
    let mut pool = BlockPool::with_prefix_index(2)?;
    let mut sequence = pool.sequence();
    let _ = pool.append(&mut sequence, 64)?;
    pool.publish(&sequence, &[5; 64])?;
    pool.truncate(&mut sequence, 60)?;
    let published = sequence.blocks()[0];
    let copy = pool.append(&mut sequence, 1)?.copy;
    assert_eq!(copy, Some(BlockCopy { from: published, to: sequence.blocks()[0] }));
    assert_eq!((pool.cached(), pool.available()), (1, 1));
    assert_eq!(pool.cached_prefix(&[5; 100]).blocks(), [published]);
    Ok(())
}

#[test]
fn a_freed_request_comes_back_to_its_blocks() -> Result<()> {
    let mut pool = BlockPool::with_prefix_index(4)?;
    let prompt: Vec<u32> = (0..150).collect();
    let Admission { sequence, positions } = pool.admit(&prompt, 1)?;
    assert_eq!(positions, 0..150);
    pool.publish(&sequence, &prompt)?;
    let blocks = sequence.blocks().to_vec();
    pool.free(sequence)?;
    assert_eq!((pool.available(), pool.cached()), (4, 2));

    let Admission { sequence, positions } = pool.admit(&prompt, 1)?;
    assert_eq!((positions, &sequence.blocks()[..2]), (128..150, &blocks[..2]));
    pool.free(sequence)?;
    let other = pool.admit(&[9; 193], 0)?.sequence;
    assert_eq!(
        (pool.available(), pool.cached_tokens(&prompt)),
        (0, 0),
        "the pool needed all of it"
    );
    pool.free(other)
}

#[test]
fn the_last_token_of_a_prompt_is_computed_anew() -> Result<()> {
    let mut pool = BlockPool::with_prefix_index(4)?;
    let first = pool.admit(&[1; 128], 0)?;
    pool.publish(&first.sequence, &[1; 128])?;
    assert_eq!(pool.cached_tokens(&[1; 128]), 128);
    assert_eq!(pool.admit(&[1; 128], 0)?.positions, 64..128);
    assert_eq!(pool.admit(&[], 0)?.positions, 0..0);
    Ok(())
}

#[test]
fn prefixes_are_forgotten() -> Result<()> {
    let mut pool = BlockPool::with_prefix_index(2)?;
    let sequence = pool.admit(&[1; 64], 0)?.sequence;
    pool.publish(&sequence, &[1; 64])?;
    pool.forget_prefixes();
    assert_eq!((pool.cached_tokens(&[1; 64]), sequence.len()), (0, 64));
    pool.free(sequence)?;
    assert_eq!((pool.available(), pool.cached()), (2, 0));
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
    assert_eq!(pool.truncate(&mut sequence, 66), Err(beyond.clone()));
    assert_eq!(pool.publish(&sequence, &[0; 66]), Err(beyond));
    let refused = pool.admit(&[0; 1], usize::MAX).map(|_| ());
    assert_eq!(refused, Err(Error::OutOfBlocks { requested: usize::MAX, available: 0 }));

    let foreign = |result: Result<()>| {
        assert!(matches!(result, Err(Error::SequenceOfAnotherPool { .. })), "{result:?}");
    };
    foreign(other.append(&mut sequence, 1).map(|_| ()));
    foreign(other.append_all(&mut [(&mut sequence, 1)]).map(|_| ()));
    foreign(other.can_append(&[(&sequence, 1)]).map(|_| ()));
    foreign(other.publish(&sequence, &[]));
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
