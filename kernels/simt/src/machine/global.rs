//! Global memory as threads share it: what a release publishes and an acquire learns, who waits for a word to
//! reach a value, and, where all CTAs run together, races.

use std::collections::HashMap;

use super::clock::{Gathering, Stamp, ThreadId};
use super::image::Image;
use super::shadow::{Access, Actor, Shadow, Witness};
use super::shared::{Direction, Visit};
use super::{Gang, Line, State, Wait};
use crate::memory::View;
use crate::report::Outcome;

/// Bytes of global memory whose history is kept together.
const PAGE: u64 = 4096;

/// What of a strong access orders other accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing, unless fences stand beside it.
    Relaxed,
    /// Of a load: what follows it.
    Acquire,
    /// Of a store or an atomic: what comes before it.
    Release,
}

/// Whether an access may meet others of its kind without order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strength {
    /// No: what meets it without order is a race.
    Plain,
    /// Yes: `relaxed` and more.
    Strong,
}
use Strength::{Plain, Strong};

/// What the threads know of global memory.
pub struct GlobalMemory {
    /// By address of a word: what its value tells those who acquire it.
    published: HashMap<u64, Gathering>,
    /// By thread: what it knew at its last fence, which its relaxed stores publish.
    fenced: HashMap<ThreadId, Stamp>,
    /// By thread: what its relaxed loads have met since its last fence, which the next one makes known.
    met: HashMap<ThreadId, Gathering>,
    /// Thread, address and value of those who wait for a word to reach a value.
    waiting: Vec<(ThreadId, u64, u32)>,
    /// Writes to global memory when they were last looked at.
    writes: u64,
    /// By page; kept only where all CTAs run together.
    pages: Option<HashMap<u64, Shadow>>,
}

impl GlobalMemory {
    pub fn new(history: bool) -> Self {
        Self {
            published: HashMap::new(),
            fenced: HashMap::new(),
            met: HashMap::new(),
            waiting: Vec::new(),
            writes: 0,
            pages: history.then(HashMap::new),
        }
    }
}

impl Gang {
    /// `ld.global`: a read of a thread, checked and noted.
    pub fn load_global(
        &mut self,
        thread: ThreadId,
        address: u64,
        into: &mut [u8],
        line: Line,
    ) -> Outcome<()> {
        self.view(thread).read(address, into)?;
        self.note(thread, Plain, Direction::Read, address, into.len(), line)
    }

    /// `st.global`: a write of a thread, checked and noted.
    pub fn store_global(
        &mut self,
        thread: ThreadId,
        address: u64,
        value: &[u8],
        line: Line,
    ) -> Outcome<()> {
        self.view(thread).write(address, value)?;
        self.note(thread, Plain, Direction::Write, address, value.len(), line)
    }

    /// `ld.relaxed.gpu`, `ld.acquire.gpu`.
    pub fn load_strong(
        &mut self,
        thread: ThreadId,
        address: u64,
        into: &mut [u8],
        order: Order,
        line: Line,
    ) -> Outcome<()> {
        self.view(thread).read(address, into)?;
        self.note(thread, Strong, Direction::Read, address, into.len(), line)?;
        for word in (address..address + into.len() as u64).step_by(4) {
            self.meet(thread, word, order);
        }
        Ok(())
    }

    /// `st.relaxed.gpu`, `st.release.gpu` of a word.
    pub fn store_strong(
        &mut self,
        thread: ThreadId,
        address: u64,
        value: u32,
        order: Order,
        line: Line,
    ) -> Outcome<()> {
        self.view(thread).write(address, &value.to_le_bytes())?;
        self.note(thread, Strong, Direction::Write, address, 4, line)?;
        // The new value says nothing of what the old one stood for.
        self.global.published.remove(&address);
        self.publish(thread, address, order);
        Ok(())
    }

    /// `atom.global` of `bytes` bytes, which `update` executes; returns the old value.
    pub fn update_global<T>(
        &mut self,
        thread: ThreadId,
        address: u64,
        bytes: usize,
        order: Order,
        line: Line,
        update: impl FnOnce(View) -> Outcome<T>,
    ) -> Outcome<T> {
        let old = update(self.view(thread))?;
        self.note(thread, Strong, Direction::Read, address, bytes, line)?;
        self.note(thread, Strong, Direction::Write, address, bytes, line)?;
        self.meet(thread, address, Order::Relaxed);
        self.publish(thread, address, order);
        Ok(old)
    }

    /// `fence.acq_rel.gpu`.
    pub fn fence_gpu(&mut self, thread: ThreadId) {
        if let Some(met) = self.global.met.remove(&thread) {
            self.clocks.acquire(thread, &met.freeze());
        }
        let mut known = Gathering::default();
        self.clocks.release(thread, &mut known);
        self.global.fenced.insert(thread, known.freeze());
    }

