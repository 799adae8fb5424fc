//! Who knows what: vector clocks.
//!
//! Every thread of the gang, and every engine that works in the background (the tensor core of a warp, the
//! copies that complete on an mbarrier, the copies of a thread's groups), has a *slot*. What a slot does
//! carries its current *epoch*. A thread knows of another slot's work up to some epoch; barriers hand that
//! knowledge on. An access is ordered before a thread's next step exactly if the thread knows its epoch.
//!
//! Knowledge is shared: threads that left the same barrier hold the same `Rc`, and a join of two clocks that
//! was computed for one thread is remembered for its neighbours.

use std::rc::Rc;

/// Index of a thread in its gang.
pub type ThreadId = usize;
/// Index of a thread or engine among all that a gang has.
pub type Slot = u32;

/// What somebody knows, and the simulated cycle at which they learned the last of it.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    seen: Vec<u32>,
    pub time: u64,
}

pub type Stamp = Rc<Clock>;

impl Clock {
    fn get(&self, slot: Slot) -> u32 {
        self.seen.get(slot as usize).copied().unwrap_or(0)
    }

    fn set(&mut self, slot: Slot, epoch: u32) {
        let slot = slot as usize;
        if self.seen.len() <= slot {
            self.seen.resize(slot + 1, 0);
        }
        self.seen[slot] = self.seen[slot].max(epoch);
    }

    fn absorb(&mut self, other: &Self) {
        if self.seen.len() < other.seen.len() {
            self.seen.resize(other.seen.len(), 0);
        }
        for (mine, theirs) in self.seen.iter_mut().zip(&other.seen) {
            *mine = (*mine).max(*theirs);
        }
        self.time = self.time.max(other.time);
    }
}

/// A clock under construction: what all who arrived so far know together.
#[derive(Clone, Debug, Default)]
pub struct Gathering {
    clock: Clock,
    last: Option<Stamp>,
}

impl Gathering {
    pub fn absorb(&mut self, stamp: &Stamp) {
        if self.last.as_ref().is_none_or(|last| !Rc::ptr_eq(last, stamp)) {
            self.clock.absorb(stamp);
            self.last = Some(stamp.clone());
        }
    }

    pub fn set(&mut self, slot: Slot, epoch: u32) {
        self.clock.set(slot, epoch);
    }

    pub fn delay_until(&mut self, time: u64) {
        self.clock.time = self.clock.time.max(time);
    }

    pub fn freeze(&self) -> Stamp {
        Rc::new(self.clock.clone())
    }
}

struct ThreadClock {
    base: Stamp,
    /// Epoch of what the thread does now; grows at every release.
    own: u32,
    /// Epochs at which the thread executed a proxy fence, ascending.
    fences: Vec<u32>,
    time: u64,
}

/// Joins remembered: (a, b, a joined with b).
const MEMORY: usize = 8;

/// The clocks of a gang.
pub struct Clocks {
    threads: Vec<ThreadClock>,
    slots: u32,
    /// Slots of copies through the generic proxy that nobody can fence himself. Behind each is one for the copies that a
    /// proxy fence of somebody who knew of them covers.
    copies: Vec<Slot>,
    joins: Vec<(Stamp, Stamp, Stamp)>,
    /// Fences remembered: what somebody knew before and after.
    fenced: Vec<(Stamp, Stamp)>,
    lessons: Vec<(Stamp, Slot, u32, Stamp)>,
    next: usize,
}

impl Clocks {
    pub fn new(threads: usize) -> Self {
        let nothing = Stamp::default();
        let thread = || ThreadClock { base: nothing.clone(), own: 1, fences: Vec::new(), time: 0 };
        Self {
            threads: (0..threads).map(|_| thread()).collect(),
            slots: threads as u32,
            copies: Vec::new(),
            joins: Vec::new(),
            fenced: Vec::new(),
            lessons: Vec::new(),
            next: 0,
        }
    }

