//! Who runs next.
//!
//! Warps run in an order drawn from the seed, and each of their lanes until it has to wait. When nobody can
//! run, background work completes, one operation at a time: as late as the rules allow, so that a missing
//! wait shows. With [`Timing::Random`](crate::Timing) it may also complete earlier.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult};
use fastrand::Rng;

use super::clock::ThreadId;
use super::context::{self, Context};
use super::{Gang, State, Wait};
use crate::launch::Timing;
use crate::report::{Fault, Kind, Outcome};

/// Warps with lanes that can run.
pub struct Ready {
    rng: Rng,
    lanes: Vec<u32>,
    warps: Vec<usize>,
    /// Threads woken so far: tells those who poll whether anything has happened.
    wakes: u64,
}

impl Ready {
    pub fn new(seed: u64, gang: u64, warps: usize) -> Self {
        Self {
            rng: Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ gang),
            lanes: vec![0; warps],
            warps: Vec::new(),
            wakes: 0,
        }
    }

    pub fn add(&mut self, warp: usize, lane: usize) {
        if self.lanes[warp] == 0 {
            self.warps.push(warp);
        }
        self.lanes[warp] |= 1 << lane;
        self.wakes += 1;
    }

    /// A warp, drawn at random, with those of its lanes that can run.
    fn take(&mut self) -> Option<(usize, u32)> {
        if self.warps.is_empty() {
            return None;
        }
        let warp = self.warps.swap_remove(self.rng.usize(..self.warps.len()));
        Some((warp, std::mem::take(&mut self.lanes[warp])))
    }

    pub fn draw(&mut self, end: usize) -> usize {
        self.rng.usize(..end)
    }
}

/// A coroutine per GPU thread.
type Fiber = Coroutine<(), (), (), DefaultStack>;

/// Runs a gang to its end, or to its first report.
pub struct Runner<'a> {
    pub gang: &'a RefCell<Gang>,
    fibers: Vec<Option<Fiber>>,
}

impl<'a> Runner<'a> {
    /// Makes a coroutine of `kernel` for every thread of the gang. Stacks are taken from `stacks`.
    pub fn new(
        gang: &'a RefCell<Gang>,
        kernel: &'a (dyn Fn() + Sync),
        stacks: &mut Vec<DefaultStack>,
    ) -> std::io::Result<Self> {
        let (threads, stack_bytes) = {
            let gang = gang.borrow();
            (gang.threads.len(), gang.launch.stack_bytes)
        };
        let mut fibers = Vec::with_capacity(threads);
        for thread in 0..threads {
            let stack = stacks.pop().map_or_else(|| DefaultStack::new(stack_bytes), Ok)?;
            let bounds = stack.limit().get() as u64..stack.base().get() as u64;
            gang.borrow_mut().threads[thread].stack = bounds;
            // SAFETY: the closure borrows the gang and the kernel; `finish` ends every coroutine before
            // the borrows do.
            let fiber = unsafe {
                Fiber::with_stack_unchecked(stack, move |yielder, ()| {
                    let context = Context { gang, thread, yielder };
                    let context: *const Context = &raw const context;
                    context::enter(NonNull::new(context.cast_mut().cast()));
                    kernel();
                })
            };
            fibers.push(Some(fiber));
        }
        let mut state = gang.borrow_mut();
        for thread in 0..threads {
            state.wake(thread, [0; 8]);
        }
        drop(state);
        Ok(Self { gang, fibers })
    }

    /// Runs until all threads have ended or something is reported. `cancelled` is asked now and then.
    pub fn run(&mut self, cancelled: impl Fn() -> bool) {
        let mut polls = Polls::default();
        while !cancelled() {
            let next = self.gang.borrow_mut().ready.take();
            match next {
                Some((warp, lanes)) => {
                    self.run_warp(warp, lanes);
                    self.gang.borrow_mut().wake_waiting();
                }
                None if self.gang.borrow_mut().go_on(&mut polls) => {}
                None => break,
            }
            if self.gang.borrow().report.is_some() {
                break;
            }
        }
        context::enter(None);
    }

    /// Ends all coroutines and gives their stacks back.
    pub fn finish(self, stacks: &mut Vec<DefaultStack>) {
        for mut fiber in self.fibers.into_iter().flatten() {
            fiber.force_unwind();
            stacks.push(fiber.into_stack());
        }
    }

