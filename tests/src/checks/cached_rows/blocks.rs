//! Rows gathered from blocks, and blocks copied.

use anyhow::{Result, ensure};
use oxmla::cache::{BLOCK_SIZES, CopyBlocks, GatherRows, copy_blocks, gather};
use oxmla::{DType, Device};

use super::step::upload_bits;
use crate::guarded::Guarded;
use crate::layout::{D_K, Layout};
use crate::random::SplitMix64;
use crate::session::Session;

/// Bits of any finite number: the simulator takes some NaN for accumulators in flight.
fn random_bits(count: usize, seed: u64) -> Vec<u16> {
    let mut random = SplitMix64::new(seed);
    (0..count).map(|_| random.next_u64() as u16 & 0xbfff).collect()
}

/// Rows of several requests come out of their blocks, bit by bit, between canaries.
pub fn gathered_rows(session: &mut Session) -> Result<()> {
    let device = session.device().clone();
    for block_size in BLOCK_SIZES {
        gather_from_blocks(session, &device, block_size)?;
    }
    Ok(())
}

fn gather_from_blocks(session: &Session, device: &Device, block_size: usize) -> Result<()> {
    // Four rows of 192 tokens; every entry that a request needs is a block of its own.
    let columns = 192usize.div_ceil(block_size);
    let blocks = 4 * columns;
    let bits = random_bits(blocks * block_size * D_K, 1);
    let cache = upload_bits(device, &bits)?;
    let mut table: Vec<i32> = (0..blocks as i32).collect();
    SplitMix64::new(2).shuffle(&mut table);
    table[2 * columns - 1] = i32::MAX;
    table[3 * columns..].fill(-1);
    let device_table = device.upload(&table)?;
    for lengths in [[130, 64, 129, 0], [1, 0, 192, 0], [0, 0, 0, 0]] {
        let mut offsets = vec![0i32];
        for length in lengths {
            offsets.push(offsets[offsets.len() - 1] + length);
        }
        let rows = offsets[4] as usize;
        let device_offsets = device.upload(&offsets)?;
        // Two rows more than there are tokens, and gaps between them.
        let layout = Layout { shape: [rows + 2, D_K], strides: [D_K + 8, 1] };
        let mut out = Guarded::<u16, 2>::new(device, DType::Bf16, layout)?;
        let args = GatherRows {
            kv_cache: cache.view(DType::Bf16, &[blocks, block_size, 1, D_K])?,
            block_table: device_table.view(DType::I32, &[4, columns])?,
            offsets: device_offsets.view(DType::I32, &[5])?,
            out: out.view_mut()?,
        };
        gather(device, session.stream().as_ref(), args)?;
        session.stream().synchronize()?;
        let out = out.snapshot()?;
        for request in 0..4 {
            for position in 0..lengths[request] as usize {
                let row = offsets[request] as usize + position;
                let id = table[request * columns + position / block_size] as usize;
                let expected = &bits[(id * block_size + position % block_size) * D_K..][..D_K];
                ensure!(out.row([row, 0]) == expected, "{lengths:?}: row {row} is wrong");
            }
        }
        let behind = (rows..rows + 2).flat_map(|row| out.row([row, 0]));
        ensure!(behind.into_iter().all(|&bits| bits == 0xffff), "{lengths:?}: rows behind");
    }
    Ok(())
}

/// Copies of blocks of one KV head and of several leave every other block as it was.
pub fn copied_blocks(session: &mut Session) -> Result<()> {
    let device = session.device().clone();
    let blocks = 7;
    for (block_size, h_k, pairs) in [
        (64, 1, vec![4, 1]),
        (64, 1, vec![0, 5, 2, 3, 0, 6]),
        (64, 3, vec![6, 0, 5, 1]),
        (64, 2, vec![2, 2]),
        (64, 1, vec![]),
        (16, 1, vec![4, 1, 5, 2]),
        (32, 3, vec![6, 0]),
        (128, 2, vec![3, 5]),
    ] {
        let block = block_size * h_k * D_K;
        let mut bits = random_bits(blocks * block, h_k as u64);
        let mut cache = upload_bits(&device, &bits)?;
        let device_pairs = device.upload(&pairs)?;
        let shape = [blocks, block_size, h_k, D_K];
        let args = CopyBlocks {
            pairs: device_pairs.view(DType::I32, &[pairs.len() / 2, 2])?,
            kv_cache: cache.view_mut(DType::F16, &shape)?,
        };
        copy_blocks(&device, session.stream().as_ref(), args)?;
        session.stream().synchronize()?;
        for pair in pairs.chunks(2) {
            let from = pair[0] as usize * block;
            bits.copy_within(from..from + block, pair[1] as usize * block);
        }
        let mut copied = vec![0u16; bits.len()];
        cache.read(0, bytemuck::cast_slice_mut(&mut copied))?;
        ensure!(copied == bits, "{h_k} KV heads, {pairs:?}: a block is wrong");
    }
    Ok(())
}
