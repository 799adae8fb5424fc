//! What planners accept, refuse and say.

use oxmla::{
    BlockTable, DType, DecodePlan, Device, Error, Location, Mask, MlaDims, Planner, PlannerConfig,
    Result, Step, StreamRef, TensorRef,
};

fn config() -> PlannerConfig {
    PlannerConfig {
        dims: MlaDims::deepseek_v3(),
        dtype: DType::Bf16,
        max_batch: 3,
        max_blocks_per_sequence: 4,
        max_s_q: 2,
        block_size: oxmla::BLOCK_SIZE,
        blocks_in_cache: 10,
    }
}

fn planner() -> Result<Planner> {
    Planner::new(&Device::cpu(), config())
}

/// Plans lengths with the given rows of ids.
fn plan(planner: &mut Planner, lengths: &[i32], rows: &[i32], s_q: u32) -> Result<DecodePlan> {
    let batch = lengths.len();
    let block_table = TensorRef::from_slice(rows, &[batch, rows.len() / batch.max(1)])?;
    planner.plan(StreamRef::cpu(), Step { lengths, block_table, s_q, mask: Mask::Causal })
}

#[test]
fn a_plan_says_what_it_is_for() -> Result<()> {
    let mut planner = planner()?;
    let table = BlockTable::from_rows(&[200, 0, 64], &[&[9, 0, 3, 1], &[], &[5]])?;
    let plan = planner.plan(StreamRef::cpu(), Step::new(&table, 2, Mask::Causal))?;
    assert_eq!((plan.batch(), plan.s_q(), plan.mask(), plan.step()), (3, 2, Mask::Causal, 1));
    assert_eq!((plan.parts(), plan.rows().tiles()), (1, 4));
    assert_eq!(plan.summary().tokens, 264);
    assert_eq!(plan.summary().empty_requests, 1);
    assert_eq!(plan.summary().most_blocks, 5);
    let explanation = plan.explain();
    assert!(explanation.contains("3 requests (1 empty), 264 cached tokens"), "{explanation}");
    Ok(())
}

#[test]
fn an_empty_batch_and_empty_requests_are_fine() -> Result<()> {
    let mut planner = planner()?;
    assert_eq!(plan(&mut planner, &[], &[], 1)?.batch(), 0);
    assert_eq!(plan(&mut planner, &[0, 0], &[], 1)?.summary().tokens, 0);
    Ok(())
}

#[test]
fn used_ids_are_checked_and_unused_ones_are_not() -> Result<()> {
    let mut planner = planner()?;
    let unused = [i32::MAX, -1, i32::MIN];
    let row = |ids: &[i32]| [ids, &unused[..4 - ids.len()]].concat();
    assert!(plan(&mut planner, &[64], &row(&[9]), 1).is_ok());
    for id in [10, -1, i32::MAX, i32::MIN] {
        let refused = plan(&mut planner, &[1, 65], &[row(&[0]), row(&[0, id])].concat(), 1);
        let error = Error::BlockOutOfPool { request: 1, index: 1, id, blocks: 10 };
        assert_eq!(refused.err(), Some(error));
    }
    Ok(())
}

#[test]
fn lengths_are_checked() -> Result<()> {
    let mut planner = planner()?;
    let refused = plan(&mut planner, &[3, -1], &[0; 8], 1);
    assert_eq!(refused.err(), Some(Error::NegativeLength { request: 1, got: -1 }));
    for length in [257, i32::MAX] {
        let refused = plan(&mut planner, &[length], &[0; 4], 1);
        let error = Error::LengthBeyondTable { request: 0, length, blocks: 4 };
        assert_eq!(refused.err(), Some(error));
    }
    Ok(())
}

#[test]
fn steps_stay_within_the_maxima() -> Result<()> {
    let mut planner = planner()?;
    let capacity = |quantity, limit, got| Some(Error::Capacity { quantity, limit, got });
    assert_eq!(plan(&mut planner, &[1; 4], &[0; 4], 1).err(), capacity("batch", 3, 4));
    assert_eq!(plan(&mut planner, &[1], &[0], 3).err(), capacity("s_q", 2, 3));
    assert_eq!(plan(&mut planner, &[1], &[0; 5], 1).err(), capacity("max_blocks", 4, 5));
    let zero = Error::OutOfRange { arg: "s_q", min: 1, max: u32::MAX.into(), got: 0 };
    assert_eq!(plan(&mut planner, &[1], &[0], 0).err(), Some(zero));
    Ok(())
}