    fn run_warp(&mut self, warp: usize, lanes: u32) {
        let first = {
            let mut gang = self.gang.borrow_mut();
            gang.complete_early();
            gang.warps[warp].first
        };
        for thread in (0..32).filter(|lane| lanes >> lane & 1 != 0).map(|lane| first + lane) {
            if self.gang.borrow().threads[thread].state == State::Ready {
                self.resume(thread);
                if self.gang.borrow().report.is_some() {
                    return;
                }
            }
        }
    }

    fn resume(&mut self, thread: ThreadId) {
        let Some(fiber) = &mut self.fibers[thread] else { return };
        let outcome = match catch_unwind(AssertUnwindSafe(|| fiber.resume(()))) {
            Ok(CoroutineResult::Yield(())) => return,
            Ok(CoroutineResult::Return(())) => self.gang.borrow_mut().exit(thread),
            Err(payload) => {
                let text = payload.downcast_ref::<&str>().copied().map(str::to_owned);
                let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
                Err(Fault::new(Kind::Panic, text.unwrap_or_default()))
            }
        };
        if let Err(fault) = outcome {
            let mut gang = self.gang.borrow_mut();
            let line = gang.threads[thread].line;
            gang.record(fault, thread, line);
        }
    }
}

/// How often nothing but polling has happened.
#[derive(Default)]
struct Polls {
    wakes: u64,
    writes: u64,
    idle: u32,
}

/// Fruitless rounds of polling, a millisecond each in the end, before a poll counts as a deadlock: other
/// gangs may yet write what is polled.
const PATIENCE: u32 = 2000;

impl Gang {
    /// A thread ran to its end.
    fn exit(&mut self, thread: ThreadId) -> Outcome<()> {
        self.threads[thread].state = State::Done;
        let cta = self.cta_of(thread);
        self.ctas[cta].alive -= 1;
        self.copies_left_at_exit(thread)?;
        let warp = self.warp_of(thread);
        if let Some(meeting) = self.warps[warp].exit(thread)? {
            self.hold(warp, meeting)?;
        }
        if let Some(group) = self.warpgroup_of(thread) {
            self.warpgroups[group].exit(thread)?;
        }
        self.barrier_exit(cta);
        self.cluster_exit(self.cluster_of(cta))
    }

    /// Nobody can run: completes something in the background or lets those who poll look again. False at the
    /// end, which is a deadlock unless all threads have ended.
    fn go_on(&mut self, polls: &mut Polls) -> bool {
        let looks_at_memory = |thread: &super::Thread| {
            matches!(thread.state, State::Blocked(Wait::Poll | Wait::Global { .. }))
        };
        if self.threads.iter().any(looks_at_memory) && self.worth_polling(polls) {
            let polls_itself = |&t: &ThreadId| self.threads[t].state == State::Blocked(Wait::Poll);
            let pollers: Vec<_> = (0..self.threads.len()).filter(polls_itself).collect();
            for thread in pollers {
                self.wake(thread, [0; 8]);
            }
            self.wake_waiting();
            polls.wakes = self.ready.wakes;
            return true;
        }
        if self.complete_one_copy() {
            return true;
        }
        if self.threads.iter().any(|thread| thread.state != State::Done) {
            self.report_deadlock();
        }
        false
    }

    /// Whether a poll may find something new, here or in global memory.
    fn worth_polling(&mut self, polls: &mut Polls) -> bool {
        let writes = self.memory.writes();
        if self.ready.wakes != polls.wakes || writes != polls.writes {
            polls.writes = writes;
            polls.idle = 0;
            return true;
        }
        // Nobody but these CTAs writes while a cooperative launch runs.
        if self.copies.pending() || self.launch.cooperative {
            return false;
        }
        polls.idle += 1;
        if polls.idle > PATIENCE / 2 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        } else {
            std::thread::yield_now();
        }
        polls.idle < PATIENCE
    }

    /// With random timing, now and then completes a copy before anybody needs it.
    fn complete_early(&mut self) {
        if self.launch.timing == Timing::Random
            && self.copies.pending()
            && self.ready.draw(EARLY) == 0
        {
            self.complete_one_copy();
        }
    }
}

/// With random timing, one in so many scheduling steps completes a copy.
const EARLY: usize = 8;
