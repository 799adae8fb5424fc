//! Lengths, offsets and ids that make no sense: the machine reports any access outside, and rows that have a place
//! get there all the same.

use oxmla_kernels::simulate::{CacheFormat, CopyBlocks, ElementType, GatherRows};

use crate::problem::{Aligned, BLOCK, D_QK, Problem, Rows, Shape, random_bits};

fn shape() -> Shape {
    Shape { new: vec![2, 1, 70], lengths: vec![66, 64, 140], ..Shape::default() }
}

/// Rows of the cache that differ from those of a good launch.
fn rows_missing(spoil: impl FnOnce(&mut Problem)) -> usize {
    let mut problem = Problem::new(shape(), 1);
    let good = problem.run(|launch| launch);
    spoil(&mut problem);
    let bad = problem.run(|launch| launch);
    let differs = |(good, bad): &(&[u16], &[u16])| {
        assert!(good == bad || bad.iter().all(|&bits| bits == 0x7fff), "a row was misplaced");
        good != bad
    };
    good.chunks(D_QK).zip(bad.chunks(D_QK)).filter(differs).count()
}

#[test]
fn nothing_spoilt_nothing_missing() {
    assert_eq!(rows_missing(|_| {}), 0);
}

#[test]
fn ids_of_no_block() {
    for id in [-1, i32::MIN, i32::MAX] {
        assert_eq!(rows_missing(|problem| problem.table[1] = id), 2);
    }
    assert_eq!(rows_missing(|problem| problem.table[3] = problem.blocks as i32), 1);
}

#[test]
fn lengths_that_new_rows_do_not_fit() {
    for length in [0, -1, i32::MIN, i32::MAX, 64 * 3 + 2] {
        assert_eq!(rows_missing(|problem| problem.shape.lengths[0] = length), 2, "{length}");
    }
}

#[test]
fn positions_without_a_rotation() {
    // The last request's rows are at positions 70 to 139.
    assert_eq!(rows_missing(|problem| problem.rotations.truncate(100 * 32)), 40);
}

#[test]
fn offsets_without_sense() {
    for offsets in [
        [i32::MIN, -5, i32::MAX, i32::MIN],
        [i32::MAX; 4],
        [-1; 4],
        [100, 50, 20, 0],
        [0, 0, 0, i32::MAX],
    ] {
        let mut problem = Problem::new(shape(), 2);
        problem.offsets.copy_from_slice(&offsets);
        problem.run(|launch| launch);
    }
}

#[test]
fn rows_of_no_request() {
    let mut problem = Problem::new(Shape { rows: Rows::Even, ..shape() }, 3);
    problem.shape.new.clear();
    problem.shape.lengths.clear();
    let cache = problem.run(|launch| launch);
    assert!(cache.iter().all(|&bits| bits == 0x7fff));
}

#[test]
fn copies_of_no_block() {
    let before = Aligned::new(&random_bits(3 * BLOCK, 1));
    let mut after = before.clone();
    let pairs = [0, 3, 3, 0, -1, 1, 2, i32::MIN, i32::MAX, i32::MAX];
    let bytes_per_block = 2 * BLOCK;
    let copy = CopyBlocks { bytes_per_block, pairs: &pairs, kv_cache: after.as_mut_bytes() };
    copy.run(|launch| launch).unwrap_or_else(|report| panic!("{report}"));
    assert!(before == after);
}

#[test]
fn rows_gathered_from_nowhere() {
    let cache = Aligned::new(&random_bits(2 * BLOCK, 2));
    for (table, offsets) in [
        ([-1, 2, i32::MAX, i32::MIN], [0, 100, 228]),
        ([0, 1, 0, 1], [0, i32::MAX, i32::MAX]),
        ([0, 1, 0, 1], [-3, -2, -1]),
        ([0, 1, 0, 1], [200, 100, 228]),
    ] {
        let mut out = Aligned::new(&vec![0; 228 * D_QK]);
        let gather = GatherRows {
            element: ElementType::Bf16,
            format: CacheFormat::Elements,
            block_size: 64,
            rows: 228,
            kv_cache: cache.as_bytes(),
            block_table: &table,
            offsets: &offsets,
            out: out.as_mut_slice(),
        };
        gather.run(|launch| launch).unwrap_or_else(|report| panic!("{report}"));
    }
}
