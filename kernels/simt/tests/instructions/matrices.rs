//! `ldmatrix` and `stmatrix`.

use oxmla_simt::{barrier, matrix, shared, special};

use crate::support::collect;

/// Element `(row, column)` of matrix `m`.
fn element(m: u32, row: u32, column: u32) -> u32 {
    1000 * m + 10 * row + column
}

/// Row `row` of matrix `m` lies somewhere aligned to 16 bytes, not in order.
fn row_at(m: u32, row: u32) -> u32 {
    shared::base() + 16 * ((8 * m + row) * 7 % 32)
}

/// What register `m` of a lane holds: two neighbours of a row, or of a column.
fn register(m: u32, lane: u32, transpose: bool) -> u32 {
    let (major, minor) = (lane / 4, lane % 4 * 2);
    let at =
        |i| if transpose { element(m, minor + i, major) } else { element(m, major, minor + i) };
    at(0) | at(1) << 16
}

fn write_matrices() {
    if special::thread_index() == 0 {
        for m in 0..4 {
            for row in 0..8 {
                for column in 0..8 {
                    shared::store_u16(row_at(m, row) + 2 * column, element(m, row, column) as u16);
                }
            }
        }
    }
    barrier::sync_threads();
}

#[test]
fn loads() {
    for transpose in [false, true] {
        let got = collect(32, |lane| {
            write_matrices();
            let address = row_at(lane / 8, lane % 8);
            let four = matrix::load::<4>(address, transpose);
            let two = matrix::load::<2>(address, transpose);
            let one = matrix::load::<1>(address, transpose);
            assert_eq!((two, one), ([four[0], four[1]], [four[0]]));
            four
        });
        for (lane, words) in got.into_iter().enumerate() {
            let expected = [0, 1, 2, 3].map(|m| register(m, lane as u32, transpose));
            assert_eq!(words, expected, "lane {lane}, transpose {transpose}");
        }
    }
}

#[test]
fn stores() {
    for transpose in [false, true] {
        let got = collect(32, |lane| {
            let registers = [0, 1, 2, 3].map(|m| register(m, lane, transpose));
            matrix::store::<4>(row_at(lane / 8, lane % 8), registers, transpose);
            barrier::sync_threads();
            let read = |m, row, column| shared::load_u16(row_at(m, row) + 2 * column).into();
            std::array::from_fn::<u32, 8, _>(|column| read(lane / 8, lane % 8, column as u32))
        });
        for (lane, words) in got.into_iter().enumerate() {
            let (m, row) = (lane as u32 / 8, lane as u32 % 8);
            assert_eq!(words, std::array::from_fn(|column| element(m, row, column as u32)));
        }
    }
}