    /// The first of `count` new slots.
    pub fn allocate(&mut self, count: u32) -> Slot {
        self.slots += count;
        self.slots - count
    }

    /// The slot of copies through the generic proxy.
    pub fn allocate_copies(&mut self) -> Slot {
        let slot = self.allocate(2);
        self.copies.push(slot);
        slot
    }

    pub fn epoch(&self, thread: ThreadId) -> u32 {
        self.threads[thread].own
    }

    pub fn time(&self, thread: ThreadId) -> u64 {
        self.threads[thread].time
    }

    pub fn spend(&mut self, thread: ThreadId, cycles: u64) {
        self.threads[thread].time += cycles;
    }

    pub fn delay_until(&mut self, thread: ThreadId, time: u64) {
        let mine = &mut self.threads[thread].time;
        *mine = (*mine).max(time);
    }

    /// Whether `thread` knows of `slot`'s work in `epoch`.
    pub fn knows(&self, thread: ThreadId, slot: Slot, epoch: u32) -> bool {
        slot as usize == thread || self.threads[thread].base.get(slot) >= epoch
    }

    /// Hands what `thread` knows to `gathering`, and begins a new epoch.
    pub fn release(&mut self, thread: ThreadId, gathering: &mut Gathering) {
        let mine = &mut self.threads[thread];
        gathering.absorb(&mine.base);
        gathering.set(thread as u32, mine.own);
        gathering.delay_until(mine.time);
        mine.own += 1;
    }

    /// `thread` learns what `stamp` knows.
    pub fn acquire(&mut self, thread: ThreadId, stamp: &Stamp) {
        self.delay_until(thread, stamp.time);
        let base = self.threads[thread].base.clone();
        if Rc::ptr_eq(&base, stamp) {
            return;
        }
        let known = self
            .joins
            .iter()
            .find(|(a, b, _)| Rc::ptr_eq(a, &base) && Rc::ptr_eq(b, stamp))
            .map(|(_, _, joined)| joined.clone());
        self.threads[thread].base = known.unwrap_or_else(|| {
            let mut clock = (*base).clone();
            clock.absorb(stamp);
            let joined = Rc::new(clock);
            remember(&mut self.joins, &mut self.next, (base, stamp.clone(), joined.clone()));
            joined
        });
    }

    /// `thread` takes over `stamp`, which contains all it knew: the end of a barrier it arrived at.
    pub fn adopt(&mut self, thread: ThreadId, stamp: &Stamp) {
        self.delay_until(thread, stamp.time);
        self.threads[thread].base = stamp.clone();
    }

    /// `thread` learns that `slot` has finished its work up to `epoch`.
    pub fn learn(&mut self, thread: ThreadId, slot: Slot, epoch: u32) {
        let base = self.threads[thread].base.clone();
        if base.get(slot) >= epoch {
            return;
        }
        let known = self
            .lessons
            .iter()
            .find(|(a, s, e, _)| Rc::ptr_eq(a, &base) && *s == slot && *e == epoch)
            .map(|(_, _, _, learned)| learned.clone());
        self.threads[thread].base = known.unwrap_or_else(|| {
            let mut clock = (*base).clone();
            clock.set(slot, epoch);
            let learned = Rc::new(clock);
            remember(&mut self.lessons, &mut self.next, (base, slot, epoch, learned.clone()));
            learned
        });
    }

    /// `fence.proxy.async` of `thread`: covers its accesses so far, and the copies that it knows of.
    pub fn fence(&mut self, thread: ThreadId) {
        let mine = &mut self.threads[thread];
        mine.fences.push(mine.own);
        mine.own += 1;
        if self.copies.is_empty() {
            return;
        }
        let base = mine.base.clone();
        let known = self.fenced.iter().find(|(before, _)| Rc::ptr_eq(before, &base));
        self.threads[thread].base = match known {
            Some((_, after)) => after.clone(),
            None => {
                let mut clock = (*base).clone();
                for &slot in &self.copies {
                    clock.set(slot + 1, clock.get(slot));
                }
                let after = Rc::new(clock);
                remember(&mut self.fenced, &mut self.next, (base, after.clone()));
                after
            }
        };
    }

