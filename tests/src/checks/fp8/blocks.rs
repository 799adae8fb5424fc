//! Rows gathered from FP8 blocks, and blocks copied.

use anyhow::{Result, ensure};
use oxmla::cache::{BLOCK_SIZES, CopyBlocks, Fp8Format, GatherRows, copy_blocks, gather};
use oxmla::{Buffer, DType, Device, TensorMut, TensorRef};

use super::{FORMATS, with_gaps};
use crate::element::widen;
use crate::guarded::{Guarded, Snapshot};
use crate::layout::Layout;
use crate::random::SplitMix64;
use crate::session::Session;

/// Where the rows of three requests begin and end.
const OFFSETS: [i32; 4] = [0, 128, 139, 200];
/// Tokens of a row of the table, and of all blocks.
const ROW_TOKENS: usize = 128;
const TOKENS: usize = 3 * ROW_TOKENS;

/// A format, and tokens of a block.
type Kind = (Fp8Format, usize);

/// All of them.
fn kinds() -> impl Iterator<Item = Kind> {
    FORMATS.into_iter().flat_map(|format| BLOCK_SIZES.map(|block_size| (format, block_size)))
}

fn layout((format, block_size): Kind) -> Layout<4> {
    with_gaps(format, TOKENS / block_size, block_size)
}

/// Blocks in a random order; of what the second request has not, no entry means anything.
fn table((_, block_size): Kind) -> Vec<i32> {
    let columns = ROW_TOKENS / block_size;
    let mut table: Vec<i32> = (0..3 * columns as i32).collect();
    SplitMix64::new(block_size as u64).shuffle(&mut table);
    table[columns + 1..2 * columns].fill(i32::MAX);
    table
}

/// Any bytes, which are codes, scales and rope elements of all kinds; what is in the gaps is NaN.
///
/// No word ends in an exponent of NaN: the simulator takes some of those for accumulators in flight.
fn random_cache(kind: Kind, seed: u64) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let Layout { shape, strides: [stride, ..] } = layout(kind);
    let mut bytes = vec![0xff; shape[0] * stride];
    for block in bytes.chunks_mut(stride) {
        let block = &mut block[..bytes_per_block(kind)];
        block.fill_with(|| random.next_u64() as u8);
        let ends = block.iter_mut().skip(3).step_by(4);
        ends.filter(|byte| **byte & 0x7f == 0x7f).for_each(|byte| *byte ^= 1);
    }
    bytes
}

fn bytes_per_block((format, block_size): Kind) -> usize {
    format.bytes_per_block(block_size as u32) as usize
}

fn upload(device: &Device, bytes: &[u8]) -> oxmla::Result<Buffer> {
    let mut buffer = device.alloc(bytes.len())?;
    buffer.write(0, bytes)?;
    Ok(buffer)
}

fn view(buffer: &Buffer, kind: Kind) -> oxmla::Result<TensorRef<'_>> {
    let Layout { shape, strides } = layout(kind);
    // SAFETY: the buffer was made of all the layout's blocks, and is borrowed for as long as the view.
    unsafe { TensorRef::from_raw(buffer.address(), DType::U8, &shape, &strides, buffer.location()) }
}

/// Rows of several requests come out dequantised, as on the CPU but for which NaN it is, between canaries.
pub fn gathered_rows(session: &mut Session) -> Result<()> {
    let cpu = Device::cpu();
    for (seed, kind) in kinds().enumerate() {
        for dtype in [DType::Bf16, DType::F16] {
            let bytes = random_cache(kind, seed as u64);
            let found = gather_on(session.device(), session, kind, dtype, &bytes)?;
            let expected = gather_on(&cpu, session, kind, dtype, &bytes)?;
            let width = kind.0.layout().latent as usize + 64;
            for row in 0..OFFSETS[3] as usize + 2 {
                let [found, expected] = [&found, &expected].map(|out| out.row([row, 0]));
                let mut values = [vec![0.0; width], vec![0.0; width]];
                widen(dtype, found, &mut values[0]);
                widen(dtype, expected, &mut values[1]);
                for d in 0..width {
                    let [got, wanted] = [values[0][d], values[1][d]];
                    let same = found[d] == expected[d] || got.is_nan() && wanted.is_nan();
                    ensure!(
                        same,
                        "{kind:?}, {dtype}: element {d} of row {row} is {got:e}, not {wanted:e}"
                    );
                }
            }
        }
    }
    Ok(())
}

/// Gathers on a device, or on the CPU beside the session's.
fn gather_on(
    device: &Device,
    session: &Session,
    kind: Kind,
    dtype: DType,
    bytes: &[u8],
) -> Result<Snapshot<u16, 2>> {
    let on_session = device.location() == session.device().location();
    let own = device.stream()?;
    let stream = if on_session { session.stream().as_ref() } else { own.as_ref() };
    let (cache, table) = (upload(device, bytes)?, device.upload(&table(kind))?);
    let device_offsets = device.upload(&OFFSETS)?;
    // Two rows more than there are tokens, and gaps between them.
    let width = kind.0.layout().latent as usize + 64;
    let layout = Layout { shape: [OFFSETS[3] as usize + 2, width], strides: [width + 8, 1] };
    let mut out = Guarded::<u16, 2>::new(device, dtype, layout)?;
    let args = GatherRows {
        kv_cache: view(&cache, kind)?,
        block_table: table.view(DType::I32, &[3, ROW_TOKENS / kind.1])?,
        offsets: device_offsets.view(DType::I32, &[4])?,
        out: out.view_mut()?,
    };
    gather(device, stream, args)?;
    session.stream().synchronize()?;
    out.snapshot()
}

/// Copies leave every other block, and the gaps between them, as they were.
pub fn copied_blocks(session: &mut Session) -> Result<()> {
    let device = session.device().clone();
    for kind in kinds() {
        // There are three blocks of 128 tokens.
        for pairs in [vec![2, 1], vec![0, 2], vec![2, 2]] {
            let mut bytes = random_cache(kind, 7);
            let cache = upload(&device, &bytes)?;
            let device_pairs = device.upload(&pairs)?;
            let Layout { shape, strides } = layout(kind);
            // SAFETY: as in `view`; the buffer is not used otherwise before the copy is done.
            let kv_cache = unsafe {
                let (address, location) = (cache.address(), cache.location());
                TensorMut::from_raw(address, DType::U8, &shape, &strides, location)?
            };
            let pairs_view = device_pairs.view(DType::I32, &[pairs.len() / 2, 2])?;
            let args = CopyBlocks { pairs: pairs_view, kv_cache };
            copy_blocks(&device, session.stream().as_ref(), args)?;
            session.stream().synchronize()?;
            for pair in pairs.chunks(2) {
                let [from, to] = [pair[0], pair[1]].map(|id| id as usize * strides[0]);
                bytes.copy_within(from..from + bytes_per_block(kind), to);
            }
            let mut copied = vec![0u8; bytes.len()];
            cache.read(0, &mut copied)?;
            ensure!(copied == bytes, "{kind:?}, {pairs:?}: a block is wrong");
        }
    }
    Ok(())
}
