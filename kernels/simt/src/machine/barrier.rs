//! Named barriers, and the barrier of a warp.

use super::clock::{Gathering, ThreadId};
use super::collective::{Then, members};
use super::{Gang, State, WARP, Wait};
use crate::report::{Fault, Kind, Outcome};
use crate::trace::Event;

/// A named barrier of a CTA.
#[derive(Default)]
pub struct Barrier {
    /// Threads that complete it; 0 while nobody has arrived or for all threads of the CTA.
    expected: u32,
    arrived: u32,
    gathering: Gathering,
    waiting: Vec<ThreadId>,
}

impl Barrier {
    pub fn arrived(&self) -> u32 {
        self.arrived
    }

    pub fn expected(&self) -> u32 {
        self.expected
    }
}

impl Gang {
    /// `bar.sync`: a warp arrives and waits.
    pub fn barrier_sync(&mut self, warp: usize, id: u32, threads: u32) -> Outcome<Then> {
        let lanes: Vec<ThreadId> = self.lanes(warp).collect();
        let cta = self.cta_of(lanes[0]);
        self.arrive(warp, cta, id, threads)?;
        let index = self.index_in_cta(lanes[0]);
        self.recorder.begin(Event::Barrier, cta, index, self.clocks.time(lanes[0]), id);
        for &lane in &lanes {
            self.threads[lane].state = State::Blocked(Wait::Barrier(id));
        }
        self.ctas[cta].barriers[id as usize].waiting.extend(lanes);
        self.complete_barrier(cta, id);
        Ok(Then::Decided)
    }

    /// `bar.arrive`: a warp arrives and goes on.
    pub fn barrier_arrive(&mut self, warp: usize, id: u32, threads: u32) -> Outcome<Then> {
        let first = self.warps[warp].first;
        let cta = self.cta_of(first);
        self.arrive(warp, cta, id, threads)?;
        let index = self.index_in_cta(first);
        self.recorder.instant(Event::Arrive, cta, index, self.clocks.time(first), id);
        self.complete_barrier(cta, id);
        Ok(Then::Resume)
    }

    fn arrive(&mut self, warp: usize, cta: usize, id: u32, threads: u32) -> Outcome<()> {
        if id >= 16
            || !threads.is_multiple_of(WARP as u32)
            || threads as usize > self.threads_per_cta()
        {
            let detail = format!("named barrier {id} for {threads} threads");
            return Err(Fault::new(Kind::Operand, detail));
        }
        let barrier = &mut self.ctas[cta].barriers[id as usize];
        if barrier.arrived == 0 {
            barrier.expected = threads;
        } else if barrier.expected != threads {
            let detail = format!(
                "named barrier {id} for {threads} threads, but others have arrived for {}",
                barrier.expected
            );
            return Err(Fault::new(Kind::ArrivalCount, detail));
        }
        let mut gathering = std::mem::take(&mut barrier.gathering);
        let mut count = 0;
        for lane in self.lanes(warp) {
            self.clocks.release(lane, &mut gathering);
            count += 1;
        }
        let barrier = &mut self.ctas[cta].barriers[id as usize];
        barrier.gathering = gathering;
        // A warp that is not complete counts as a whole one where threads are counted in warps.
        barrier.arrived += if threads == 0 { count } else { WARP as u32 };
        if threads != 0 && barrier.arrived > threads {
            let arrived = barrier.arrived;
            let detail = format!("{arrived} threads at named barrier {id}, which takes {threads}");
            return Err(Fault::new(Kind::ArrivalCount, detail));
        }
        Ok(())
    }

    fn complete_barrier(&mut self, cta: usize, id: u32) {
        let alive = self.ctas[cta].alive as u32;
        let barrier = &mut self.ctas[cta].barriers[id as usize];
        let expected = if barrier.expected == 0 { alive } else { barrier.expected };
        if barrier.arrived == 0 || barrier.arrived < expected {
            return;
        }
        let stamp = barrier.gathering.freeze();
        let waiting = std::mem::take(barrier).waiting;
        for thread in waiting {
            self.clocks.adopt(thread, &stamp);
            self.recorder.end(
                Event::Barrier,
                cta,
                thread % self.launch.threads() as usize,
                stamp.time,
            );
            self.wake(thread, [0; 8]);
        }
    }

    /// A thread of the CTA has ended: barriers of the whole CTA no longer wait for it.
    pub fn barrier_exit(&mut self, cta: usize) {
        for id in 0..16 {
            if self.ctas[cta].barriers[id as usize].expected == 0 {
                self.complete_barrier(cta, id);
            }
        }
    }

    /// `bar.warp.sync`: orders memory among its lanes.
    pub fn sync_warp(&mut self, first: ThreadId, mask: u128) -> Then {
        let mut gathering = Gathering::default();
        for lane in members(first, mask) {
            self.clocks.release(lane, &mut gathering);
        }
        let stamp = gathering.freeze();
        for lane in members(first, mask) {
            self.clocks.adopt(lane, &stamp);
        }
        Then::Resume
    }

    /// The threads of a warp that have not ended.
    pub fn lanes(&self, warp: usize) -> impl Iterator<Item = ThreadId> + use<> {
        let group = &self.warps[warp];
        members(group.first, group.alive())
    }
}