    /// Whether a fence that `observer` knows of covers the copies of `slot` up to `epoch`.
    pub fn copies_fenced(&self, observer: ThreadId, slot: Slot, epoch: u32) -> bool {
        self.knows(observer, slot + 1, epoch)
    }

    /// Whether `writer` fenced its access of `epoch` before what `observer` knows of it.
    pub fn fenced(&self, observer: ThreadId, writer: ThreadId, epoch: u32) -> bool {
        let known = if observer == writer {
            self.threads[writer].own
        } else {
            self.threads[observer].base.get(writer as u32)
        };
        let fences = &self.threads[writer].fences;
        let before = fences.partition_point(|&fence| fence <= known);
        before > 0 && fences[before - 1] >= epoch
    }
}

/// Keeps the latest [`MEMORY`] results, in a ring.
fn remember<T>(memory: &mut Vec<T>, next: &mut usize, entry: T) {
    if memory.len() < MEMORY {
        memory.push(entry);
    } else {
        *next = (*next + 1) % MEMORY;
        memory[*next] = entry;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_orders_what_came_before_it_and_nothing_after() {
        let mut clocks = Clocks::new(2);
        let before = clocks.epoch(0);
        let mut gathering = Gathering::default();
        clocks.release(0, &mut gathering);
        let after = clocks.epoch(0);
        assert!(!clocks.knows(1, 0, before));
        clocks.acquire(1, &gathering.freeze());
        assert!(clocks.knows(1, 0, before));
        assert!(!clocks.knows(1, 0, after));
    }

    #[test]
    fn a_fence_counts_only_between_the_write_and_the_release() {
        let mut clocks = Clocks::new(2);
        let write = clocks.epoch(0);
        let mut gathering = Gathering::default();
        clocks.release(0, &mut gathering);
        clocks.acquire(1, &gathering.freeze());
        assert!(!clocks.fenced(1, 0, write), "no fence at all");
        clocks.fence(0);
        assert!(!clocks.fenced(1, 0, write), "the fence came after the release");
        let mut gathering = Gathering::default();
        clocks.release(0, &mut gathering);
        clocks.acquire(1, &gathering.freeze());
        assert!(clocks.fenced(1, 0, write));
        let later = clocks.epoch(0);
        assert!(!clocks.fenced(0, 0, later), "the write came after the fence");
    }

    #[test]
    fn anybody_who_knows_of_copies_can_fence_them() {
        let mut clocks = Clocks::new(2);
        let copies = clocks.allocate_copies();
        clocks.fence(0);
        clocks.learn(0, copies, 3);
        assert!(!clocks.copies_fenced(0, copies, 3), "the fence came before");
        clocks.fence(0);
        assert!(clocks.copies_fenced(0, copies, 3) && !clocks.copies_fenced(0, copies, 4));
        assert!(!clocks.copies_fenced(1, copies, 3), "nobody has told the other thread");
        let mut gathering = Gathering::default();
        clocks.release(0, &mut gathering);
        clocks.acquire(1, &gathering.freeze());
        assert!(clocks.copies_fenced(1, copies, 3));
    }

    #[test]
    fn knowledge_travels_through_a_third_thread() {
        let mut clocks = Clocks::new(3);
        let engine = clocks.allocate(1);
        clocks.learn(0, engine, 7);
        for (from, to) in [(0, 1), (1, 2)] {
            let mut gathering = Gathering::default();
            clocks.release(from, &mut gathering);
            clocks.acquire(to, &gathering.freeze());
        }
        assert!(clocks.knows(2, engine, 7));
        assert!(!clocks.knows(2, engine, 8));
    }
}
