//! Rows of a batch in the order of their requests, where the host can read the indices: checked, and cut into one
//! run for each request.

use std::ops::Range;
use std::ptr;

use crate::check;
use crate::error::{Error, Result};
use crate::tensor::TensorRef;

/// Consecutive rows of one request, at consecutive positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Index of the request in the batch.
    pub request: usize,
    /// The rows.
    pub rows: Range<usize>,
    /// Position of the first of them.
    pub position: usize,
}

/// A row, and the token that it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Index of the request in the batch.
    pub request: usize,
    /// Index of the row.
    pub row: usize,
    /// Position of the token in its request.
    pub position: usize,
}

impl Run {
    /// The place of every row.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        let Self { request, rows, position } = self.clone();
        rows.zip(position..).map(move |(row, position)| Place { request, row, position })
    }
}

/// A request's index in its batch, and its rows.
type Request = (usize, Range<usize>);

/// The rows of each request by `offsets [batch + 1]`, of `rows` rows in all.
///
/// # Errors
/// [`Error::OutOfRange`] if an offset is less than the one before it, or more than there are rows.
pub(super) fn by_offsets(
    arg: &'static str,
    offsets: &TensorRef<'_>,
    rows: usize,
) -> Result<Vec<Request>> {
    let mut start = 0;
    let mut requests = Vec::new();
    for index in 0..offsets.shape()[0] {
        let offset = index_at(offsets, [index]);
        check::range(arg, offset, start as i128, rows as i128)?;
        if index > 0 {
            requests.push((index - 1, start..offset as usize));
        }
        start = offset as usize;
    }
    Ok(requests)
}

/// The same number of rows for each of `batch` requests, `rows` in all.
pub(super) fn evenly(batch: usize, rows: usize) -> Vec<Request> {
    let each = rows.checked_div(batch).unwrap_or(0);
    (0..batch).map(|request| (request, request * each..(request + 1) * each)).collect()
}

/// The rows at the ends of requests of `lengths` tokens. Rows that would lie before the first token are left out.
///
/// # Errors
/// - [`Error::NegativeLength`].
/// - [`Error::OutOfRange`] if a request with rows has more than `positions` tokens.
pub(super) fn at_the_end(
    requests: Vec<Request>,
    lengths: &TensorRef<'_>,
    positions: Option<usize>,
) -> Result<Vec<Run>> {
    let run = |(request, rows): Request| {
        let got = index_at(lengths, [request]);
        let length = usize::try_from(got).map_err(|_| Error::NegativeLength { request, got })?;
        if let (Some(max), false) = (positions, rows.is_empty()) {
            check::range("lengths", got, 0, max as i128)?;
        }
        let kept = rows.len().min(length);
        Ok(Run { request, rows: rows.end - kept..rows.end, position: length - kept })
    };
    requests.into_iter().map(run).collect()
}

/// The rows of requests from their first token on.
pub(super) fn from_the_start(requests: Vec<Request>) -> Vec<Run> {
    requests.into_iter().map(|(request, rows)| Run { request, rows, position: 0 }).collect()
}

/// Refuses runs past the end of their row of `block_table`, or in blocks that the cache has not: of so many blocks, of
/// so many tokens each.
///
/// # Errors
/// [`Error::LengthBeyondTable`], [`Error::BlockOutOfPool`].
pub(super) fn check_blocks(
    runs: &[Run],
    block_table: &TensorRef<'_>,
    [blocks_in_cache, block_size]: [usize; 2],
) -> Result<()> {
    let columns = block_table.shape()[1];
    for Run { request, rows, position } in runs.iter().filter(|run| !run.rows.is_empty()) {
        let (request, end) = (*request, position + rows.len());
        if end.div_ceil(block_size) > columns {
            let length = i32::try_from(end).unwrap_or(i32::MAX);
            return Err(Error::LengthBeyondTable { request, length, blocks: columns });
        }
        for index in position / block_size..end.div_ceil(block_size) {
            let id = index_at(block_table, [request, index]);
            if !usize::try_from(id).is_ok_and(|id| id < blocks_in_cache) {
                return Err(Error::BlockOutOfPool { request, index, id, blocks: blocks_in_cache });
            }
        }
    }
    Ok(())
}

/// An element of a tensor of `i32` on the host, whose type, location and alignment have been checked.
pub(crate) fn index_at<const RANK: usize>(tensor: &TensorRef<'_>, index: [usize; RANK]) -> i32 {
    let element: *const i32 = ptr::with_exposed_provenance(tensor.address_at(index));
    // SAFETY: an aligned `i32` of a view of host memory, inside its shape.
    unsafe { element.read() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[i32]) -> TensorRef<'_> {
        TensorRef::from_slice(values, &[values.len()]).unwrap()
    }

    #[test]
    fn offsets_never_fall_and_stay_among_the_rows() {
        let cut = |offsets: &[i32]| by_offsets("offsets", &tensor(offsets), 10);
        assert_eq!(cut(&[0, 3, 3, 10]), Ok(vec![(0, 0..3), (1, 3..3), (2, 3..10)]));
        assert_eq!(cut(&[2, 4]), Ok(vec![(0, 2..4)]));
        let refused = |min, got| Err(Error::OutOfRange { arg: "offsets", min, max: 10, got });
        assert_eq!(cut(&[0, 3, 2]), refused(3, 2));
        assert_eq!(cut(&[0, 11]), refused(0, 11));
        assert_eq!(cut(&[-1, 11]), refused(0, -1));
    }

    #[test]
    fn new_rows_are_the_last_of_their_request() {
        let lengths = [70, 1, 0];
        let runs = at_the_end(evenly(3, 6), &tensor(&lengths), None);
        let run = |request, rows, position| Run { request, rows, position };
        assert_eq!(runs, Ok(vec![run(0, 0..2, 68), run(1, 3..4, 0), run(2, 6..6, 0)]));
        let refused = at_the_end(evenly(3, 6), &tensor(&lengths), Some(69));
        assert_eq!(refused, Err(Error::OutOfRange { arg: "lengths", min: 0, max: 69, got: 70 }));
        let refused = at_the_end(evenly(1, 1), &tensor(&[-2]), None);
        assert_eq!(refused, Err(Error::NegativeLength { request: 0, got: -2 }));
    }

    #[test]
    fn only_blocks_that_are_touched_are_checked() -> Result<()> {
        let ids = [9, 1, -1, 2, 3, 4];
        let table = TensorRef::from_slice(&ids, &[2, 3])?;
        let run = |request, position, rows| [Run { request, rows: 0..rows, position }];
        assert_eq!(check_blocks(&run(0, 64, 64), &table, [5, 64]), Ok(()));
        let refused = |index, id| Err(Error::BlockOutOfPool { request: 0, index, id, blocks: 5 });
        assert_eq!(check_blocks(&run(0, 63, 2), &table, [5, 64]), refused(0, 9));
        assert_eq!(check_blocks(&run(0, 64, 65), &table, [5, 64]), refused(2, -1));
        let beyond = Error::LengthBeyondTable { request: 1, length: 193, blocks: 3 };
        assert_eq!(check_blocks(&run(1, 190, 3), &table, [5, 64]), Err(beyond));
        assert_eq!(check_blocks(&run(1, 999, 0), &table, [5, 64]), Ok(()));
        Ok(())
    }
}
