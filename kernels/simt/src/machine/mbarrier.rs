//! Barriers in shared memory that count arrivals and bytes.

use super::clock::{Gathering, Slot, Stamp, ThreadId};
use super::{Gang, State, Wait};
use crate::report::{Fault, Kind, Outcome};
use crate::trace::Event;

/// The largest count of arrivals or bytes.
const LARGEST: i64 = (1 << 20) - 1;

/// An mbarrier.
pub struct Mbarrier {
    arrivals: i64,
    /// Arrivals that the current phase lacks.
    missing: i64,
    /// Bytes expected and not yet written; negative while more have come than were announced.
    bytes: i64,
    /// Phases completed.
    phase: u32,
    gathering: Gathering,
    completed: Stamp,
    /// Slot of the copies that complete on it; their epoch is the phase, counted from 1.
    pub slot: Slot,
    /// Thread and epoch of its initialisation.
    init: (ThreadId, u32),
    waiting: Vec<(ThreadId, u32)>,
}

impl Mbarrier {
    /// Epoch of copies that complete in the current phase.
    pub fn epoch(&self) -> u32 {
        self.phase + 1
    }

    /// What the current phase lacks, in words.
    pub fn lacks(&self) -> String {
        format!(
            "phase {} lacks {} arrivals of {} and {} bytes",
            self.phase, self.missing, self.arrivals, self.bytes
        )
    }

    fn has_completed(&self, parity: u32) -> bool {
        self.phase & 1 != parity
    }
}

/// Who makes an mbarrier advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// A thread, whose view must include the initialisation.
    Thread(ThreadId),
    /// The async proxy, on behalf of a thread.
    Copy(ThreadId),
}

impl Gang {
    /// `mbarrier.init`.
    pub fn mbarrier_init(&mut self, thread: ThreadId, address: u32, arrivals: u32) -> Outcome<()> {
        let cta = self.cta_of(thread);
        self.ctas[cta].shared.check(address, 8, 8)?;
        if arrivals == 0 || i64::from(arrivals) > LARGEST {
            let detail = format!("mbarrier.init with {arrivals} arrivals");
            return Err(Fault::new(Kind::Operand, detail));
        }
        let busy = self.ctas[cta].shared.mbarriers.get(&address);
        if busy.is_some_and(|old| !old.waiting.is_empty()) {
            let detail = format!("mbarrier.init of {address:#x}, which threads wait for");
            return Err(Fault::new(Kind::Mbarrier, detail));
        }
        let slot = match busy {
            Some(old) => old.slot,
            None => self.clocks.allocate(1),
        };
        let barrier = Mbarrier {
            arrivals: arrivals.into(),
            missing: arrivals.into(),
            bytes: 0,
            phase: 0,
            gathering: Gathering::default(),
            completed: Stamp::default(),
            slot,
            init: (thread, self.clocks.epoch(thread)),
            waiting: Vec::new(),
        };
        self.ctas[cta].shared.mbarriers.insert(address, barrier);
        Ok(())
    }

    /// `mbarrier.inval`.
    pub fn mbarrier_invalidate(&mut self, thread: ThreadId, address: u32) -> Outcome<()> {
        let cta = self.cta_of(thread);
        self.mbarrier(cta, address, Party::Thread(thread))?;
        self.ctas[cta].shared.mbarriers.remove(&address);
        Ok(())
    }

