//! Instructions that the threads of a warp or warpgroup execute together: the last one to come executes for
//! all.

use super::clock::ThreadId;
use super::{Gang, Line, State, WARP, Wait, Words};
use crate::report::{Fault, Kind, Outcome, ranges};

/// A collective instruction with everything that must be the same in all its threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `shfl.sync`.
    Shuffle(super::warp::Shuffle),
    /// `vote.sync.ballot`, of which the other votes are made.
    Ballot,
    /// `redux.sync`.
    Reduce(super::warp::Reduce),
    /// `match.any.sync`.
    MatchAny,
    /// `elect.sync`.
    Elect,
    /// `bar.warp.sync`.
    SyncWarp,
    /// `ldmatrix`.
    LoadMatrix { count: u32, transpose: bool },
    /// `stmatrix`.
    StoreMatrix { count: u32, transpose: bool },
    /// `bar.sync`; 0 threads means all of the CTA.
    BarSync { id: u32, threads: u32 },
    /// `bar.arrive`.
    BarArrive { id: u32, threads: u32 },
    /// `barrier.cluster.arrive`.
    ClusterArrive { release: bool },
    /// `barrier.cluster.wait`.
    ClusterWait { acquire: bool },
    /// `setmaxnreg`.
    SetRegisters { count: u32, increase: bool },
    /// `wgmma.fence`.
    WgmmaFence,
    /// `wgmma.mma_async`.
    Mma(super::wgmma::Mma),
    /// `wgmma.commit_group`.
    WgmmaCommit,
    /// `wgmma.wait_group`.
    WgmmaWait { pending: u32 },
}

impl Op {
    /// Whether all threads must be at the same place in the program, not only at a like instruction.
    fn aligned(self) -> bool {
        !matches!(
            self,
            Self::Shuffle(_)
                | Self::Ballot
                | Self::Reduce(_)
                | Self::MatchAny
                | Self::Elect
                | Self::SyncWarp
        )
    }

    /// Whether threads that have ended are not waited for.
    fn spares_the_ended(self) -> bool {
        matches!(
            self,
            Self::BarSync { .. }
                | Self::BarArrive { .. }
                | Self::ClusterArrive { .. }
                | Self::ClusterWait { .. }
        )
    }
}

/// A collective instruction that some threads have reached.
pub struct Meeting {
    op: Op,
    line: Line,
    required: u128,
    arrived: u128,
    inputs: Vec<Words>,
}

/// Threads that execute together: a warp or a warpgroup.
pub struct Group {
    pub first: ThreadId,
    /// Bit `i` for thread `first + i`.
    all: u128,
    exited: u128,
    meetings: Vec<Meeting>,
    spare: Vec<Vec<Words>>,
}

