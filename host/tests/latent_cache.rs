//! Rows into the cache and out again.

use half::{bf16, f16};
use oxmla::{
    BLOCK_SIZE, BlockPool, BlockTable, CacheLayout, DType, Device, Error, LatentCache, MlaDims,
    Result, Sequence,
};

const KV_HEADS: u32 = 2;
const WIDTH: usize = 2 * 576;

fn cache(blocks: usize) -> Result<LatentCache> {
    paged(blocks, BLOCK_SIZE)
}

/// A cache of blocks of `block_size` tokens.
fn paged(blocks: usize, block_size: usize) -> Result<LatentCache> {
    let layout = CacheLayout::new(MlaDims::new(4, KV_HEADS)?, DType::Bf16, block_size)?;
    LatentCache::new(&Device::cpu(), layout, blocks)
}

/// Rows that tell token and column.
fn rows(tokens: std::ops::Range<usize>) -> Vec<bf16> {
    let element = |token: usize, column: usize| bf16::from_f32(((token * 7 + column) % 256) as f32);
    tokens.flat_map(|token| (0..WIDTH).map(move |column| element(token, column))).collect()
}

/// A sequence of `len` tokens whose blocks neither begin at 0 nor follow each other.
fn scattered(pool: &mut BlockPool, len: usize) -> Result<Sequence> {
    let mut sequence = pool.sequence();
    let mut others = Vec::new();
    while sequence.len() < len {
        let mut other = pool.sequence();
        let _ = pool.append(&mut other, 1)?;
        others.push(other);
        let tokens = pool.block_size().min(len - sequence.len());
        let _ = pool.append(&mut sequence, tokens)?;
    }
    others.into_iter().try_for_each(|other| pool.free(other))?;
    Ok(sequence)
}

#[test]
fn rows_come_back_and_lie_where_their_slots_say() -> Result<()> {
    let mut pool = BlockPool::new(8)?;
    let mut cache = cache(8)?;
    let sequence = scattered(&mut pool, 200)?;
    cache.write_rows(&sequence, 0..150, &rows(0..150))?;
    cache.write_rows(&sequence, 150..200, &rows(150..200))?;
    assert!(cache.read_rows::<bf16>(&sequence, 0..200)? == rows(0..200));
    assert!(cache.read_rows::<bf16>(&sequence, 63..131)? == rows(63..131));
    assert!(cache.read_rows::<bf16>(&sequence, 7..7)?.is_empty());

    let all: Vec<bf16> = cache.buffer().to_vec()?;
    for position in [0, 63, 64, 127, 199] {
        let slot = sequence.slot(position)?;
        let at = (slot.block as usize * BLOCK_SIZE + slot.offset) * WIDTH;
        assert!(all[at..at + WIDTH] == rows(position..position + 1));
    }
    assert_eq!(**cache.view().shape(), [8, 64, 2, 576]);
    Ok(())
}

#[test]
fn blocks_of_other_sizes() -> Result<()> {
    for block_size in [16, 32, 128] {
        let mut pool = BlockPool::with_block_size(20, block_size)?;
        let mut cache = paged(20, block_size)?;
        let sequence = scattered(&mut pool, 130)?;
        assert_eq!(sequence.blocks().len(), 130usize.div_ceil(block_size));
        cache.write_rows(&sequence, 0..130, &rows(0..130))?;
        assert!(cache.read_rows::<bf16>(&sequence, 15..129)? == rows(15..129));
        let slot = sequence.slot(129)?;
        let at = (slot.block as usize * block_size + slot.offset) * WIDTH;
        assert!(cache.buffer().to_vec::<bf16>()?[at..at + WIDTH] == rows(129..130));
        assert_eq!(BlockTable::from_sequences(&[&sequence])?.max_blocks(), sequence.blocks().len());

        let error = Error::BlockSizeMismatch { expected: 64, got: block_size };
        let rows = rows(0..1);
        assert_eq!(self::cache(20)?.write_rows(&sequence, 0..1, &rows), Err(error));
    }
    assert!(matches!(
        BlockPool::with_block_size(1, 0),
        Err(Error::UnsupportedBlockSize { got: 0 })
    ));
    Ok(())
}

