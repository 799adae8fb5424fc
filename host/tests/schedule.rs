//! The schedule for any lengths and any number of parts.

use std::collections::HashSet;

use oxmla::plan::schedule::{COST_LIMIT, Piece, pieces, total_cost};
use oxmla::{Error, Result};
use oxmla_kernels::decode::schedule::{blocks, cost, slot};
use proptest::prelude::*;

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

proptest! {
    #[test]
    fn every_block_is_in_exactly_one_piece(lengths in lengths(), parts in 1..400u32) {
        let mut covered = vec![0; lengths.len()];
        let mut last = (0, 0);
        for piece in pieces(&lengths, parts)? {
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
    fn each_part_finds_the_same_pieces_alone(lengths in lengths(), parts in 1..50u32) {
        let schedule = pieces(&lengths, parts)?.schedule();
        let mut alone = Vec::new();
        for part in 0..parts {
            let mut start = 0;
            for (request, &length) in lengths.iter().enumerate() {
                let piece = schedule.piece(part, start, blocks(length));
                if !piece.is_empty() {
                    alone.push((part, request as u32, piece));
                }
                start += cost(blocks(length));
            }
        }
        let together = pieces(&lengths, parts)?.map(|piece| (piece.part, piece.request, piece.blocks));
        prop_assert!(together.eq(alone));
    }

    #[test]
    fn a_part_has_at_most_two_partial_results_with_slots_of_their_own(
        lengths in lengths(),
        parts in 1..400u32,
    ) {
        let mut slots = HashSet::new();
        for Piece { part, request, blocks: piece, slot } in pieces(&lengths, parts)? {
            let whole = piece == (0..blocks(lengths[request as usize]));
            prop_assert_eq!(slot.is_none(), whole, "a whole request has no partial result");
            if let Some(slot) = slot {
                prop_assert!(slot < 2 * parts && slot / 2 == part);
                prop_assert!(slots.insert(slot), "slot {} is used twice", slot);
            }
        }
    }

    /// What the combine kernel works out for a request alone is what the decode kernels did.
    #[test]
    fn the_merge_finds_every_partial_result(lengths in lengths(), parts in 1..400u32) {
        let schedule = pieces(&lengths, parts)?.schedule();
        let all: Vec<_> = pieces(&lengths, parts)?.collect();
        let mut start = 0;
        for (request, &length) in lengths.iter().enumerate() {
            let blocks = blocks(length);
            let of_request = all.iter().filter(|piece| piece.request == request as u32);
            if blocks > 0 {
                let (first, last) = schedule.parts_of(start, blocks);
                let expected = (first..=last).map(|part| {
                    (part, (first != last).then_some(slot(part, part == first)))
                });
                prop_assert!(of_request.map(|piece| (piece.part, piece.slot)).eq(expected));
            } else {
                prop_assert_eq!(of_request.count(), 0);
            }
            start += cost(blocks);
        }
    }

    #[test]
    fn no_part_has_more_than_its_share(lengths in lengths(), parts in 1..400u32) {
        let share = pieces(&lengths, parts)?.schedule().share;
        let mut load = vec![0; parts as usize];
        for piece in pieces(&lengths, parts)? {
            load[piece.part as usize] += piece.blocks.len() as u32;
        }
        prop_assert!(load.iter().all(|&blocks| blocks <= share));
        let total = u64::from(total_cost(&lengths)?);
        prop_assert!(u64::from(share) <= total.div_ceil(parts.into()).max(1));
    }
}

#[test]
fn costs_that_32_bits_cannot_count_are_refused() {
    let most = u64::from(cost(blocks(i32::MAX)));
    let requests = (COST_LIMIT / most) as usize;
    assert!(total_cost(&vec![i32::MAX; requests]).is_ok());
    let cost = most * (requests as u64 + 1);
    let refused = Err(Error::ScheduleTooLarge { cost, limit: COST_LIMIT });
    assert_eq!(total_cost(&vec![i32::MAX; requests + 1]), refused);
}

#[test]
fn there_must_be_a_part() {
    let refused = pieces(&[1], 0).map(|_| ());
    assert!(matches!(refused, Err(Error::OutOfRange { arg: "parts", .. })));
}

#[test]
fn one_request_over_many_parts() -> Result<()> {
    // 5 + 9 blocks of cost in 3 parts of 5: the first part begins the request and has no block of it.
    let found: Vec<_> = pieces(&[9 * 64], 3)?.map(|piece| (piece.part, piece.blocks)).collect();
    assert_eq!(found, [(1, 0..5), (2, 5..9)]);
    Ok(())
}