    /// The mbarrier at an address, if its initialisation is visible to the party.
    pub fn mbarrier(&mut self, cta: usize, address: u32, party: Party) -> Outcome<&mut Mbarrier> {
        self.ctas[cta].shared.check(address, 8, 8)?;
        let names = self.names();
        let Self { ctas, clocks, .. } = self;
        let Some(barrier) = ctas[cta].shared.mbarriers.get_mut(&address) else {
            let detail = format!("no mbarrier has been initialised at {address:#x}");
            return Err(Fault::new(Kind::Mbarrier, detail));
        };
        let (writer, epoch) = barrier.init;
        let (Party::Thread(thread) | Party::Copy(thread)) = party;
        if !clocks.knows(thread, writer as u32, epoch) {
            let writer = names.thread(writer);
            let detail = format!(
                "the initialisation of mbarrier {address:#x} by {writer} is not ordered before its use"
            );
            return Err(Fault::new(Kind::Mbarrier, detail));
        }
        if matches!(party, Party::Copy(_)) && !clocks.fenced(thread, writer, epoch) {
            let writer = names.thread(writer);
            let detail = format!(
                "an asynchronous copy uses mbarrier {address:#x}, which {writer} initialised \
                 without fence.mbarrier_init or fence.proxy.async"
            );
            return Err(Fault::new(Kind::ProxyFence, detail));
        }
        Ok(barrier)
    }

    /// `mbarrier.arrive`, announcing `bytes` first. Returns the phase that the arrival counts for.
    pub fn mbarrier_arrive(
        &mut self,
        thread: ThreadId,
        cta: usize,
        address: u32,
        arrivals: u32,
        bytes: u32,
    ) -> Outcome<u32> {
        self.mbarrier_expect(thread, cta, address, bytes)?;
        let barrier = self.mbarrier(cta, address, Party::Thread(thread))?;
        if barrier.missing < arrivals.into() {
            let detail =
                format!("mbarrier {address:#x}: {arrivals} more arrivals, but {}", barrier.lacks());
            return Err(Fault::new(Kind::ArrivalCount, detail));
        }
        barrier.missing -= i64::from(arrivals);
        let phase = barrier.phase;
        let mut gathering = std::mem::take(&mut barrier.gathering);
        self.clocks.release(thread, &mut gathering);
        self.mbarrier(cta, address, Party::Thread(thread))?.gathering = gathering;
        let index = self.index_in_cta(thread);
        let time = self.clocks.time(thread);
        self.recorder.instant(Event::Arrive, self.cta_of(thread), index, time, address);
        self.mbarrier_advance(cta, address)?;
        Ok(phase)
    }

    /// One arrival that carries `gathering`: the end of a thread's `cp.async` copies.
    pub fn mbarrier_arrive_for(
        &mut self,
        cta: usize,
        address: u32,
        gathering: &Gathering,
    ) -> Outcome<()> {
        let Some(barrier) = self.ctas[cta].shared.mbarriers.get_mut(&address) else {
            let detail = format!("mbarrier {address:#x} went away before its copy completed");
            return Err(Fault::new(Kind::Mbarrier, detail));
        };
        if barrier.missing == 0 {
            let detail =
                format!("mbarrier {address:#x}: one more arrival, but {}", barrier.lacks());
            return Err(Fault::new(Kind::ArrivalCount, detail));
        }
        barrier.missing -= 1;
        barrier.gathering.absorb(&gathering.freeze());
        self.mbarrier_advance(cta, address)
    }

    /// `mbarrier.expect_tx`.
    pub fn mbarrier_expect(
        &mut self,
        thread: ThreadId,
        cta: usize,
        address: u32,
        bytes: u32,
    ) -> Outcome<()> {
        let barrier = self.mbarrier(cta, address, Party::Thread(thread))?;
        barrier.bytes += i64::from(bytes);
        check_range(address, barrier)
    }

    /// Slot and epoch of a copy that `thread` issues now and that completes on an mbarrier.
    pub fn completion(
        &mut self,
        thread: ThreadId,
        cta: usize,
        address: u32,
    ) -> Outcome<(Slot, u32)> {
        let barrier = self.mbarrier(cta, address, Party::Copy(thread))?;
        Ok((barrier.slot, barrier.epoch()))
    }

