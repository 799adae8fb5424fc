//! Clusters: ranks, distributed shared memory, remote arrivals, multicast.

use oxmla_simt::{
    Launch, Memory, Swizzle, TensorMap, barrier, bulk, cluster, fence, global, mbarrier, shared,
    special, tma,
};

use crate::support::{Aligned, run};

fn pairs(clusters: u32) -> Launch {
    Launch::new("kernel", [2 * clusters, 1, 1], 32).cluster([2, 1, 1]).shared_bytes(8192)
}

/// A word per thread of the grid.
fn words(launch: &Launch, threads: usize, kernel: impl Fn(u32) -> u32 + Sync) -> Vec<u32> {
    let mut out = vec![0u32; threads];
    let mut memory = Memory::new();
    let address = memory.read_write(&mut out) as usize;
    run(launch, &memory, || {
        let index = special::cta_x() * 32 + special::thread_index();
        let word = kernel(index);
        global::store_u32((address as *mut u32).wrapping_add(index as usize), word);
    });
    drop(memory);
    out
}

#[test]
fn ranks_along_every_dimension() {
    let launch = Launch::new("kernel", [4, 4, 2], 32).cluster([2, 2, 1]);
    run(&launch, &Memory::new(), || {
        let [x, y, _] = special::cta();
        assert_eq!((cluster::rank(), cluster::size()), (x % 2 + 2 * (y % 2), 4));
    });
}

/// Each CTA reads what the other one wrote.
#[test]
fn loads_from_the_other_cta() {
    let got = words(&pairs(3), 192, |index| {
        let mine = shared::base() + 4 * special::thread_index();
        shared::store_u32(mine, index);
        cluster::sync();
        let other = shared::load_u32(cluster::map_address(mine, cluster::rank() ^ 1));
        cluster::sync();
        other
    });
    for (index, word) in got.into_iter().enumerate() {
        assert_eq!(word, index as u32 ^ 32);
    }
}

/// Each CTA writes into the other one, and arrives there.
#[test]
fn stores_and_arrivals_in_the_other_cta() {
    let got = words(&pairs(2), 128, |index| {
        let (ready, thread) = (shared::base() + 4096, special::thread_index());
        if thread == 0 {
            mbarrier::init(ready, 32);
            fence::mbarrier_init();
        }
        cluster::arrive();
        cluster::wait();
        let other = |address| cluster::map_address(address, cluster::rank() ^ 1);
        shared::store_u32(other(shared::base() + 4 * thread), index);
        mbarrier::arrive(other(ready));
        mbarrier::wait(ready, 0);
        let word = shared::load_u32(shared::base() + 4 * (31 - thread));
        cluster::sync();
        word
    });
    for (index, word) in got.into_iter().enumerate() {
        assert_eq!(word, (index as u32 ^ 32) ^ 31);
    }
}

/// `st.async` and a bulk copy from CTA to CTA, both counted on the far mbarrier.
#[test]
fn asynchronous_stores_to_the_other_cta() {
    let got = words(&pairs(2), 128, |index| {
        let (base, ready, thread) =
            (shared::base(), shared::base() + 4096, special::thread_index());
        if thread == 0 {
            mbarrier::init(ready, 1);
            fence::mbarrier_init();
            mbarrier::arrive_expect(ready, 32 * 8 + 128);
        }
        shared::store_u32(base + 4 * thread, index);
        fence::proxy_async_shared();
        cluster::sync();
        let other = |address| cluster::map_address(address, cluster::rank() ^ 1);
        cluster::store_async(other(base + 1024 + 8 * thread), [index, 1000], other(ready));
        if thread == 0 {
            bulk::copy_to_cluster(other(base + 2048), base, 128, other(ready));
        }
        mbarrier::wait(ready, 0);
        let word = shared::load_u32(base + 1024 + 8 * thread)
            + shared::load_u32(base + 1028 + 8 * thread)
            + shared::load_u32(base + 2048 + 4 * thread);
        cluster::sync();
        word
    });
    for (index, word) in got.into_iter().enumerate() {
        assert_eq!(word, 2 * (index as u32 ^ 32) + 1000);
    }
}

/// Each CTA loads half of a tile for both, by tensor map and by bulk copy.
#[test]
fn multicast() {
    let data = Aligned(std::array::from_fn::<u16, 1024, _>(|i| i as u16));
    let mut memory = Memory::new();
    let address = memory.read_only(&data.0);
    let map = TensorMap {
        address,
        element_bytes: 2,
        dimensions: vec![64, 16],
        strides: vec![128],
        tile: vec![64, 4],
        element_strides: vec![1, 1],
        swizzle: Swizzle::None,
    };
    let map = memory.tensor_map(map).unwrap();
    run(&pairs(2), &memory, || {
        let (base, full) = (shared::base(), shared::base() + 4096);
        let rank = cluster::rank();
        if special::thread_index() == 0 {
            mbarrier::init(full, 1);
            fence::mbarrier_init();
            mbarrier::arrive_expect(full, 2048);
        }
        cluster::sync();
        if special::thread_index() == 0 {
            let row = 4 * rank as i32;
            tma::load_multicast(map, base + 512 * rank, full, &[0, row], 3);
            let at = 1024 + 512 * rank;
            bulk::load_multicast(base + at, address + u64::from(at), 512, full, 3);
        }
        mbarrier::wait(full, 0);
        barrier::sync_threads();
        for i in (special::thread_index()..1024).step_by(32) {
            assert_eq!(u32::from(shared::load_u16(base + 2 * i)), i);
        }
        cluster::sync();
    });
}
