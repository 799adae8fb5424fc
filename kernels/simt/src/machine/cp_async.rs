//! `cp.async`: copies of 4, 8 or 16 bytes by each thread, in groups of the thread that issues them.

use std::collections::HashMap;

use super::clock::{Slot, ThreadId};
use super::mbarrier::Party;
use super::shadow::Access;
use super::shared::{Direction, Visit};
use super::{Gang, Line};
use crate::report::{Fault, Kind, Outcome};

struct Piece {
    cta: usize,
    offset: u32,
    bytes: u32,
    /// Source and bytes read from it; the rest is zero.
    source: (u64, u32),
    line: Line,
}

#[derive(Default)]
struct Groups {
    slot: Slot,
    committed: u32,
    open: Vec<Piece>,
    flying: Vec<(u32, Vec<Piece>)>,
}

/// `cp.async.mbarrier.arrive`: an arrival once earlier copies of the thread have landed.
struct Arrival {
    thread: ThreadId,
    barrier: u32,
    line: Line,
    slot: Slot,
    epoch: u32,
    pieces: Vec<Piece>,
    gathering: super::clock::Gathering,
}

/// The small copies of a gang, by thread.
#[derive(Default)]
pub struct Lanes {
    threads: HashMap<ThreadId, Groups>,
    arrivals: Vec<Arrival>,
}

impl Lanes {
    pub fn arrivals_pending(&self) -> bool {
        !self.arrivals.is_empty()
    }

    pub fn arrivals(&self) -> usize {
        self.arrivals.len()
    }
}

impl Gang {
    /// `cp.async`.
    pub fn cp_async(
        &mut self,
        thread: ThreadId,
        address: u32,
        bytes: u32,
        source: (u64, u32),
        line: Line,
    ) -> Outcome<()> {
        if !matches!(bytes, 4 | 8 | 16) || source.1 > bytes {
            let detail = format!("cp.async of {} bytes to {bytes}", source.1);
            return Err(Fault::new(Kind::Operand, detail));
        }
        if !source.0.is_multiple_of(u64::from(bytes)) {
            let detail = format!("cp.async from {:#x}, not a multiple of {bytes}", source.0);
            return Err(Fault::new(Kind::Misaligned, detail));
        }
        let cta = self.cta_of(thread);
        let offset = self.ctas[cta].shared.check(address, bytes, bytes)?;
        let clocks = &mut self.clocks;
        let groups = self
            .copies
            .lanes
            .threads
            .entry(thread)
            .or_insert_with(|| Groups { slot: clocks.allocate_copies(), ..Groups::default() });
        groups.open.push(Piece { cta, offset, bytes, source, line });
        let access = Access::background(groups.slot, groups.committed + 1);
        let visit = Visit { access, issuers: &[thread], what: "cp.async", line };
        self.visit_global(&visit, Direction::Read, source.0, source.1.into())?;
        self.visit(&visit, cta, Direction::Write, offset, bytes)
    }

    /// `cp.async.commit_group`.
    pub fn cp_async_commit(&mut self, thread: ThreadId) {
        if let Some(groups) = self.copies.lanes.threads.get_mut(&thread) {
            groups.committed += 1;
            let open = std::mem::take(&mut groups.open);
            groups.flying.push((groups.committed, open));
        }
    }

    /// `cp.async.wait_group`: from here on the copies are writes of the thread itself.
    pub fn cp_async_wait(&mut self, thread: ThreadId, pending: u32) -> Outcome<()> {
        let Some(groups) = self.copies.lanes.threads.get_mut(&thread) else { return Ok(()) };
        let done = groups.committed.saturating_sub(pending);
        let landed: Vec<Piece> =
            groups.flying.extract_if(.., |(number, _)| *number <= done).flat_map(|g| g.1).collect();
        let slot = groups.slot;
        self.clocks.learn(thread, slot, done);
        for piece in landed {
            let access = Access::generic(thread as u32, self.clocks.epoch(thread));
            let Piece { cta, line, .. } = piece;
            let visit = Visit { access, issuers: &[thread], what: "cp.async", line };
            self.visit(&visit, cta, Direction::Write, piece.offset, piece.bytes)?;
            self.land_piece(thread, &piece)?;
        }
        Ok(())
    }

    /// `cp.async.mbarrier.arrive.noinc`.
    pub fn cp_async_arrive(&mut self, thread: ThreadId, barrier: u32, line: Line) -> Outcome<()> {
        let cta = self.cta_of(thread);
        self.mbarrier(cta, barrier, Party::Thread(thread))?;
        self.cp_async_commit(thread);
        let clocks = &mut self.clocks;
        let groups = self
            .copies
            .lanes
            .threads
            .entry(thread)
            .or_insert_with(|| Groups { slot: clocks.allocate_copies(), ..Groups::default() });
        let mut gathering = super::clock::Gathering::default();
        clocks.release(thread, &mut gathering);
        let arrival = Arrival {
            thread,
            barrier,
            line,
            slot: groups.slot,
            epoch: groups.committed,
            pieces: groups.flying.drain(..).flat_map(|group| group.1).collect(),
            gathering,
        };
        self.copies.lanes.arrivals.push(arrival);
        Ok(())
    }

    /// Lands the copies that arrival `which` waits for, and arrives.
    pub fn complete_arrival(&mut self, which: usize) {
        let mut arrival = self.copies.lanes.arrivals.swap_remove(which);
        let (thread, line) = (arrival.thread, arrival.line);
        arrival.gathering.set(arrival.slot, arrival.epoch);
        let cta = self.cta_of(thread);
        let outcome = arrival
            .pieces
            .iter()
            .try_for_each(|piece| self.land_piece(thread, piece))
            .and_then(|()| self.mbarrier_arrive_for(cta, arrival.barrier, &arrival.gathering));
        if let Err(fault) = outcome {
            self.record(fault, thread, Some(line));
        }
    }

    fn land_piece(&mut self, thread: ThreadId, piece: &Piece) -> Outcome<()> {
        let mut data = [0; 16];
        let (address, count) = piece.source;
        if count > 0 {
            self.view(thread).read(address, &mut data[..count as usize])?;
        }
        let bytes = piece.bytes;
        let place = self.ctas[piece.cta].shared.data_mut(piece.offset, bytes);
        place.copy_from_slice(&data[..bytes as usize]);
        Ok(())
    }

    /// A thread ends: its copies must have been waited for.
    pub fn lanes_at_exit(&mut self, thread: ThreadId) -> Outcome<()> {
        match self.copies.lanes.threads.get(&thread) {
            Some(groups) if !groups.open.is_empty() || !groups.flying.is_empty() => {
                let detail = "the thread ends with cp.async copies that it has not waited for";
                Err(Fault::new(Kind::NeverWaited, detail))
            }
            _ => Ok(()),
        }
    }
}
