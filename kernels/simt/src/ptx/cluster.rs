//! Thread block clusters: ranks, distributed shared memory, `barrier.cluster`.

use std::panic::Location;

use super::warp::ALL;
use crate::machine::collective::Op;
use crate::machine::context::{current, execute, execute_at, execute_blocking};
use crate::machine::copy::Source;

/// `%cluster_ctarank`.
#[must_use]
pub fn rank() -> u32 {
    let context = current();
    let gang = context.gang.borrow();
    (gang.cta_of(context.thread) % gang.launch.cluster_size()) as u32
}

/// `%cluster_nctarank`.
#[must_use]
pub fn size() -> u32 {
    current().gang.borrow().launch.cluster_size() as u32
}

/// `mapa.shared::cluster`: the address by which the cluster knows `address` of CTA `rank`.
#[track_caller]
#[must_use]
pub fn map_address(address: u32, rank: u32) -> u32 {
    execute(|gang, _| gang.map_address(address, rank))
}

#[track_caller]
fn barrier(op: Op) {
    let line = Location::caller();
    execute_blocking(|gang, thread| gang.with_warp(thread, op, ALL, [0; 8], line));
}

/// `barrier.cluster.arrive.release.aligned`.
#[track_caller]
pub fn arrive() {
    barrier(Op::ClusterArrive { release: true });
}

/// `barrier.cluster.arrive.relaxed.aligned`: orders no memory.
#[track_caller]
pub fn arrive_relaxed() {
    barrier(Op::ClusterArrive { release: false });
}

/// `barrier.cluster.wait.acquire.aligned`.
#[track_caller]
pub fn wait() {
    barrier(Op::ClusterWait { acquire: true });
}

/// `barrier.cluster.arrive` and `wait`: all threads of the cluster.
#[track_caller]
pub fn sync() {
    arrive();
    wait();
}

/// `st.async.shared::cluster.mbarrier::complete_tx::bytes`: `N` words to another CTA, counted on `barrier`
/// there. Both are addresses of the cluster.
#[track_caller]
pub fn store_async<const N: usize>(address: u32, words: [u32; N], barrier: u32) {
    const { assert!(N == 1 || N == 2 || N == 4) };
    let line = Location::caller();
    execute_at(line, |gang, thread| {
        let (cta, address) = gang.resolve(thread, address)?;
        let (_, barrier) = gang.resolve(thread, barrier)?;
        let data = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let source = Source::Immediate(data);
        gang.copy_in(thread, source, 4 * N as u32, &[cta], address, barrier, line)
    });
}
