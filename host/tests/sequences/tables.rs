//! Lengths and block ids from anywhere: what a table and a planner refuse, and that they say why truly.

use oxmla::{
    BLOCK_SIZE, BlockTable, DType, Device, Error, Mask, MlaDims, Planner, PlannerConfig, Result,
    Step, StreamRef, TensorRef,
};

const MAX_BATCH: usize = 4;
const MAX_BLOCKS: usize = 3;
const MAX_S_Q: u32 = 2;
const BLOCKS: usize = 10;

/// Lengths, and as many rows of ids.
struct Request {
    length: i32,
    row: Vec<i32>,
}

/// Makes a step of the bytes, and sees that it is refused if and only if something is wrong with it.
pub fn check(bytes: &[u8]) -> Result<()> {
    let mut bytes = bytes.iter().copied();
    let mut next = || bytes.next().unwrap_or(0);
    let (batch, columns, s_q) = (next() % 6, usize::from(next() % 5), u32::from(next() % 4));
    let requests: Vec<_> = (0..batch)
        .map(|_| Request {
            length: length(next()),
            row: (0..columns).map(|_| id(next())).collect(),
        })
        .collect();
    let lengths: Vec<_> = requests.iter().map(|request| request.length).collect();
    let rows: Vec<_> = requests.iter().map(|request| &*request.row).collect();

    let refused = requests.iter().any(|request| blocks(request).is_none());
    match BlockTable::from_rows(&lengths, &rows) {
        Err(error) => assert!(is_true(&error, &requests, s_q), "{error}"),
        Ok(table) => {
            assert!(!refused);
            assert_eq!((table.lengths(), table.ids()), (&*lengths, &*rows.concat()));
        }
    }

    let fits = batch as usize <= MAX_BATCH && columns <= MAX_BLOCKS && (1..=MAX_S_Q).contains(&s_q);
    let refused = refused || !fits || requests.iter().any(|request| bad_id(request).is_some());
    let (ids, shape) = (rows.concat(), [lengths.len(), columns]);
    let block_table = TensorRef::from_slice(&ids, &shape)?;
    let step = Step { lengths: &lengths, block_table, s_q, mask: Mask::Causal };
    match planner()?.plan(StreamRef::cpu(), step) {
        Err(error) => assert!(is_true(&error, &requests, s_q), "{error}"),
        Ok(plan) => {
            assert!(!refused);
            let tokens: i64 = lengths.iter().copied().map(i64::from).sum();
            assert_eq!((plan.batch(), plan.summary().tokens as i64), (lengths.len(), tokens));
        }
    }
    Ok(())
}

fn planner() -> Result<Planner> {
    let config = PlannerConfig {
        dims: MlaDims::deepseek_v3(),
        dtype: DType::Bf16,
        max_batch: MAX_BATCH,
        max_blocks_per_sequence: MAX_BLOCKS,
        max_s_q: MAX_S_Q,
        block_size: BLOCK_SIZE,
        blocks_in_cache: BLOCKS,
    };
    Planner::new(&Device::cpu(), config)
}

/// Mostly lengths that a row of a few blocks holds.
fn length(byte: u8) -> i32 {
    match byte {
        0..250 => i32::from(byte),
        250..253 => i32::MAX - i32::from(byte - 250),
        253.. => i32::MIN + i32::from(byte - 253),
    }
}

/// Mostly ids of blocks that there are.
fn id(byte: u8) -> i32 {
    match byte {
        0..240 => i32::from(byte) % BLOCKS as i32,
        240..245 => BLOCKS as i32,
        245..250 => i32::MAX,
        250.. => i32::MIN + i32::from(byte - 250),
    }
}

/// Blocks that a request uses, if it has them.
fn blocks(request: &Request) -> Option<usize> {
    let blocks = usize::try_from(request.length).ok()?.div_ceil(BLOCK_SIZE);
    (blocks <= request.row.len()).then_some(blocks)
}

/// The first used id that no block has.
fn bad_id(request: &Request) -> Option<usize> {
    let used = &request.row[..blocks(request)?];
    used.iter().position(|id| !(0..BLOCKS as i32).contains(id))
}

/// Whether what an error says is so.
fn is_true(error: &Error, requests: &[Request], s_q: u32) -> bool {
    match *error {
        Error::NegativeLength { request, got } => requests[request].length == got && got < 0,
        Error::LengthBeyondTable { request: index, length, blocks: row } => {
            let request = &requests[index];
            (request.length, request.row.len()) == (length, row)
                && length >= 0
                && blocks(request).is_none()
        }
        Error::BlockOutOfPool { request, index, id, blocks: BLOCKS } => {
            let request = &requests[request];
            bad_id(request) == Some(index) && request.row[index] == id
        }
        Error::Capacity { quantity: "batch", limit: MAX_BATCH, got } => {
            got > MAX_BATCH && got == requests.len()
        }
        Error::Capacity { quantity: "max_blocks", limit: MAX_BLOCKS, got } => {
            got > MAX_BLOCKS && requests.iter().all(|request| request.row.len() == got)
        }
        Error::Capacity { quantity: "s_q", got, .. } => got == s_q as usize && s_q > MAX_S_Q,
        Error::OutOfRange { arg: "s_q", got, .. } => got == 0 && s_q == 0,
        _ => false,
    }
}
