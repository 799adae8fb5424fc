//! The cache kernels, run thread by thread in the SIMT machine and compared with f64, or bit by bit.

mod bad_indices;
mod fp8;
mod problem;

use oxmla_kernels::simulate::{CacheFormat, CopyBlocks, ElementType, GatherRows};
use oxmla_simt::Timing;
use problem::{Aligned, BLOCK, D_QK, Problem, Rows, Shape, random_bits};

/// Every request's new rows, and how many tokens it has afterwards.
fn requests(requests: &[(u32, i32)]) -> Shape {
    let (new, lengths) = requests.iter().copied().unzip();
    Shape { new, lengths, ..Shape::default() }
}

#[test]
fn one_new_token_each() {
    for (seed, rows) in [Rows::Even, Rows::Ragged].into_iter().enumerate() {
        let shape = requests(&[(1, 1), (1, 64), (1, 65), (1, 128), (1, 200)]);
        Problem::new(Shape { rows, ..shape }, seed as u64).check();
    }
}

#[test]
fn rows_that_cross_blocks_and_end_at_their_borders() {
    for element in [ElementType::Bf16, ElementType::F16] {
        let shape = requests(&[(3, 65), (70, 140), (64, 64), (2, 64), (1, 66)]);
        Problem::new(Shape { element, ..shape }, 2).check();
        Problem::new(Shape { rows: Rows::Even, element, ..requests(&[(5, 66); 3]) }, 3).check();
    }
}

#[test]
fn requests_without_new_tokens() {
    Problem::new(requests(&[(0, 0), (0, 100), (2, 2), (0, 5), (0, 0), (1, 1), (0, 9)]), 4).check();
}

/// More requests than one step of the search compares with.
#[test]
fn large_batches() {
    for batch in [31, 32, 33, 100, 1025] {
        let new = |request: u32| if request % 3 == 1 { 0 } else { request % 2 };
        let shape: Vec<_> = (0..batch).map(|r| (new(r), new(r) as i32 + (r % 5) as i32)).collect();
        Problem::new(requests(&shape), u64::from(batch)).check();
    }
}

#[test]
fn normalisation_and_rotation_are_optional() {
    let shape = requests(&[(2, 66), (3, 3)]);
    for (normalise, rotate) in [(false, false), (true, false), (false, true)] {
        for element in [ElementType::Bf16, ElementType::F16] {
            let shape = Shape { normalise, rotate, element, ..shape.clone() };
            Problem::new(shape, 5).check();
        }
    }
}

#[test]
fn rows_with_gaps() {
    for (latent_stride, rope_stride) in [(576, 576), (520, 66), (2048, 64)] {
        let shape = requests(&[(2, 66), (9, 9)]);
        Problem::new(Shape { latent_stride, rope_stride, ..shape }, 6).check();
    }
}

/// Rows that cross blocks and end at their borders.
#[test]
fn blocks_of_other_sizes() {
    for (seed, block_size) in [16, 32, 128].into_iter().enumerate() {
        let shape = requests(&[(3, 17), (70, 140), (1, 33), (32, 32), (1, 129), (200, 200)]);
        Problem::new(Shape { block_size, ..shape }, 9 + seed as u64).check();
        check_gathered(block_size, [130, 128, 7], 0);
        check_gathered(block_size, [1, 0, 64], 3);
    }
}

/// Offsets may end before the rows do: a captured launch has as many rows as a step can have.
#[test]
fn rows_behind_the_last_request_are_left_out() {
    Problem::new(Shape { padding: 20, ..requests(&[(2, 66), (9, 9)]) }, 7).check();
}

#[test]
fn the_order_in_which_warps_run_changes_nothing() {
    let problem = Problem::new(requests(&[(3, 65), (1, 64), (20, 90)]), 8);
    let first = problem.run(|launch| launch);
    for seed in 1..4 {
        assert_eq!(first, problem.run(|launch| launch.seed(seed).timing(Timing::Random)));
    }
}

#[test]
fn blocks_are_copied() {
    for h_k in [1, 3] {
        let block = BLOCK * h_k as usize;
        let before = Aligned::new(&random_bits(6 * block, 1));
        for pairs in [&[4, 1][..], &[0, 5, 2, 3], &[1, 1]] {
            let mut after = before.clone();
            let bytes_per_block = 2 * block;
            let copy = CopyBlocks { bytes_per_block, pairs, kv_cache: after.as_mut_bytes() };
            copy.run(|launch| launch.seed(3)).unwrap_or_else(|report| panic!("{report}"));
            let mut expected = before.as_slice().to_vec();
            for pair in pairs.chunks(2) {
                let from = pair[0] as usize * block;
                expected.copy_within(from..from + block, pair[1] as usize * block);
            }
            assert!(after.as_slice() == expected, "{h_k} KV heads, {pairs:?}");
        }
    }
}

#[test]
fn rows_are_gathered() {
    for (lengths, padding) in [([130, 128, 7], 0), ([1, 0, 64], 3), ([192, 65, 0], 1)] {
        check_gathered(64, lengths, padding);
    }
}

/// Gathers three requests of `lengths` tokens, and has `padding` rows more.
fn check_gathered(block_size: usize, lengths: [i32; 3], padding: usize) {
    let mut random = fastrand::Rng::with_seed(block_size as u64);
    let columns = lengths.map(|length| (length as usize).div_ceil(block_size));
    let columns = columns.into_iter().max().unwrap_or(0);
    let mut table: Vec<i32> = (0..3 * columns as i32).collect();
    random.shuffle(&mut table);
    let cache = Aligned::new(&random_bits(3 * columns * block_size * D_QK, 2));
    let mut offsets = vec![0i32];
    offsets.extend(lengths.iter().scan(0, |end, length| {
        *end += length;
        Some(*end)
    }));
    let total = offsets[3] as usize;
    let rows = total + padding;
    let mut out = Aligned::new(&vec![0xabcd; rows * D_QK]);
    let gather = GatherRows {
        element: ElementType::Bf16,
        format: CacheFormat::Elements,
        block_size: block_size as u32,
        rows: rows as u32,
        kv_cache: cache.as_bytes(),
        block_table: &table,
        offsets: &offsets,
        out: out.as_mut_slice(),
    };
    gather.run(|launch| launch.seed(1)).unwrap_or_else(|report| panic!("{report}"));
    let mut expected = Vec::new();
    for (request, length) in lengths.into_iter().enumerate() {
        for position in 0..length as usize {
            let block = table[columns * request + position / block_size] as usize;
            let row = (block * block_size + position % block_size) * D_QK;
            expected.extend_from_slice(&cache.as_slice()[row..row + D_QK]);
        }
    }
    expected.resize(rows * D_QK, 0xabcd);
    assert!(out.as_slice() == expected, "{block_size}, {lengths:?}");
}
