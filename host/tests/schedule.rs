//! The schedule for any lengths and any number of parts.

use std::collections::HashSet;
use std::ops::Range;

use oxmla::plan::schedule::{COST_LIMIT, Cut, Piece, Reach, pieces, total_cost};
use oxmla::{Error, Result};
use oxmla_kernels::decode::schedule::{Schedule, blocks};
use proptest::prelude::*;

/// Beginnings counted as five blocks.
const CUT: Cut = Cut::balanced(5);

/// Lengths of a batch: mostly ordinary, some empty, some enormous.
fn lengths() -> impl Strategy<Value = Vec<i32>> {
    let length = prop_oneof![
        2 => Just(0),
        3 => 1..200i32,
        5 => 0..40_000i32,
        1 => (i32::MAX - 70)..=i32::MAX,
    ];
    // 60 requests of 2^25 blocks stay below the limit.
    prop::collection::vec(length, 0..60)
}

/// Lengths of a batch without enormous ones, for cuts into pieces of a fixed length: there would be millions of them.
fn short_lengths() -> impl Strategy<Value = Vec<i32>> {
    prop::collection::vec(prop_oneof![1 => Just(0), 4 => 1..40_000i32], 0..60)
}

/// A batch, a way to cut it (beginnings counted or not, or pieces of up to 128 blocks), and a window or none.
fn batch() -> impl Strategy<Value = (Vec<i32>, Cut, Reach)> {
    let cut = prop_oneof![
        (lengths(), (0..6u32).prop_map(Cut::balanced)),
        (short_lengths(), (0..8u32).prop_map(Cut::fixed)),
    ];
    let window = prop_oneof![Just(u32::MAX), 1..200u32, 1..40_000u32];
    (cut, window, 1..4u32)
        .prop_map(|((lengths, cut), window, s_q)| (lengths, cut, Reach::behind(window, s_q)))
}

