//! Bulk copies and `cp.async`.

use oxmla_simt::{Memory, barrier, bulk, cp_async, fence, mbarrier, shared, special};

use crate::support::{Aligned, cta, run};

const BARRIER: u32 = 1024 + 32768;

fn init(arrivals: u32) {
    if special::thread_index() == 0 {
        mbarrier::init(BARRIER, arrivals);
        fence::mbarrier_init();
    }
    barrier::sync_threads();
}

#[test]
fn bulk_in_and_out() {
    let source = Aligned(std::array::from_fn::<u32, 256, _>(|i| i as u32 * 3));
    let mut target = Aligned([0u32; 256]);
    let mut sums = Aligned([1.0f32; 64]);
    let mut memory = Memory::new();
    let from = memory.read_only(&source.0);
    let to = memory.read_write(&mut target.0);
    let sums_at = memory.read_write(&mut sums.0);
    run(&cta(32), &memory, || {
        let base = shared::base();
        init(1);
        for i in 0..2 {
            shared::store_f32(base + 2048 + 8 * special::thread_index() + 4 * i, 0.5);
        }
        fence::proxy_async_shared();
        barrier::sync_threads();
        if special::thread_index() == 0 {
            mbarrier::arrive_expect(BARRIER, 1024);
            bulk::load(base, from, 512, BARRIER);
            bulk::load(base + 512, from + 512, 512, BARRIER);
            mbarrier::wait(BARRIER, 0);
            bulk::store(to, base, 1024);
            bulk::commit();
            bulk::add_f32(sums_at, base + 2048, 256);
            bulk::commit();
            bulk::wait_read(1);
            bulk::wait(0);
        }
    });
    drop(memory);
    assert_eq!(target.0, source.0);
    // Six runs.
    assert_eq!(sums.0, [4.0; 64]);
}

#[test]
fn small_copies_in_groups() {
    let source = Aligned(std::array::from_fn::<u32, 512, _>(|i| i as u32));
    let mut memory = Memory::new();
    let from = memory.read_only(&source.0);
    run(&cta(32), &memory, || {
        let thread = special::thread_index();
        let (mine, data) = (shared::base() + 64 * thread, from + 64 * u64::from(thread));
        cp_async::copy(mine, data, 16, 16);
        cp_async::commit();
        cp_async::copy(mine + 16, data + 16, 16, 5);
        cp_async::copy(mine + 32, data + 32, 8, 8);
        cp_async::copy(mine + 40, data + 40, 4, 0);
        cp_async::commit();
        cp_async::wait(1);
        let first = 16 * thread;
        assert_eq!(shared::load_u32x4(mine), [first, first + 1, first + 2, first + 3]);
        cp_async::wait(0);
        barrier::sync_threads();
        // A neighbour's, now that a barrier has handed them over.
        let (theirs, first) = (shared::base() + 64 * (31 - thread), 16 * (31 - thread));
        assert_eq!(shared::load_u32x4(theirs + 16), [first + 4, (first + 5) & 0xff, 0, 0]);
        assert_eq!(shared::load_u32(theirs + 36), first + 9);
        assert_eq!(shared::load_u32(theirs + 40), 0);
    });
}

#[test]
fn small_copies_that_arrive_on_an_mbarrier() {
    let source = Aligned(std::array::from_fn::<u32, 128, _>(|i| i as u32));
    let mut memory = Memory::new();
    let from = memory.read_only(&source.0);
    run(&cta(32), &memory, || {
        init(32);
        let thread = special::thread_index();
        cp_async::copy(shared::base() + 16 * thread, from + 16 * u64::from(thread), 16, 16);
        cp_async::arrive(BARRIER);
        mbarrier::wait(BARRIER, 0);
        let other = 31 - thread;
        assert_eq!(shared::load_u32(shared::base() + 16 * other), 4 * other);
    });
}