    /// The bytes of a copy that was issued in phase `epoch` have been written.
    pub fn mbarrier_complete(
        &mut self,
        cta: usize,
        address: u32,
        bytes: u32,
        epoch: u32,
        time: u64,
    ) -> Outcome<()> {
        let Some(barrier) = self.ctas[cta].shared.mbarriers.get_mut(&address) else {
            let detail = format!("mbarrier {address:#x} went away before its copy completed");
            return Err(Fault::new(Kind::Mbarrier, detail));
        };
        if barrier.epoch() != epoch {
            let detail = format!(
                "{bytes} bytes on mbarrier {address:#x} come in phase {} but were issued in phase {}, which \
                 completed without them: it expected too few bytes",
                barrier.phase,
                epoch - 1
            );
            return Err(Fault::new(Kind::TransactionCount, detail));
        }
        barrier.bytes -= i64::from(bytes);
        barrier.gathering.delay_until(time);
        check_range(address, barrier)?;
        if barrier.missing == 0 && barrier.bytes < 0 {
            let detail =
                format!("mbarrier {address:#x}: more bytes than expected, {}", barrier.lacks());
            return Err(Fault::new(Kind::TransactionCount, detail));
        }
        self.mbarrier_advance(cta, address)
    }

    /// Begins the next phase if the current one lacks nothing.
    fn mbarrier_advance(&mut self, cta: usize, address: u32) -> Outcome<()> {
        let Some(barrier) = self.ctas[cta].shared.mbarriers.get_mut(&address) else {
            return Ok(());
        };
        if barrier.missing != 0 || barrier.bytes != 0 {
            return Ok(());
        }
        barrier.phase += 1;
        barrier.missing = barrier.arrivals;
        barrier.gathering.set(barrier.slot, barrier.phase);
        barrier.completed = barrier.gathering.freeze();
        let completed = barrier.completed.clone();
        let phase = barrier.phase;
        let released: Vec<ThreadId> = barrier
            .waiting
            .extract_if(.., |(_, parity)| phase & 1 != *parity)
            .map(|w| w.0)
            .collect();
        for thread in released {
            self.clocks.acquire(thread, &completed);
            let index = self.index_in_cta(thread);
            let time = self.clocks.time(thread);
            self.recorder.end(Event::Mbarrier, self.cta_of(thread), index, time);
            self.wake(thread, [1; 8]);
        }
        Ok(())
    }

    /// `mbarrier.test_wait.parity`.
    pub fn mbarrier_test(&mut self, thread: ThreadId, address: u32, parity: u32) -> Outcome<bool> {
        let cta = self.cta_of(thread);
        if parity > 1 {
            let detail = format!("parity {parity} of mbarrier {address:#x}");
            return Err(Fault::new(Kind::Operand, detail));
        }
        let barrier = self.mbarrier(cta, address, Party::Thread(thread))?;
        let done = barrier.has_completed(parity);
        if done {
            let completed = barrier.completed.clone();
            self.clocks.acquire(thread, &completed);
        }
        Ok(done)
    }

    /// `mbarrier.try_wait.parity`, which here suspends the thread for as long as it takes.
    pub fn mbarrier_wait(&mut self, thread: ThreadId, address: u32, parity: u32) -> Outcome<()> {
        if self.mbarrier_test(thread, address, parity)? {
            self.threads[thread].result = [1; 8];
            return Ok(());
        }
        let cta = self.cta_of(thread);
        let barrier = self.mbarrier(cta, address, Party::Thread(thread))?;
        barrier.waiting.push((thread, parity));
        self.threads[thread].state = State::Blocked(Wait::Mbarrier { cta, address, parity });
        let (index, time) = (self.index_in_cta(thread), self.clocks.time(thread));
        self.recorder.begin(Event::Mbarrier, cta, index, time, address);
        Ok(())
    }
}

fn check_range(address: u32, barrier: &Mbarrier) -> Outcome<()> {
    if barrier.bytes.abs() <= LARGEST {
        return Ok(());
    }
    let detail =
        format!("mbarrier {address:#x} counts at most {LARGEST} bytes; {}", barrier.lacks());
    Err(Fault::new(Kind::TransactionCount, detail))
}
