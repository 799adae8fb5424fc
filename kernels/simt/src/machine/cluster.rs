//! The barrier of a cluster.

use super::clock::{Gathering, Stamp, ThreadId};
use super::collective::Then;
use super::{Gang, State, Wait};
use crate::report::{Fault, Kind, Outcome};

/// `barrier.cluster`, in two halves: arrive, wait.
#[derive(Default)]
pub struct ClusterBarrier {
    /// Threads that have arrived in this phase.
    arrived: Vec<ThreadId>,
    gathering: Gathering,
    /// Of the last phase that completed.
    completed: Stamp,
    /// Threads that may still pass the phase that completed.
    passes: Vec<ThreadId>,
    waiting: Vec<(ThreadId, bool)>,
}

impl Gang {
    /// The CTAs of a multicast mask of `thread`.
    pub fn ctas_of(&self, thread: ThreadId, mask: u16) -> Outcome<Vec<usize>> {
        let size = self.launch.cluster_size();
        let first = self.cluster_of(self.cta_of(thread)) * size;
        if mask == 0 || u32::from(mask) >> size != 0 {
            let detail = format!("multicast to {mask:#x} in a cluster of {size} CTAs");
            return Err(Fault::new(Kind::Operand, detail));
        }
        Ok((0..size).filter(|rank| mask >> rank & 1 != 0).map(|rank| first + rank).collect())
    }

    /// `barrier.cluster.arrive`.
    pub fn cluster_arrive(&mut self, warp: usize, release: bool) -> Outcome<Then> {
        let cluster = self.cluster_of(self.cta_of(self.warps[warp].first));
        for lane in self.lanes(warp) {
            let barrier = &mut self.cluster_barriers[cluster];
            if barrier.arrived.contains(&lane) || barrier.passes.contains(&lane) {
                let detail = "barrier.cluster.arrive twice without a wait between";
                return Err(Fault::new(Kind::ArrivalCount, detail));
            }
            barrier.arrived.push(lane);
            if release {
                self.clocks.release(lane, &mut barrier.gathering);
            }
        }
        self.cluster_exit(cluster)?;
        Ok(Then::Resume)
    }

    /// `barrier.cluster.wait`.
    pub fn cluster_wait(&mut self, warp: usize, acquire: bool) -> Outcome<Then> {
        let cluster = self.cluster_of(self.cta_of(self.warps[warp].first));
        for lane in self.lanes(warp) {
            let barrier = &mut self.cluster_barriers[cluster];
            if let Some(place) = barrier.passes.iter().position(|&other| other == lane) {
                barrier.passes.swap_remove(place);
                let completed = barrier.completed.clone();
                self.pass(lane, acquire, &completed);
                continue;
            }
            if !barrier.arrived.contains(&lane) {
                let detail = "barrier.cluster.wait before barrier.cluster.arrive";
                return Err(Fault::new(Kind::ArrivalCount, detail));
            }
            barrier.waiting.push((lane, acquire));
            self.threads[lane].state = State::Blocked(Wait::Cluster);
        }
        Ok(Then::Decided)
    }

    /// Completes the phase once all threads that have not ended have arrived.
    pub fn cluster_exit(&mut self, cluster: usize) -> Outcome<()> {
        let size = self.launch.cluster_size();
        let alive: usize = self.ctas[cluster * size..][..size].iter().map(|cta| cta.alive).sum();
        let done = |thread: &ThreadId| self.threads[*thread].state == State::Done;
        let barrier = &mut self.cluster_barriers[cluster];
        let present = barrier.arrived.iter().filter(|thread| !done(thread)).count();
        if present == 0 || present < alive {
            return Ok(());
        }
        barrier.completed = std::mem::take(&mut barrier.gathering).freeze();
        barrier.passes = std::mem::take(&mut barrier.arrived);
        let completed = barrier.completed.clone();
        let waiting = std::mem::take(&mut barrier.waiting);
        barrier.passes.retain(|thread| !waiting.iter().any(|(other, _)| other == thread));
        for (thread, acquire) in waiting {
            self.pass(thread, acquire, &completed);
        }
        Ok(())
    }

    fn pass(&mut self, thread: ThreadId, acquire: bool, completed: &Stamp) {
        if acquire {
            self.clocks.acquire(thread, completed);
        }
        self.wake(thread, [0; 8]);
    }
}