    /// `ld.acquire.gpu` until the word at `address` is at least `value`.
    pub fn wait_at_least(
        &mut self,
        thread: ThreadId,
        address: u64,
        value: u32,
        line: Line,
    ) -> Outcome<()> {
        let mut word = [0; 4];
        self.load_strong(thread, address, &mut word, Order::Acquire, line)?;
        if u32::from_le_bytes(word) < value {
            self.global.waiting.push((thread, address, value));
            self.threads[thread].state = State::Blocked(Wait::Global { address, value });
        }
        Ok(())
    }

    /// Lets those go on whose word has reached its value since the last call.
    pub fn wake_waiting(&mut self) {
        let writes = self.memory.writes();
        if self.global.writes == writes || self.global.waiting.is_empty() {
            return;
        }
        self.global.writes = writes;
        for (thread, address, value) in std::mem::take(&mut self.global.waiting) {
            if self.word(thread, address).is_some_and(|word| word < value) {
                self.global.waiting.push((thread, address, value));
                continue;
            }
            let Some(line) = self.threads[thread].line else { continue };
            match self.load_strong(thread, address, &mut [0; 4], Order::Acquire, line) {
                Ok(()) => self.wake(thread, [0; 8]),
                Err(fault) => self.record(fault, thread, Some(line)),
            }
        }
    }

    /// The word at an address that a thread waits for, as it is now.
    pub fn word(&self, thread: ThreadId, address: u64) -> Option<u32> {
        let mut word = [0; 4];
        self.view(thread).read(address, &mut word).ok()?;
        Some(u32::from_le_bytes(word))
    }

    /// A thread has read what somebody may have published at `address`.
    fn meet(&mut self, thread: ThreadId, address: u64, order: Order) {
        let Some(published) = self.global.published.get(&address) else { return };
        let stamp = published.freeze();
        if order == Order::Acquire {
            self.clocks.acquire(thread, &stamp);
        } else {
            self.global.met.entry(thread).or_default().absorb(&stamp);
        }
    }

    /// A thread has written to `address`, for whoever acquires the value.
    fn publish(&mut self, thread: ThreadId, address: u64, order: Order) {
        if order == Order::Release {
            self.clocks.release(thread, self.global.published.entry(address).or_default());
        } else if let Some(known) = self.global.fenced.get(&thread) {
            self.global.published.entry(address).or_default().absorb(known);
        }
    }

    /// Checks and notes an access of a thread.
    fn note(
        &mut self,
        thread: ThreadId,
        strength: Strength,
        direction: Direction,
        address: u64,
        bytes: usize,
        line: Line,
    ) -> Outcome<()> {
        let access = Access::generic(thread as u32, self.clocks.epoch(thread));
        let access = if strength == Strong { access.as_atomic() } else { access };
        let what = match direction {
            Direction::Read => "a load",
            Direction::Write => "a store",
        };
        let visit = Visit { access, issuers: &[thread], what, line };
        self.visit_global(&visit, direction, address, bytes as u64)
    }

    /// Checks and notes an access to the box of a tensor map.
    pub fn visit_box(
        &mut self,
        visit: &Visit,
        direction: Direction,
        map: u64,
        corner: &[i32],
    ) -> Outcome<()> {
        let memory = self.memory.clone();
        let image = Image::new(memory.map(map)?, corner)?;
        let mut rows = image.rows_inside();
        rows.try_for_each(|(address, bytes)| self.visit_global(visit, direction, address, bytes))
    }

    /// Checks an access to global memory against its history, where there is one, and adds it.
    pub fn visit_global(
        &mut self,
        visit: &Visit,
        direction: Direction,
        address: u64,
        bytes: u64,
    ) -> Outcome<()> {
        let names = self.names();
        let Self { global, clocks, sites, memory, .. } = self;
        let Some(pages) = global.pages.as_mut().filter(|_| memory.is_writable(address)) else {
            return Ok(());
        };
        let site = sites.intern(visit.line);
        let by = Actor { access: visit.access, issuers: visit.issuers, site, what: visit.what };
        let (mut start, end) = (address, address + bytes);
        while start < end {
            let base = start / PAGE * PAGE;
            let stop = end.min(base + PAGE);
            let at = Witness { clocks, sites, space: "global", base, names };
            let shadow = pages.entry(base).or_insert_with(|| Shadow::written(PAGE as u32));
            let here = (start - base) as u32..(stop - base) as u32;
            match direction {
                Direction::Read => shadow.read(&by, &at, here)?,
                Direction::Write => shadow.write(&by, &at, here)?,
            }
            start = stop;
        }
        Ok(())
    }
}