/// Two query tokens that see 64 tokens each reach back 65: of 200 tokens the last 65 are in blocks 2 and 3, of 193 in
/// block 2 and the one token of block 3.
#[test]
fn ids_of_blocks_before_all_windows_are_not_looked_at() -> Result<()> {
    let mut planner = planner()?;
    for strides in [[4, 1], [1, 1]] {
        let ids = [i32::MAX, -1, 3, 1];
        let block_table = TensorRef::with_strides(&ids, &[1, 4], &strides)?;
        let mask = Mask::Causal.within(64);
        let step = Step { lengths: &[200], block_table, s_q: 2, mask };
        let plan = planner.plan(StreamRef::cpu(), step)?;
        assert_eq!((plan.mask(), plan.summary().most_blocks), (mask, 2));
        assert_eq!((plan.summary().tokens, plan.summary().split_requests), (200, 0));
        let explanation = plan.explain();
        assert!(explanation.contains("causal mask, window of 64 tokens"), "{explanation}");
        assert!(planner.plan(StreamRef::cpu(), Step { lengths: &[193], ..step }).is_ok());

        let refused = planner.plan(StreamRef::cpu(), Step { lengths: &[192], ..step }).err();
        let error = Error::BlockOutOfPool { request: 0, index: 1, id: -1, blocks: 10 };
        assert_eq!(refused, Some(error.clone()));
        let wider = Step { mask: mask.within(72), ..step };
        assert!(planner.plan(StreamRef::cpu(), wider).is_err_and(|refused| refused == error));
    }
    let table = BlockTable::from_rows(&[1], &[&[0]])?;
    let step = Step::new(&table, 1, Mask::None.within(0));
    let error = Error::OutOfRange { arg: "window", min: 1, max: u32::MAX.into(), got: 0 };
    assert_eq!(planner.plan(StreamRef::cpu(), step).err(), Some(error));
    Ok(())
}

/// The window begins in block 8 of 16 tokens, in block 4 of 32, and in the second half of block 1 of 128; a length goes to
/// the end of a row, and no further.
#[test]
fn the_ids_that_are_looked_at_are_those_of_blocks_of_any_size() -> Result<()> {
    for (block_size, first) in [(16, 8), (32, 4), (64, 2), (128, 1)] {
        let columns = 256 / block_size;
        let sized = PlannerConfig { max_blocks_per_sequence: columns, block_size, ..config() };
        let mut planner = Planner::new(&Device::cpu(), sized)?;
        let mut ids = vec![-1; columns];
        ids[first..].fill(3);
        let block_table = TensorRef::from_slice(&ids, &[1, columns])?;
        let step = Step { lengths: &[200], block_table, s_q: 2, mask: Mask::Causal.within(64) };
        let plan = planner.plan(StreamRef::cpu(), step)?;
        assert_eq!(plan.summary().most_blocks, 2);
        let error = Error::BlockOutOfPool { request: 0, index: first - 1, id: -1, blocks: 10 };
        let earlier = Step { lengths: &[192], ..step };
        assert_eq!(planner.plan(StreamRef::cpu(), earlier).err(), Some(error));

        assert!(planner.plan(StreamRef::cpu(), Step { lengths: &[256], ..step }).is_ok());
        let error = Error::LengthBeyondTable { request: 0, length: 257, blocks: columns };
        let longer = Step { lengths: &[257], ..step };
        assert_eq!(planner.plan(StreamRef::cpu(), longer).err(), Some(error));
    }
    Ok(())
}

#[test]
fn tables_are_i32_matrices_on_the_host() -> Result<()> {
    let mut planner = planner()?;
    let ids = [0; 8];
    let mut refused = |block_table| {
        let step = Step { lengths: &[1, 1], block_table, s_q: 1, mask: Mask::None };
        planner.plan(StreamRef::cpu(), step).err()
    };
    let (arg, axis) = ("block_table", "batch");
    let rank = Error::RankMismatch { arg, expected: 2, got: 1 };
    assert_eq!(refused(TensorRef::from_slice(&ids, &[2])?), Some(rank));
    let shape = Error::ShapeMismatch { arg, axis, expected: 2, got: 3 };
    assert_eq!(refused(TensorRef::from_slice(&ids, &[3, 1])?), Some(shape));
    let dtype = Error::DTypeMismatch { arg, expected: DType::I32, got: DType::F32 };
    assert_eq!(refused(TensorRef::from_slice(&[0.0f32; 2], &[2, 1])?), Some(dtype));

    let raw = |address, location| {
        // SAFETY: the planner refuses the view before it reads through it.
        unsafe { TensorRef::from_raw(address, DType::I32, &[2, 1], &[1, 1], location) }
    };
    let got = Location::Cuda { ordinal: 3 };
    let location = Error::LocationMismatch { arg, expected: Location::Host, got };
    assert_eq!(refused(raw(4096, got)?), Some(location));
    let misaligned = Error::Misaligned { arg, required: 4, got: 4098 };
    assert_eq!(refused(raw(4098, Location::Host)?), Some(misaligned));
    Ok(())
}

#[test]
fn a_table_may_have_any_strides() -> Result<()> {
    let mut planner = planner()?;
    // Columns of a transposed table, the used ids among impossible ones.
    let ids = [1, 2, -5, 3, 4, -5];
    let block_table = TensorRef::with_strides(&ids, &[2, 2], &[1, 3])?;
    let mut step = Step { lengths: &[128, 128], block_table, s_q: 1, mask: Mask::None };
    assert!(planner.plan(StreamRef::cpu(), step).is_ok());
    step.block_table = TensorRef::with_strides(&ids, &[2, 2], &[3, 2])?;
    let refused = planner.plan(StreamRef::cpu(), step).err();
    let error = Error::BlockOutOfPool { request: 0, index: 1, id: -5, blocks: 10 };
    assert_eq!(refused, Some(error));
    Ok(())
}