#[test]
fn a_copied_block_parts_a_fork_from_its_origin() -> Result<()> {
    let mut pool = BlockPool::new(4)?;
    let mut cache = cache(4)?;
    let mut first = pool.sequence();
    let appended = pool.append(&mut first, 70)?;
    cache.write_rows(&first, appended.positions, &rows(0..70))?;
    let mut second = pool.fork(&first)?;
    let appended = pool.append(&mut second, 1)?;
    cache.copy_block(appended.copy.expect("the second block is shared"))?;
    cache.write_rows(&second, appended.positions, &rows(500..501))?;
    let _ = pool.append(&mut first, 1)?;
    cache.write_rows(&first, 70..71, &rows(70..71))?;

    assert!(cache.read_rows::<bf16>(&first, 0..71)? == rows(0..71));
    assert!(cache.read_rows::<bf16>(&second, 0..70)? == rows(0..70));
    assert!(cache.read_rows::<bf16>(&second, 70..71)? == rows(500..501));
    Ok(())
}

#[test]
fn refused_writes_leave_the_cache_alone() -> Result<()> {
    let mut pool = BlockPool::new(8)?;
    let layout = *cache(3)?.layout();
    let mut buffer = Device::cpu().alloc(3 * layout.bytes_per_block())?;
    buffer.fill(7)?;
    let mut cache = LatentCache::from_buffer(layout, 3, buffer)?;
    let mut sequence = pool.sequence();
    let _ = pool.append(&mut sequence, 100)?;

    let dtype = Error::DTypeMismatch { arg: "rows", expected: DType::Bf16, got: DType::F16 };
    let refused = cache.write_rows(&sequence, 0..1, &[f16::ONE; WIDTH]);
    assert_eq!(refused, Err(dtype.clone()));
    assert_eq!(cache.read_rows::<f16>(&sequence, 0..1), Err(dtype));

    let refused = cache.write_rows(&sequence, 99..101, &rows(0..2));
    assert_eq!(refused, Err(Error::BeyondSequence { position: 100, len: 100 }));
    let refused = cache.read_rows::<bf16>(&sequence, 0..usize::MAX);
    assert!(matches!(refused, Err(Error::BeyondSequence { .. })));

    let (expected, got) = (2 * WIDTH, WIDTH);
    let shape = Error::ShapeMismatch { arg: "rows", axis: "elements", expected, got };
    assert_eq!(cache.write_rows(&sequence, 0..2, &rows(0..1)), Err(shape));

    let _ = pool.append(&mut sequence, 300)?;
    let refused = cache.write_rows(&sequence, 0..400, &rows(0..400));
    let block = Error::OutOfRange { arg: "block of the sequence", min: 0, max: 2, got: 3 };
    assert_eq!(refused, Err(block));

    let refused = cache.copy_block(oxmla::BlockCopy { from: 0, to: -1 });
    assert_eq!(refused, Err(Error::OutOfRange { arg: "to", min: 0, max: 2, got: -1 }));
    assert!(cache.buffer().to_vec::<i32>()?.iter().all(|&word| word == 0x0707_0707));
    Ok(())
}

#[test]
fn a_cache_fits_its_buffer() -> Result<()> {
    let layout = *cache(1)?.layout();
    let (len, size) = (3 * layout.bytes_per_block(), 3 * layout.bytes_per_block() - 1);
    let refused = LatentCache::from_buffer(layout, 3, Device::cpu().alloc(size)?).map(|_| ());
    assert_eq!(refused, Err(Error::OutsideBuffer { offset: 0, len, size }));
    Ok(())
}

#[test]
fn caches_have_blocks_that_fit_memory() {
    for blocks in [0, i32::MAX as usize + 1] {
        let refused = cache(blocks).map(|_| ());
        assert!(matches!(refused, Err(Error::OutOfRange { arg: "blocks", .. })), "{refused:?}");
    }
}