proptest! {
    #[test]
    fn every_block_is_in_exactly_one_piece(
        (lengths, cut, reach) in batch(),
        parts in 1..400u32,
    ) {
        let mut covered: Vec<_> = lengths.iter().map(|&length| reach.visible(length).start).collect();
        let mut last = (0, 0);
        for piece in pieces(&lengths, cut, reach, parts)? {
            let covered = &mut covered[piece.request as usize];
            prop_assert_eq!(piece.blocks.start, *covered, "pieces follow each other");
            prop_assert!(!piece.blocks.is_empty());
            *covered = piece.blocks.end;
            prop_assert!(piece.part < parts);
            prop_assert!((piece.part, piece.request) >= last, "parts and requests are in order");
            last = (piece.part, piece.request);
        }
        let all: Vec<_> = lengths.iter().map(|&length| blocks(length)).collect();
        prop_assert_eq!(covered, all);
    }

    #[test]
    fn each_part_finds_its_share_alone(
        (lengths, cut, reach) in batch(),
        parts in 1..50u32,
    ) {
        let schedule = pieces(&lengths, cut, reach, parts)?.schedule();
        let mut together: Vec<(u32, u32, Range<u32>)> = Vec::new();
        for piece in pieces(&lengths, cut, reach, parts)? {
            match together.last_mut() {
                Some((part, request, blocks)) if (*part, *request) == (piece.part, piece.request) => {
                    blocks.end = piece.blocks.end;
                }
                _ => together.push((piece.part, piece.request, piece.blocks)),
            }
        }
        let mut alone = Vec::new();
        for part in 0..parts {
            let mut start = 0;
            for (request, &length) in lengths.iter().enumerate() {
                let visible = reach.visible(length);
                let share = schedule.share_of(part, start, visible.len() as u32);
                if !share.is_empty() {
                    let blocks = visible.start + share.start..visible.start + share.end;
                    alone.push((part, request as u32, blocks));
                }
                start += cut.cost(visible.len() as u32);
            }
        }
        prop_assert_eq!(together, alone);
    }

    #[test]
    fn partial_results_have_slots_of_their_own(
        (lengths, cut, reach) in batch(),
        parts in 1..400u32,
    ) {
        let slots = Schedule::slots(cut, total_cost(&lengths, cut, reach)?.into(), parts);
        let mut used = HashSet::new();
        for Piece { request, blocks: piece, slot, .. } in pieces(&lengths, cut, reach, parts)? {
            let whole = piece == reach.visible(lengths[request as usize]);
            prop_assert_eq!(slot.is_none(), whole, "a whole request has no partial result");
            if let Some(slot) = slot {
                prop_assert!(u64::from(slot) < slots);
                prop_assert!(used.insert(slot), "slot {} is used twice", slot);
            }
        }
    }

    /// What those who merge a request work out alone is what those who computed its pieces did.
    #[test]
    fn the_merge_finds_every_partial_result(
        (lengths, cut, reach) in batch(),
        parts in 1..400u32,
    ) {
        let schedule = pieces(&lengths, cut, reach, parts)?.schedule();
        let all: Vec<_> = pieces(&lengths, cut, reach, parts)?.collect();
        let mut start = 0;
        for (request, &length) in lengths.iter().enumerate() {
            let blocks = reach.visible(length).len() as u32;
            let of_request: Vec<_> =
                all.iter().filter(|piece| piece.request == request as u32).collect();
            let split = if blocks == 0 { None } else { schedule.split(start, blocks) };
            match split {
                None => prop_assert!(of_request.iter().all(|piece| piece.slot.is_none())),
                Some(split) => {
                    let slots = (0..split.pieces).map(|piece| Some(split.slots.of(piece)));
                    prop_assert!(slots.eq(of_request.iter().map(|piece| piece.slot)));
                    let (first, last) = (of_request[0].part, of_request[of_request.len() - 1].part);
                    prop_assert_eq!((split.first_part, split.parts), (first, last - first + 1));
                }
            }
            start += cut.cost(blocks);
        }
    }

    /// Every token that some query token sees is in a visible block, and the first of these has one.
    #[test]
    fn visible_blocks_hold_what_is_seen(
        length in prop_oneof![0..300i32, 0..=i32::MAX],
        window in prop_oneof![1..300u32, 1..=u32::MAX],
        s_q in 1..70u32,
    ) {
        let visible = Reach::behind(window, s_q).visible(length);
        prop_assert_eq!(visible.end, blocks(length));
        // The first query token sees the most at the beginning.
        let first_seen = i64::from(length) - i64::from(s_q) + 1 - i64::from(window);
        prop_assert_eq!(i64::from(visible.start), first_seen.max(0) / 64);
        prop_assert_eq!(visible.is_empty(), length == 0);
    }

    /// A request is cut into the same pieces whatever stands before it.
    #[test]
    fn fixed_pieces_do_not_depend_on_the_batch(
        lengths in short_lengths(),
        length in 1..40_000i32,
        log2 in 0..8u32,
        parts in 1..400u32,
    ) {
        let of_last = |lengths: &[i32], parts| -> Result<Vec<_>> {
            let last = lengths.len() as u32 - 1;
            let all = pieces(lengths, Cut::fixed(log2), Reach::ALL, parts)?;
            Ok(all.filter(|piece| piece.request == last).map(|piece| piece.blocks).collect())
        };
        let mut batch = lengths;
        batch.push(length);
        prop_assert_eq!(of_last(&batch, parts)?, of_last(&[length], 1)?);
    }

    #[test]
    fn no_part_has_more_than_its_share(
        (lengths, cut, reach) in batch(),
        parts in 1..400u32,
    ) {
        let share = pieces(&lengths, cut, reach, parts)?.schedule().share;
        let mut load = vec![0; parts as usize];
        for piece in pieces(&lengths, cut, reach, parts)? {
            load[piece.part as usize] += cut.units(piece.blocks.len() as u32);
        }
        prop_assert!(load.iter().all(|&units| units <= share));
        let total = u64::from(total_cost(&lengths, cut, reach)?);
        prop_assert!(u64::from(share) <= total.div_ceil(parts.into()).max(1));
    }
}

#[test]
fn costs_that_32_bits_cannot_count_are_refused() {
    let most = u64::from(CUT.cost(blocks(i32::MAX)));
    let requests = (COST_LIMIT / most) as usize;
    assert!(total_cost(&vec![i32::MAX; requests], CUT, Reach::ALL).is_ok());
    let cost = most * (requests as u64 + 1);
    let refused = Err(Error::ScheduleTooLarge { cost, limit: COST_LIMIT });
    assert_eq!(total_cost(&vec![i32::MAX; requests + 1], CUT, Reach::ALL), refused);
}

#[test]
fn there_must_be_a_part() {
    let refused = pieces(&[1], CUT, Reach::ALL, 0).map(|_| ());
    assert!(matches!(refused, Err(Error::OutOfRange { arg: "parts", .. })));
}

#[test]
fn one_request_over_many_parts() -> Result<()> {
    // 5 + 9 blocks of cost in 3 parts of 5: the first part begins the request and has no block of it.
    let found: Vec<_> =
        pieces(&[9 * 64], CUT, Reach::ALL, 3)?.map(|piece| (piece.part, piece.blocks)).collect();
    assert_eq!(found, [(1, 0..5), (2, 5..9)]);
    Ok(())
}
