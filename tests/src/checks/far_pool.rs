//! A pool that 32-bit arithmetic cannot address.

use anyhow::Result;
use oxmla::{Buffer, Decode, Mask, Planner, PlannerConfig, Step, TensorRef, decode};

use crate::case::{Case, Lengths};
use crate::inputs::{Cache, UNUSED_ID};
use crate::layout::{BLOCK, D_K};
use crate::session::Session;

/// 60,000 blocks of bf16: 2.2e9 elements, 4.4 GB.
const BLOCKS: usize = 60_000;
/// NaN, everywhere but in the blocks that are used.
const POISON: u8 = 0xff;

const _: () = assert!(BLOCKS * BLOCK * D_K > 1 << 31);

/// Requests whose blocks lie by turns at both ends of such a pool.
pub fn beyond_two_billion_elements(session: &mut Session) -> Result<()> {
    let lengths = Lengths::Varied(2000);
    let case = Case {
        batch: 6,
        s_q: 2,
        h_q: 128,
        lengths,
        mask: Mask::Causal,
        seed: 81,
        ..Case::default()
    };
    let mut scene = session.scene(&case)?;
    let pool = far_pool(session, &scene.cache.host)?;
    let table: Vec<i32> = scene.cache.host.table.iter().map(|&id| far_id(id)).collect();

    let stream = session.stream();
    let config = PlannerConfig { blocks_in_cache: BLOCKS, ..scene.planner_config()? };
    let mut planner = Planner::new(session.device(), config)?;
    let block_table = TensorRef::from_slice(&table, &[case.batch, scene.cache.host.max_blocks])?;
    let plan = planner.plan(stream.as_ref(), Step { block_table, ..scene.step()? })?;
    let kv_cache = pool.view(case.dtype, &[BLOCKS, BLOCK, 1, D_K])?;
    decode(&planner, &plan, stream.as_ref(), Decode { kv_cache, ..scene.args()? })?;
    stream.synchronize()?;
    session.verify(&scene).map(drop)
}

/// The blocks of `cache`, where `far_id` puts them.
fn far_pool(session: &Session, cache: &Cache) -> Result<Buffer> {
    let block = BLOCK * D_K;
    let mut pool = session.device().alloc(BLOCKS * block * 2)?;
    pool.fill(POISON)?;
    for (id, bits) in cache.bits.chunks(block).enumerate() {
        pool.write(far_id(id as i32) as usize * block * 2, bytemuck::cast_slice(bits))?;
    }
    Ok(pool)
}

/// Even ids go to the far end, odd ones stay at the near one.
fn far_id(id: i32) -> i32 {
    if id == UNUSED_ID || id % 2 == 1 { id } else { BLOCKS as i32 - 1 - id }
}
