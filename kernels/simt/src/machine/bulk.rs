//! Bulk copies out of shared memory, in groups of the thread that issues them.

use std::collections::HashMap;

use super::clock::{Slot, ThreadId};
use super::image::Image;
use super::shadow::Access;
use super::shared::{BASE, Direction, Visit};
use super::{Gang, Line};
use crate::memory::{Global, View};
use crate::report::{Fault, Kind, Outcome};

/// Where a store goes.
#[derive(Clone, Debug)]
pub enum Target {
    /// The box of a tensor map: its address, coordinates.
    Tensor(u64, Vec<i32>),
    /// Consecutive bytes of global memory.
    Global(u64),
    /// The same, each f32 added to what is there.
    GlobalAdd(u64),
}

struct Store {
    target: Target,
    cta: usize,
    offset: u32,
    bytes: u32,
}

/// What a store will write to global memory once it is waited for.
type Writes = Vec<(u64, Vec<u8>, bool)>;

/// The stores of one thread.
#[derive(Default)]
struct Groups {
    /// Slot of the reads of shared memory; the next one is that of the writes to global memory.
    slot: Slot,
    /// Groups committed so far.
    committed: u32,
    /// Groups whose sources have been read.
    read: u32,
    open: Vec<Store>,
    /// Committed, not yet read.
    flying: Vec<(u32, Vec<Store>)>,
    /// Read, not yet written.
    captured: Vec<(u32, Writes)>,
}

/// The bulk stores of a gang, by thread.
#[derive(Default)]
pub struct Stores {
    threads: HashMap<ThreadId, Groups>,
}

impl Gang {
    /// Issues a store of `bytes` bytes from shared memory.
    pub fn copy_out(
        &mut self,
        thread: ThreadId,
        target: Target,
        address: u32,
        bytes: u32,
        line: Line,
    ) -> Outcome<()> {
        let align = if matches!(target, Target::Tensor(..)) { 128 } else { 16 };
        if bytes == 0 || !bytes.is_multiple_of(16) {
            let detail = format!("a bulk copy of {bytes} bytes");
            return Err(Fault::new(Kind::Operand, detail));
        }
        let cta = self.cta_of(thread);
        let offset = self.ctas[cta].shared.check(address, bytes, align)?;
        let clocks = &mut self.clocks;
        let groups = self
            .copies
            .stores
            .threads
            .entry(thread)
            .or_insert_with(|| Groups { slot: clocks.allocate(2), ..Groups::default() });
        groups.open.push(Store { target: target.clone(), cta, offset, bytes });
        let (slot, epoch) = (groups.slot, groups.committed + 1);
        let access = Access::asynchronous(slot, epoch);
        let visit = Visit { access, issuers: &[thread], what: "a bulk store", line };
        self.visit(&visit, cta, Direction::Read, offset, bytes)?;
        let access = Access::asynchronous(slot + 1, epoch);
        self.visit_target(&Visit { access, ..visit }, &target, bytes)
    }

    /// Notes what a store writes to global memory.
    fn visit_target(&mut self, visit: &Visit, target: &Target, bytes: u32) -> Outcome<()> {
        match target {
            Target::Global(address) => {
                self.visit_global(visit, Direction::Write, *address, bytes.into())
            }
            Target::GlobalAdd(address) => {
                let visit = Visit { access: visit.access.as_atomic(), ..*visit };
                self.visit_global(&visit, Direction::Write, *address, bytes.into())
            }
            Target::Tensor(map, coordinates) => {
                self.visit_box(visit, Direction::Write, *map, coordinates)
            }
        }
    }

    /// `cp.async.bulk.commit_group`.
    pub fn bulk_commit(&mut self, thread: ThreadId) {
        if let Some(groups) = self.copies.stores.threads.get_mut(&thread) {
            groups.committed += 1;
            let open = std::mem::take(&mut groups.open);
            groups.flying.push((groups.committed, open));
        }
    }

    /// `cp.async.bulk.wait_group`: at most `pending` groups stay under way; with `read`, their sources alone.
    pub fn bulk_wait(&mut self, thread: ThreadId, pending: u32, read: bool) -> Outcome<()> {
        let (launch, early) = (self.number, self.early(thread));
        let Self { copies, ctas, memory, clocks, .. } = self;
        let view = View { global: memory, launch, early };
        let Some(groups) = copies.stores.threads.get_mut(&thread) else { return Ok(()) };
        let done = groups.committed.saturating_sub(pending);
        for (number, stores) in groups.flying.extract_if(.., |(number, _)| *number <= done) {
            let mut writes = Writes::new();
            for store in stores {
                capture(&store, &ctas[store.cta].shared, memory, &mut writes)?;
            }
            groups.captured.push((number, writes));
        }
        groups.read = groups.read.max(done);
        clocks.learn(thread, groups.slot, groups.read);
        if !read {
            clocks.learn(thread, groups.slot + 1, done);
            for (_, writes) in groups.captured.extract_if(.., |(number, _)| *number <= done) {
                perform(writes, view)?;
            }
        }
        Ok(())
    }

    /// A thread ends: its stores must have been read, and are written now.
    pub fn stores_at_exit(&mut self, thread: ThreadId) -> Outcome<()> {
        let (launch, early) = (self.number, self.early(thread));
        let view = View { global: &self.memory, launch, early };
        let Some(groups) = self.copies.stores.threads.get_mut(&thread) else { return Ok(()) };
        if !groups.open.is_empty() || !groups.flying.is_empty() {
            let detail = "the thread ends while its bulk stores may still read shared memory";
            return Err(Fault::new(Kind::NeverWaited, detail));
        }
        groups.captured.drain(..).try_for_each(|(_, writes)| perform(writes, view))
    }
}

fn capture(
    store: &Store,
    shared: &super::shared::Shared,
    memory: &Global,
    writes: &mut Writes,
) -> Outcome<()> {
    match &store.target {
        Target::Global(address) | Target::GlobalAdd(address) => {
            let add = matches!(store.target, Target::GlobalAdd(_));
            let data = shared.data(store.offset, store.bytes).to_vec();
            writes.push((*address, data, add));
            Ok(())
        }
        Target::Tensor(map, coordinates) => {
            let map = memory.map(*map)?;
            let take = |offset: u32, chunk: &mut [u8]| {
                let place = map.swizzle.apply(store.offset + BASE + offset) - BASE;
                chunk.copy_from_slice(shared.data(place, chunk.len() as u32));
            };
            Image::new(map, coordinates)?.store(take, |address, bytes| {
                writes.push((address, bytes.to_vec(), false));
                Ok(())
            })
        }
    }
}

fn perform(writes: Writes, memory: View) -> Outcome<()> {
    for (address, data, add) in writes {
        if !add {
            memory.write(address, &data)?;
            continue;
        }
        for (i, word) in data.chunks_exact(4).enumerate() {
            let value = f32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            memory.update_u32(address + 4 * i as u64, |old| {
                (f32::from_bits(old) + value).to_bits()
            })?;
        }
    }
    Ok(())
}
