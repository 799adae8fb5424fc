//! How the functions that a kernel calls find the machine and the GPU thread they run on.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::ptr::NonNull;

use corosensei::Yielder;

use super::clock::ThreadId;
use super::{Gang, Line, State, Wait, Words};
use crate::injection::Change;
use crate::report::Outcome;

/// The GPU thread that a coroutine is.
pub struct Context<'a> {
    pub gang: &'a RefCell<Gang>,
    pub thread: ThreadId,
    pub yielder: &'a Yielder<(), ()>,
}

thread_local! {
    static CURRENT: Cell<Option<NonNull<Context<'static>>>> = const { Cell::new(None) };
    /// Cycles that the current thread has spent since it last entered the machine.
    static CYCLES: Cell<u64> = const { Cell::new(0) };
}

/// Makes the next instructions those of `context`; `None` between GPU threads.
pub fn enter(context: Option<NonNull<Context<'static>>>) {
    CURRENT.set(context);
}

/// The context that is current; a coroutine that goes on after a suspension sets it again.
pub fn current() -> &'static Context<'static> {
    let context = CURRENT.get().expect("a GPU instruction outside a launch");
    // SAFETY: set by a coroutine to a context in its own frame, which is alive while it runs; the reference
    // is used within one machine function.
    unsafe { context.as_ref() }
}

/// Counts an approximation for the cost model: 16 lanes per cycle and SM sub-partition.
pub fn special_function() {
    CYCLES.set(CYCLES.get() + 2);
}

impl Context<'_> {
    fn suspend(&self) {
        let me = CURRENT.get();
        self.yielder.suspend(());
        CURRENT.set(me);
    }

    /// Ends the GPU thread in the middle: the launch has failed, and it is never resumed.
    fn abandon(&self) -> ! {
        loop {
            self.suspend();
        }
    }
}

/// Executes an instruction that does not wait.
#[track_caller]
#[inline]
pub fn execute<T>(instruction: impl FnOnce(&mut Gang, ThreadId) -> Outcome<T>) -> T {
    execute_at(Location::caller(), instruction)
}

/// As [`execute`], on behalf of `line`.
pub fn execute_at<T>(line: Line, instruction: impl FnOnce(&mut Gang, ThreadId) -> Outcome<T>) -> T {
    let context = current();
    let thread = context.thread;
    let outcome = {
        let mut gang = context.gang.borrow_mut();
        gang.threads[thread].line = Some(line);
        gang.clocks.spend(thread, 1 + CYCLES.take());
        let outcome = instruction(&mut gang, thread);
        outcome.map_err(|fault| gang.record(fault, thread, Some(line)))
    };
    outcome.unwrap_or_else(|()| context.abandon())
}

/// Executes an instruction that may block the thread, and returns what it was woken with.
#[track_caller]
#[inline]
pub fn execute_blocking(instruction: impl FnOnce(&mut Gang, ThreadId) -> Outcome<()>) -> Words {
    let line = Location::caller();
    execute_at(line, instruction);
    let context = current();
    let waits = |context: &Context| {
        matches!(context.gang.borrow().threads[context.thread].state, State::Blocked(_))
    };
    while waits(context) {
        context.suspend();
    }
    context.gang.borrow().threads[context.thread].result
}

/// Whether the launch asks for `change` to be done to the calling instruction.
#[track_caller]
pub fn injected(change: Change) -> bool {
    let line = Location::caller();
    current().gang.borrow_mut().saboteur.strikes(change, line)
}

/// Gives the other threads a turn: the instruction polls.
pub fn pause() {
    let context = current();
    {
        let mut gang = context.gang.borrow_mut();
        gang.threads[context.thread].state = State::Blocked(Wait::Poll);
    }
    context.suspend();
}
