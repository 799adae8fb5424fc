//! Grids whose CTAs wait for each other and hand over global memory.

use oxmla_simt::atomic::{self, Operation, Scope};
use oxmla_simt::{Change, Kind, Launch, Memory, Report, Trace};
use oxmla_simt::{barrier, bulk, fence, global, mbarrier, shared, special};

use crate::support::{Aligned, launch};

const THREADS: u32 = 64;

/// Where the two CTAs meet.
#[derive(Clone, Copy)]
struct Exchange {
    counter: *mut u32,
    words: *mut u32,
}

// SAFETY: device addresses, which the machine checks.
unsafe impl Sync for Exchange {}

impl Exchange {
    fn word(&self, index: u32) -> *mut u32 {
        self.words.wrapping_add(index as usize)
    }
}

fn grid() -> Launch {
    Launch::new("kernel", [2, 1, 1], THREADS).shared_bytes(2048).cooperative(true)
}

/// Runs `kernel` in two CTAs, which share a counter that begins with 0 and a word for each of their threads, under
/// several seeds; all have to agree on the kind of the report, or on there being none. Returns the first.
fn exchange(kernel: impl Fn(Exchange) + Sync) -> Result<(), Box<Report>> {
    exchange_in(&grid(), kernel).map(drop)
}

fn exchange_in(geometry: &Launch, kernel: impl Fn(Exchange) + Sync) -> Result<Trace, Box<Report>> {
    let run = |seed| {
        let mut counter = [0u32];
        let mut words = Aligned([0u32; 2 * THREADS as usize]);
        let mut memory = Memory::new();
        let exchange = Exchange {
            counter: memory.read_write(&mut counter) as *mut u32,
            words: memory.read_write(&mut words.0) as *mut u32,
        };
        geometry.clone().seed(seed).run(&memory, || kernel(exchange))
    };
    let results: Vec<_> = (0..8).map(run).collect();
    let kind = |result: &Result<_, Box<Report>>| result.as_ref().err().map(|report| report.kind);
    let kinds: Vec<_> = results.iter().map(kind).collect();
    assert!(kinds.iter().all(|kind| *kind == kinds[0]), "seeds disagree: {kinds:?}");
    results.into_iter().next().expect("eight runs")
}

/// What CTA 0 does wrong when it hands its words to CTA 1, or CTA 1 when it takes them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    RelaxedAdd,
    NoBarrierBefore,
    NoBarrierAfter,
    NoWait,
    WriteAfterRelease,
    PlainReset,
}

fn hand_over(at: Exchange, bug: Bug) {
    let thread = special::thread_index();
    if special::cta_x() == 0 {
        global::store_u32(at.word(thread), thread);
        if bug != Bug::NoBarrierBefore {
            barrier::sync_threads();
        }
        if thread == 0 && bug == Bug::RelaxedAdd {
            atomic::global(at.counter, Operation::Add(1), Scope::Gpu);
        } else if thread == 0 {
            global::add_release_u32(at.counter, 1);
        }
        if bug == Bug::WriteAfterRelease {
            global::store_u32(at.word(thread), thread);
        }
        return;
    }
    if thread == 0 && bug == Bug::PlainReset {
        global::store_u32(at.counter, 0);
    }
    if thread == 0 && bug != Bug::NoWait {
        global::wait_at_least(at.counter, 1);
    }
    if bug != Bug::NoBarrierAfter {
        barrier::sync_threads();
    }
    let _ = global::load_u32(at.word(THREADS - 1 - thread));
}

#[test]
fn words_handed_over_without_order() {
    exchange(|at| hand_over(at, Bug::None)).expect("it is in order");
    for bug in [
        Bug::RelaxedAdd,
        Bug::NoBarrierBefore,
        Bug::NoBarrierAfter,
        Bug::NoWait,
        Bug::WriteAfterRelease,
    ] {
        let report = exchange(|at| hand_over(at, bug)).expect_err("a race");
        assert_eq!(report.kind, Kind::Race, "{report}");
        assert!(report.detail.contains("touches global memory at 0x"), "{report}");
        assert!(report.detail.contains("cooperative.rs"), "it names the other line: {report}");
        assert!(report.detail.contains("of the grid, unordered"), "and the thread: {report}");
    }
}