#[test]
fn streams_are_of_the_planners_device() -> Result<()> {
    // SAFETY: the planner refuses the stream before it uses it.
    let stream = unsafe { StreamRef::from_raw(std::ptr::null_mut(), 1) };
    let table = BlockTable::from_rows(&[], &[])?;
    let refused = planner()?.plan(stream, Step::new(&table, 1, Mask::None)).err();
    let (expected, got) = (Location::Host, Location::Cuda { ordinal: 1 });
    assert_eq!(refused, Some(Error::LocationMismatch { arg: "stream", expected, got }));
    Ok(())
}

#[test]
fn planners_are_made_for_something() {
    let refused = |config| Planner::new(&Device::cpu(), config).map(|_| ()).err();
    let got = DType::F32;
    let dtype = Some(Error::UnsupportedDType { arg: "dtype", got });
    assert_eq!(refused(PlannerConfig { dtype: got, ..config() }), dtype);
    let out_of_range = |config, name| match refused(config) {
        Some(Error::OutOfRange { arg, .. }) => assert_eq!(arg, name),
        other => panic!("{name}: {other:?}"),
    };
    for max_batch in [0, usize::MAX] {
        out_of_range(PlannerConfig { max_batch, ..config() }, "max_batch");
    }
    for max_s_q in [0, u32::MAX] {
        out_of_range(PlannerConfig { max_s_q, ..config() }, "max_s_q");
    }
    for max_blocks_per_sequence in [0, usize::MAX] {
        let config = PlannerConfig { max_blocks_per_sequence, ..config() };
        out_of_range(config, "max_blocks_per_sequence");
    }
    for blocks_in_cache in [0, usize::MAX] {
        out_of_range(PlannerConfig { blocks_in_cache, ..config() }, "blocks_in_cache");
    }
    let error = Some(Error::UnsupportedBlockSize { got: 8 });
    assert_eq!(refused(PlannerConfig { block_size: 8, ..config() }), error);
}

#[test]
fn workspace_is_what_tables_need() -> Result<()> {
    assert_eq!(planner()?.workspace_bytes(), 3 * (1 + 4) * 4);
    Ok(())
}

#[test]
fn pieces_are_powers_of_two_of_blocks() -> Result<()> {
    for got in [0, 1, 63, 65, 96, 64 * 3, u32::MAX] {
        let refused = Planner::deterministic(&Device::cpu(), config(), got).err();
        assert_eq!(refused, Some(Error::InvalidPiece { got }));
    }
    for tokens in [64, 128, 512, 1 << 31] {
        let mut planner = Planner::deterministic(&Device::cpu(), config(), tokens)?;
        let explanation = plan(&mut planner, &[256, 0], &[0; 8], 1)?.explain();
        let cut = format!("schedule: pieces of {tokens} tokens, whatever else is in the batch;");
        assert!(explanation.contains(&cut), "{explanation}");
    }
    Ok(())
}

#[test]
fn a_deterministic_planner_needs_what_others_need() {
    let dtype = DType::F32;
    let refused = Planner::deterministic(&Device::cpu(), PlannerConfig { dtype, ..config() }, 64);
    assert_eq!(refused.err(), Some(Error::UnsupportedDType { arg: "dtype", got: dtype }));
}

#[test]
fn plans_say_how_often_requests_are_split() -> Result<()> {
    let mut planner = Planner::deterministic(&Device::cpu(), config(), 128)?;
    let explanation = plan(&mut planner, &[256, 0, 130], &[0; 12], 1)?.explain();
    let schedule = "1 of 1 parts busy, at most 7 blocks each; 2 requests split into 4 pieces";
    assert!(explanation.ends_with(schedule), "{explanation}");
    Ok(())
}

/// Where there are several parts.
#[cfg(feature = "sim")]
#[test]
fn plans_say_how_the_work_is_shared_out() -> Result<()> {
    let config = PlannerConfig { max_batch: 42, max_blocks_per_sequence: 40, ..config() };
    let mut planner = Planner::new(&Device::simulator(), config)?;
    let explanation = plan(&mut planner, &[256, 0, 130], &[0; 12], 1)?.explain();
    let schedule = "schedule: equal shares of all blocks; 4 of 4 parts busy, at most 2 blocks each; \
                    2 requests split into 4 pieces";
    assert!(explanation.ends_with(schedule), "{explanation}");

    let short_ones_and_a_long_one = [&[64; 41][..], &[40 * 64]].concat();
    let explanation = plan(&mut planner, &short_ones_and_a_long_one, &[0; 42 * 40], 1)?.explain();
    let cut = "equal shares of all blocks, the beginning of a request counted as 5; 4 of 4 parts";
    assert!(explanation.contains(cut), "{explanation}");
    Ok(())
}
