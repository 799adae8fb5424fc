//! Asynchronous copies into shared memory that complete on an mbarrier.

use super::bulk::Stores;
use super::clock::ThreadId;
use super::cp_async::Lanes;
use super::image::Image;
use super::mbarrier::Party;
use super::shadow::Access;
use super::shared::{Direction, Visit};
use super::{Gang, Line};
use crate::memory::View;
use crate::report::{Fault, Kind, Outcome};
use crate::trace::Event;

/// What a copy reads.
#[derive(Clone, Debug)]
pub enum Source {
    /// The box of a tensor map: its address, coordinates.
    Tensor(u64, Vec<i32>),
    /// Consecutive bytes of global memory.
    Global(u64),
    /// Consecutive bytes of a CTA's shared memory: CTA, offset.
    Shared(usize, u32),
    /// Bytes given by the instruction.
    Immediate(Vec<u8>),
}

/// Where a copy goes: CTA, address, and the mbarrier that counts its bytes, with the phase it was issued in.
#[derive(Clone, Copy, Debug)]
struct Destination {
    cta: usize,
    address: u32,
    barrier: u32,
    epoch: u32,
}

/// A copy under way.
struct Copy {
    source: Source,
    bytes: u32,
    destinations: Vec<Destination>,
    thread: ThreadId,
    line: Line,
    end: u64,
}

/// Copies of a gang.
#[derive(Default)]
pub struct Copies {
    flying: Vec<Copy>,
    pub stores: Stores,
    pub lanes: Lanes,
}

impl Copies {
    /// Whether anything completes in the background.
    pub fn pending(&self) -> bool {
        !self.flying.is_empty() || self.lanes.arrivals_pending()
    }
}

impl Gang {
    /// Issues a copy of `bytes` bytes to `address` in each of `ctas`, counted on `barrier` there.
    #[allow(clippy::too_many_arguments)]
    pub fn copy_in(
        &mut self,
        thread: ThreadId,
        source: Source,
        bytes: u32,
        ctas: &[usize],
        address: u32,
        barrier: u32,
        line: Line,
    ) -> Outcome<()> {
        let align = if matches!(source, Source::Tensor(..)) { 128 } else { 16 };
        let align = if matches!(source, Source::Immediate(_)) { bytes } else { align };
        if bytes == 0 || !bytes.is_multiple_of(align.min(16)) {
            let detail = format!("a bulk copy of {bytes} bytes");
            return Err(Fault::new(Kind::Operand, detail));
        }
        let mut destinations = Vec::new();
        for &cta in ctas {
            let offset = self.ctas[cta].shared.check(address, bytes, align)?;
            let found = self.mbarrier(cta, barrier, Party::Copy(thread))?;
            let (slot, epoch) = (found.slot, found.epoch());
            let access = Access::asynchronous(slot, epoch);
            let what = "an asynchronous copy";
            let visit = Visit { access, issuers: &[thread], what, line };
            self.visit(&visit, cta, Direction::Write, offset, bytes)?;
            self.visit_source(&visit, &source, bytes)?;
            destinations.push(Destination { cta, address, barrier, epoch });
        }
        let cta = self.cta_of(thread);
        let issue = self.clocks.time(thread);
        let (begin, end) = self.recorder.occupy_copy_engine(cta, issue, bytes);
        self.recorder.span(Event::Copy, cta, self.index_in_cta(thread), begin, end, bytes);
        let copy = Copy { source, bytes, destinations, thread, line, end };
        self.copies.flying.push(copy);
        Ok(())
    }

    /// Notes what a copy reads of global memory.
    fn visit_source(&mut self, visit: &Visit, source: &Source, bytes: u32) -> Outcome<()> {
        match source {
            Source::Global(address) => {
                self.visit_global(visit, Direction::Read, *address, bytes.into())
            }
            Source::Tensor(map, coordinates) => {
                self.visit_box(visit, Direction::Read, *map, coordinates)
            }
            Source::Shared(..) | Source::Immediate(_) => Ok(()),
        }
    }

    /// Completes one of the copies under way, drawn at random; false if there is none.
    pub fn complete_one_copy(&mut self) -> bool {
        let (flying, arrivals) = (self.copies.flying.len(), self.copies.lanes.arrivals());
        if flying + arrivals == 0 {
            return false;
        }
        let which = self.ready.draw(flying + arrivals);
        if which >= flying {
            self.complete_arrival(which - flying);
            return true;
        }
        let copy = self.copies.flying.swap_remove(which);
        if let Err(fault) = self.land(&copy) {
            self.record(fault, copy.thread, Some(copy.line));
        }
        true
    }

    fn land(&mut self, copy: &Copy) -> Outcome<()> {
        for to in &copy.destinations {
            let (launch, early) = (self.number, self.early(copy.thread));
            let Self { memory, ctas, .. } = &mut *self;
            let view = View { global: memory, launch, early };
            match &copy.source {
                Source::Tensor(map, coordinates) => {
                    let map = memory.map(*map)?;
                    let shared = &mut ctas[to.cta].shared;
                    Image::new(map, coordinates)?.load(view, |offset, chunk| {
                        let place = map.swizzle.apply(to.address + offset) - super::shared::BASE;
                        shared.data_mut(place, chunk.len() as u32).copy_from_slice(chunk);
                    })?;
                }
                Source::Global(address) => {
                    let offset = to.address - super::shared::BASE;
                    view.read(*address, ctas[to.cta].shared.data_mut(offset, copy.bytes))?;
                }
                Source::Shared(cta, from) => {
                    let data = ctas[*cta].shared.data(*from, copy.bytes).to_vec();
                    let offset = to.address - super::shared::BASE;
                    ctas[to.cta].shared.data_mut(offset, copy.bytes).copy_from_slice(&data);
                }
                Source::Immediate(data) => {
                    let offset = to.address - super::shared::BASE;
                    ctas[to.cta].shared.data_mut(offset, copy.bytes).copy_from_slice(data);
                }
            }
            self.mbarrier_complete(to.cta, to.barrier, copy.bytes, to.epoch, copy.end)?;
        }
        Ok(())
    }

    /// A thread ends: what it started must have been waited for.
    pub fn copies_left_at_exit(&mut self, thread: ThreadId) -> Outcome<()> {
        self.stores_at_exit(thread)?;
        self.lanes_at_exit(thread)?;
        let cta = self.cta_of(thread);
        let last = self.ctas[cta].alive == 0;
        let into = |copy: &&Copy| copy.destinations.iter().any(|to| to.cta == cta);
        match self.copies.flying.iter().find(into) {
            Some(copy) if last => {
                let place = format!("{}:{}", copy.line.file(), copy.line.line());
                let bytes = copy.bytes;
                let detail = format!(
                    "the CTA ends while {bytes} bytes issued at {place} are on their way into it"
                );
                Err(Fault::new(Kind::NeverWaited, detail))
            }
            _ => Ok(()),
        }
    }
}