/// A relaxed store over a released value says nothing of what that stood for.
#[test]
fn relaxed_store_over_a_released_count() {
    for bug in [false, true] {
        let result = exchange(|at| match (special::cta_x(), special::thread_index()) {
            (0, 0) => {
                global::store_u32(at.word(0), 1);
                global::add_release_u32(at.counter, 1);
            }
            (1, 0) => {
                global::wait_at_least(at.counter, 1);
                if bug {
                    global::store_relaxed_u32(at.counter, 2);
                } else {
                    global::store_release_u32(at.counter, 2);
                }
                global::store_relaxed_u32(at.word(1), 1);
            }
            (1, 32) => {
                // Whoever sees the 1 of the counter has what it stands for.
                global::wait_at_least(at.word(1), 1);
                global::wait_at_least(at.counter, 2);
                let _ = global::load_u32(at.word(0));
            }
            _ => {}
        });
        assert_eq!(result.err().map(|report| report.kind), bug.then_some(Kind::Race));
    }
}

/// Plain stores and the loads of those who wait do not mix.
#[test]
fn plain_store_to_a_counter() {
    let report = exchange(|at| hand_over(at, Bug::PlainReset)).expect_err("a race");
    assert_eq!(report.kind, Kind::Race, "{report}");
}

/// The next round's words, written while the last round's may still be read.
#[test]
fn write_after_read_by_another_cta() {
    for bug in [false, true] {
        let result = exchange(|at| {
            let thread = special::thread_index();
            let writer = special::cta_x() == 0;
            for round in 1..3 {
                if writer {
                    global::store_u32(at.word(thread), round);
                    barrier::sync_threads();
                    if thread == 0 {
                        global::add_release_u32(at.counter, 1);
                    }
                }
                if thread == 0 {
                    global::wait_at_least(at.counter, if bug { round } else { 2 * round - 1 });
                }
                barrier::sync_threads();
                if !writer {
                    let _ = global::load_u32(at.word(thread));
                    barrier::sync_threads();
                }
                if thread == 0 && !bug {
                    if !writer {
                        global::add_release_u32(at.counter, 1);
                    }
                    global::wait_at_least(at.counter, 2 * round);
                }
                barrier::sync_threads();
            }
        });
        assert_eq!(result.err().map(|report| report.kind), bug.then_some(Kind::Race));
    }
}

/// A relaxed access hands over what a fence stands beside, on either side.
#[test]
fn relaxed_accesses_without_their_fences() {
    for left_out in [None, Some(0), Some(1)] {
        let result = exchange(|at| {
            if special::thread_index() != 0 {
                return;
            }
            if special::cta_x() == 0 {
                global::store_u32(at.word(0), 7);
                if left_out != Some(0) {
                    fence::gpu();
                }
                atomic::global(at.counter, Operation::Add(1), Scope::Gpu);
                return;
            }
            // A poll by relaxed atomics.
            while atomic::global(at.counter, Operation::Or(0), Scope::Gpu) == 0 {
                let _ = global::load_acquire_u32(at.word(THREADS));
            }
            if left_out != Some(1) {
                fence::gpu();
            }
            let _ = global::load_u32(at.word(0));
        });
        assert_eq!(result.err().map(|report| report.kind), left_out.map(|_| Kind::Race));
    }
}

#[test]
fn wait_for_a_count_that_is_never_reached() {
    for bug in [false, true] {
        let result = exchange(|at| {
            if special::thread_index() == 0 {
                global::add_release_u32(at.counter, 1);
                global::wait_at_least(at.counter, if bug && special::cta_x() == 1 { 3 } else { 2 });
            }
            barrier::sync_threads();
        });
        let Err(report) = result else {
            assert!(!bug);
            continue;
        };
        assert_eq!((report.kind, report.block), (Kind::Deadlock, [1, 0, 0]), "{report}");
        let line = report.location.clone().expect("a line");
        assert!(line.file.ends_with("cooperative.rs"), "{report}");
        assert!(
            report.detail.contains("block [1, 0, 0], threads 0 wait for at least 3"),
            "{report}"
        );
        assert!(report.detail.contains("which is 2 at "), "{report}");
    }
}

/// Each CTA waits for the other's turn: the report names both.
#[test]
fn two_ctas_that_wait_for_each_other() {
    let result = exchange(|at| {
        if special::thread_index() == 0 {
            let (mine, other) = (special::cta_x(), 1 - special::cta_x());
            global::wait_at_least(at.word(other), 1);
            global::add_release_u32(at.word(mine), 1);
        }
    });
    let report = result.expect_err("neither begins");
    assert_eq!((report.kind, report.block), (Kind::Deadlock, [0; 3]), "{report}");
    for block in ["block [0, 0, 0], threads 0 wait", "; block [1, 0, 0], threads 0 wait"] {
        assert!(report.detail.contains(block), "{report}");
    }
}