impl Group {
    pub fn new(first: ThreadId, threads: usize) -> Self {
        Self {
            first,
            all: u128::MAX >> (128 - threads),
            exited: 0,
            meetings: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Its threads that have not ended.
    pub fn alive(&self) -> u128 {
        self.all & !self.exited
    }

    /// Adds a thread to the meeting it belongs to; returns it once it is complete.
    fn arrive(
        &mut self,
        thread: ThreadId,
        op: Op,
        required: u128,
        input: Words,
        line: Line,
    ) -> Outcome<Option<Meeting>> {
        let lane = thread - self.first;
        let place = match self.meetings.iter().position(|m| m.required & required != 0) {
            Some(place) => place,
            None => {
                let inputs = self.spare.pop().unwrap_or_else(|| vec![[0; 8]; 128]);
                self.meetings.push(Meeting { op, line, required, arrived: 0, inputs });
                self.meetings.len() - 1
            }
        };
        let meeting = &mut self.meetings[place];
        if meeting.op != op
            || meeting.required != required
            || op.aligned() && !same_line(meeting.line, line)
        {
            return Err(divergence(self.first, meeting, op));
        }
        let gone = required & self.exited;
        if gone != 0 {
            return Err(absent(self.first, op, gone));
        }
        meeting.arrived |= 1 << lane;
        meeting.inputs[lane] = input;
        if meeting.arrived != required {
            return Ok(None);
        }
        Ok(Some(self.meetings.swap_remove(place)))
    }

    /// Notes that a thread has ended, which nobody may be waiting for, unless it is at a barrier; returns the
    /// meeting that is complete without it.
    pub fn exit(&mut self, thread: ThreadId) -> Outcome<Option<Meeting>> {
        let bit = 1 << (thread - self.first);
        self.exited |= bit;
        let Some(place) = self.meetings.iter().position(|m| m.required & bit != 0) else {
            return Ok(None);
        };
        let meeting = &mut self.meetings[place];
        if !meeting.op.spares_the_ended() {
            return Err(absent(self.first, meeting.op, bit).in_line(meeting.line));
        }
        meeting.required &= !bit;
        let complete = meeting.arrived == meeting.required;
        Ok(complete.then(|| self.meetings.swap_remove(place)))
    }
}

fn same_line(a: Line, b: Line) -> bool {
    std::ptr::eq(a, b) || (a.line(), a.column(), a.file()) == (b.line(), b.column(), b.file())
}

/// Threads of a mask.
pub fn members(first: ThreadId, mask: u128) -> impl Iterator<Item = ThreadId> {
    (0..128).filter(move |bit| mask >> bit & 1 != 0).map(move |bit| first + bit)
}

fn divergence(first: ThreadId, meeting: &Meeting, op: Op) -> Fault {
    let place = format!("{}:{}", meeting.line.file(), meeting.line.line());
    let others = meeting.op;
    let waiting: Vec<u32> = members(0, meeting.arrived).map(|lane| lane as u32).collect();
    let detail = format!(
        "{op:?} while lanes {} of the group are in {others:?} at {place}",
        ranges(&waiting)
    );
    Fault::new(Kind::Divergence, detail).of(members(first, meeting.required))
}

fn absent(first: ThreadId, op: Op, gone: u128) -> Fault {
    let lanes: Vec<u32> = members(0, gone).map(|lane| lane as u32).collect();
    let detail = format!("{op:?} needs lanes {} of the group, which have ended", ranges(&lanes));
    Fault::new(Kind::Divergence, detail).of(members(first, gone))
}

/// What becomes of the threads once their instruction has been executed.
pub enum Then {
    /// They go on, each with its result.
    Resume,
    /// The instruction has decided itself, for some may have to wait.
    Decided,
}

impl Gang {
    /// A thread reaches an instruction that the lanes of `mask` execute together.
    pub fn with_warp(
        &mut self,
        thread: ThreadId,
        op: Op,
        mask: u32,
        input: Words,
        line: Line,
    ) -> Outcome<()> {
        let warp = self.warp_of(thread);
        let group = &mut self.warps[warp];
        let present = if op.spares_the_ended() { group.alive() } else { group.all };
        let required = u128::from(mask) & present;
        if required >> (thread - group.first) & 1 == 0 {
            let detail = format!("{op:?} with member mask {mask:#x}, without the lane itself");
            return Err(Fault::new(Kind::Operand, detail));
        }
        match group.arrive(thread, op, required, input, line)? {
            Some(meeting) => self.hold(warp, meeting),
            None => {
                self.threads[thread].state = State::Blocked(Wait::Collective(op));
                Ok(())
            }
        }
    }

    /// Executes the instruction that the lanes of a warp have met for.
    pub fn hold(&mut self, warp: usize, meeting: Meeting) -> Outcome<()> {
        let Meeting { op, line, required, inputs: mut words, .. } = meeting;
        let first = self.warps[warp].first;
        let then = self.execute_warp(warp, op, required, &mut words, line)?;
        self.dismiss(first, required, &words, then);
        self.warps[warp].spare.push(words);
        Ok(())
    }

    /// A thread reaches an instruction that its warpgroup executes together.
    pub fn with_warpgroup(
        &mut self,
        thread: ThreadId,
        op: Op,
        input: Words,
        line: Line,
    ) -> Outcome<()> {
        let Some(index) = self.warpgroup_of(thread) else {
            let detail = format!("{op:?} in a warp that belongs to no whole warpgroup");
            return Err(Fault::new(Kind::Operand, detail));
        };
        let group = &mut self.warpgroups[index].group;
        let (first, required) = (group.first, group.all);
        let Some(meeting) = group.arrive(thread, op, required, input, line)? else {
            self.threads[thread].state = State::Blocked(Wait::Collective(op));
            return Ok(());
        };
        let mut words = meeting.inputs;
        let then = self.execute_warpgroup(index, op, &mut words, line)?;
        self.dismiss(first, required, &words, then);
        self.warpgroups[index].group.spare.push(words);
        Ok(())
    }

    fn execute_warp(
        &mut self,
        warp: usize,
        op: Op,
        required: u128,
        words: &mut [Words],
        line: Line,
    ) -> Outcome<Then> {
        let first = self.warps[warp].first;
        let lanes = &mut words[..WARP];
        match op {
            Op::BarSync { id, threads } => self.barrier_sync(warp, id, threads),
            Op::BarArrive { id, threads } => self.barrier_arrive(warp, id, threads),
            Op::ClusterArrive { release } => self.cluster_arrive(warp, release),
            Op::ClusterWait { acquire } => self.cluster_wait(warp, acquire),
            Op::LoadMatrix { count, transpose } => {
                self.load_matrices(first, count, transpose, lanes, line)
            }
            Op::StoreMatrix { count, transpose } => {
                self.store_matrices(first, count, transpose, lanes, line)
            }
            Op::SyncWarp => Ok(self.sync_warp(first, required)),
            _ => Ok(super::warp::exchange(op, required as u32, lanes)),
        }
    }

    fn execute_warpgroup(
        &mut self,
        index: usize,
        op: Op,
        words: &mut [Words],
        line: Line,
    ) -> Outcome<Then> {
        match op {
            Op::SetRegisters { count, increase } => self.set_registers(index, count, increase),
            Op::WgmmaFence => Ok(self.wgmma_fence(index)),
            Op::Mma(mma) => self.wgmma_issue(index, mma, words, line),
            Op::WgmmaCommit => Ok(self.wgmma_commit(index)),
            Op::WgmmaWait { pending } => self.wgmma_wait(index, pending, words),
            _ => unreachable!("only warpgroup instructions come here"),
        }
    }

    fn dismiss(&mut self, first: ThreadId, required: u128, words: &[Words], then: Then) {
        if let Then::Resume = then {
            for lane in members(0, required) {
                self.wake(first + lane, words[lane]);
            }
        }
    }
}