/// Without a cooperative launch a CTA that waits for a later one is a deadlock, and one for an earlier one fine.
#[test]
fn wait_in_a_launch_that_is_not_cooperative() {
    for turned in [false, true] {
        let mut flag = [0u32];
        let mut memory = Memory::new();
        let flag = memory.read_write(&mut flag) as usize;
        let geometry = Launch::new("kernel", [2, 1, 1], 32).workers(1);
        let result = geometry.run(&memory, || {
            if (special::cta_x() == 1) == turned {
                global::store_release_u32(flag as *mut u32, 1);
            } else {
                global::wait_at_least(flag as *const u32, 1);
            }
        });
        assert_eq!(result.err().map(|report| report.kind), turned.then_some(Kind::Deadlock));
    }
}

#[test]
fn words_that_no_cta_writes() {
    let mut counter = [0u32];
    let mut words = [0u32; 2];
    let mut memory = Memory::new();
    let counter = memory.read_write(&mut counter) as usize;
    let words = memory.uninitialised(&mut words) as usize;
    let word = |i: usize| (words as *mut u32).wrapping_add(i);
    let result = launch(grid(), &memory, || {
        if special::thread_index() == 0 && special::cta_x() == 0 {
            global::store_u32(word(0), 1);
            global::add_release_u32(counter as *mut u32, 1);
        } else if special::thread_index() == 0 {
            global::wait_at_least(counter as *const u32, 1);
            let _ = global::load_u32(word(0));
            let _ = global::load_u32(word(1));
        }
    });
    assert_eq!(result.expect_err("nobody writes word 1").kind, Kind::Uninitialised);
}

/// What the async proxy reads of another CTA's plain stores needs the writer's proxy fence, as in shared memory.
#[test]
fn bulk_copy_of_another_ctas_words() {
    for bug in [false, true] {
        let result = exchange(|at| {
            let at_barrier = shared::base();
            if special::thread_index() != 0 {
                return;
            }
            if special::cta_x() == 0 {
                for i in 0..4 {
                    global::store_u32(at.word(i), i);
                }
                if !bug {
                    fence::proxy_async();
                }
                global::add_release_u32(at.counter, 1);
                return;
            }
            mbarrier::init(at_barrier, 1);
            fence::mbarrier_init();
            global::wait_at_least(at.counter, 1);
            mbarrier::arrive_expect(at_barrier, 16);
            bulk::load(at_barrier + 128, at.words as u64, 16, at_barrier);
            mbarrier::wait(at_barrier, 0);
        });
        assert_eq!(result.err().map(|report| report.kind), bug.then_some(Kind::ProxyFence));
    }
}

/// A bulk store is published only once it has been waited for, and not merely its source.
#[test]
fn bulk_store_published_too_early() {
    for bug in [false, true] {
        let result = exchange(|at| {
            if special::thread_index() != 0 {
                return;
            }
            if special::cta_x() == 0 {
                shared::store_zero_16(shared::base());
                fence::proxy_async_shared();
                bulk::store(at.words as u64, shared::base(), 16);
                bulk::commit();
                if bug {
                    bulk::wait_read(0);
                } else {
                    bulk::wait(0);
                }
                global::add_release_u32(at.counter, 1);
                return;
            }
            global::wait_at_least(at.counter, 1);
            let _ = global::load_u32(at.words);
        });
        assert_eq!(result.err().map(|report| report.kind), bug.then_some(Kind::InFlight));
    }
}

/// The places of the exchange can be broken, and each break is found.
#[test]
fn breaks_of_the_exchange() {
    let kernel = |at| hand_over(at, Bug::None);
    let trace = exchange_in(&grid().survey(true), kernel).expect("it is in order");
    for change in [Change::DropGlobalWait, Change::DropArrival, Change::DropBarrier] {
        let places: Vec<_> = trace.places.iter().filter(|p| p.change == change).collect();
        assert!(!places.is_empty(), "{change:?}");
        for place in places {
            exchange_in(&grid().inject(place.clone()), kernel).expect_err("it is broken");
        }
    }
}
