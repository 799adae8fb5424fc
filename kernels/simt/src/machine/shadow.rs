//! The history of memory: for each 4-byte word, who wrote it last and who has read it since.
//!
//! A new access must come after those it conflicts with, which the clocks decide. Two readers are kept in
//! place, which is enough for nearly all words (a reader replaces those that it comes after); more go to a
//! side table until the next write.

use std::collections::HashMap;
use std::ops::Range;
use std::panic::Location;

use super::clock::{Clocks, Slot, ThreadId};
use super::names::Names;
use crate::report::{Fault, Kind, Outcome};

const SLOT: u32 = (1 << 20) - 1;
const WARPS: u32 = 20;
const BYTES: u32 = 24;
const ATOMIC: u32 = 1 << 28;
const ASYNC: u32 = 1 << 29;
const COPY: u32 = 1 << 30;

/// Who touched a word and when: a slot with its epoch, packed.
///
/// | bits | field |
/// |---|---|
/// | 0–19 | slot |
/// | 20–23 | of four slots from there on, those that took part; 0 is the one slot alone |
/// | 24–27 | bytes of the word |
/// | 28, 29, 30 | atomic, through the async proxy, by `cp.async` |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Access {
    code: u32,
    epoch: u32,
}

impl Access {
    /// A plain access of a thread.
    pub fn generic(slot: Slot, epoch: u32) -> Self {
        Self { code: slot, epoch }
    }

    /// An atomic access of a thread.
    pub fn atomic(slot: Slot, epoch: u32) -> Self {
        Self::generic(slot, epoch).as_atomic()
    }

    /// An access of an engine through the async proxy.
    pub fn asynchronous(slot: Slot, epoch: u32) -> Self {
        Self { code: slot | ASYNC, epoch }
    }

    /// The same access, atomic.
    pub fn as_atomic(self) -> Self {
        Self { code: self.code | ATOMIC, ..self }
    }

    /// An access of an engine that uses the generic proxy: `cp.async`.
    pub fn background(slot: Slot, epoch: u32) -> Self {
        Self { code: slot | COPY, epoch }
    }

    /// An access of the tensor cores of some of four warps, whose slots begin at `slot`.
    pub fn tensor_cores(slot: Slot, warps: u32, epoch: u32) -> Self {
        Self { code: slot | warps << WARPS | ASYNC, epoch }
    }

    fn of_bytes(self, mask: u32) -> Self {
        Self { code: self.code & !(0xf << BYTES) | mask << BYTES, ..self }
    }

    fn slot(self) -> Slot {
        self.code & SLOT
    }

    fn warps(self) -> u32 {
        self.code >> WARPS & 0xf
    }

    fn bytes(self) -> u32 {
        self.code >> BYTES & 0xf
    }

    fn is(self, flag: u32) -> bool {
        self.code & flag != 0
    }

    /// Whether two accesses are by the same party, whenever.
    fn same_party(self, other: Self) -> bool {
        (self.code ^ other.code) & !(0xf << BYTES) == 0
    }

    fn known_to(self, clocks: &Clocks, thread: ThreadId) -> bool {
        let (slot, warps) = (self.slot(), self.warps());
        if warps == 0 {
            return clocks.knows(thread, slot, self.epoch);
        }
        (0..4).all(|w| warps >> w & 1 == 0 || clocks.knows(thread, slot + w, self.epoch))
    }
}

/// Source lines of the writes, each stored once.
#[derive(Default)]
pub struct Sites {
    lines: Vec<&'static Location<'static>>,
    index: HashMap<usize, u16>,
    /// The latest answer: one instruction asks for its line many times.
    latest: (usize, u16),
}

impl Sites {
    pub fn intern(&mut self, location: &'static Location<'static>) -> u16 {
        let key = std::ptr::from_ref(location) as usize;
        if self.latest.0 != key {
            let site = *self.index.entry(key).or_insert_with(|| {
                self.lines.push(location);
                (self.lines.len() - 1).min(u16::MAX.into()) as u16
            });
            self.latest = (key, site);
        }
        self.latest.1
    }

    fn describe(&self, site: u16) -> String {
        let line = self.lines.get(usize::from(site));
        line.map_or_else(String::new, |line| format!(" at {}:{}", line.file(), line.line()))
    }
}

/// An access about to happen.
pub struct Actor<'a> {
    pub access: Access,
    /// Threads that must know of what came before: the one that executes, or one of each warp.
    pub issuers: &'a [ThreadId],
    pub site: u16,
    /// What to call it in a report.
    pub what: &'a str,
}

#[derive(Clone, Copy, Default)]
struct Cell {
    /// Epoch 0 where nobody has written.
    write: Access,
    reads: [Access; 2],
    /// Lines of the write and of the reads.
    site: u16,
    read_sites: [u16; 2],
    /// Bytes that have been written.
    written: u8,
    crowded: bool,
}

/// The history of one CTA's shared memory, or of a page of global memory.
pub struct Shadow {
    cells: Vec<Cell>,
    crowds: HashMap<u32, Vec<(Access, u16)>>,
}

/// What a check needs beside the history.
pub struct Witness<'a> {
    pub clocks: &'a Clocks,
    pub sites: &'a Sites,
    /// Which memory it is the history of.
    pub space: &'static str,
    /// Address of its first byte, for reports.
    pub base: u64,
    pub names: Names,
}

impl Shadow {
    pub fn new(bytes: u32) -> Self {
        Self { cells: vec![Cell::default(); bytes.div_ceil(4) as usize], crowds: HashMap::new() }
    }

    /// The history of memory that the host has written.
    pub fn written(bytes: u32) -> Self {
        let cell = Cell { written: 0xf, ..Cell::default() };
        Self { cells: vec![cell; bytes.div_ceil(4) as usize], crowds: HashMap::new() }
    }

    /// A read of `bytes`, offsets from the start of the memory.
    pub fn read(&mut self, by: &Actor, at: &Witness, bytes: Range<u32>) -> Outcome<()> {
        let mut ordered = Access::default();
        for (index, mask) in words(bytes) {
            let cell = &mut self.cells[index as usize];
            if u32::from(cell.written) & mask != mask {
                return Err(uninitialised(by, at, index));
            }
            if cell.write != ordered {
                if cell.write.bytes() & mask != 0 {
                    check_after_write(by, at, cell, index)?;
                }
                ordered = cell.write;
            }
            self.note_reader(by, at.clocks, index, mask);
        }
        Ok(())
    }

    /// A write of `bytes`, offsets from the start of the memory.
    pub fn write(&mut self, by: &Actor, at: &Witness, bytes: Range<u32>) -> Outcome<()> {
        let mut ordered = [Access::default(); 3];
        for (index, mask) in words(bytes) {
            let cell = &mut self.cells[index as usize];
            if cell.write != ordered[2] && cell.write.bytes() & mask != 0 {
                check_after_write(by, at, cell, index)?;
                ordered[2] = cell.write;
            }
            for ((&access, &site), seen) in
                cell.reads.iter().zip(&cell.read_sites).zip(&mut ordered)
            {
                if access != *seen && access.bytes() & mask != 0 {
                    check_order(by, at, index, Earlier { access, site, done: "read" })?;
                    *seen = access;
                }
            }
            if cell.crowded {
                for (access, site) in self.crowds.remove(&index).into_iter().flatten() {
                    if access.bytes() & mask != 0 {
                        check_order(by, at, index, Earlier { access, site, done: "read" })?;
                    }
                }
            }
            *cell = Cell {
                write: by.access.of_bytes(mask),
                reads: Default::default(),
                site: by.site,
                read_sites: Default::default(),
                written: cell.written | mask as u8,
                crowded: false,
            };
        }
        Ok(())
    }

    fn note_reader(&mut self, by: &Actor, clocks: &Clocks, index: u32, mask: u32) {
        let read = by.access.of_bytes(mask);
        let cell = &mut self.cells[index as usize];
        for (slot, site) in cell.reads.iter_mut().zip(&mut cell.read_sites) {
            if slot.epoch == 0 || slot.same_party(read) {
                *slot = read.of_bytes(mask | slot.bytes());
                *site = by.site;
                return;
            }
            let known = by.issuers.iter().all(|&thread| slot.known_to(clocks, thread));
            if slot.bytes() & !mask == 0 && known {
                *slot = read;
                *site = by.site;
                return;
            }
        }
        cell.crowded = true;
        let crowd = self.crowds.entry(index).or_default();
        match crowd.iter_mut().find(|(other, _)| other.same_party(read)) {
            Some((other, site)) => {
                *other = read.of_bytes(mask | other.bytes());
                *site = by.site;
            }
            None => crowd.push((read, by.site)),
        }
    }
}

/// An access that the history holds.
#[derive(Clone, Copy)]
struct Earlier {
    access: Access,
    site: u16,
    /// "read" or "written".
    done: &'static str,
}

/// The words that `bytes` touches, each with a mask of its bytes.
fn words(bytes: Range<u32>) -> impl Iterator<Item = (u32, u32)> {
    (bytes.start / 4..bytes.end.div_ceil(4)).map(move |word| {
        let low = bytes.start.saturating_sub(word * 4);
        let high = (bytes.end - word * 4).min(4);
        (word, (1 << high) - (1 << low))
    })
}

#[cold]
fn uninitialised(by: &Actor, at: &Witness, index: u32) -> Fault {
    let address = at.base + 4 * u64::from(index);
    let what = by.what;
    Fault::new(
        Kind::Uninitialised,
        format!("{what} reads {} memory at {address:#x}, which nothing has written", at.space),
    )
}

#[inline]
fn check_order(by: &Actor, at: &Witness, index: u32, earlier: Earlier) -> Outcome<()> {
    let both_atomic = by.access.is(ATOMIC) && earlier.access.is(ATOMIC);
    let known = |&thread: &ThreadId| earlier.access.known_to(at.clocks, thread);
    if both_atomic || by.issuers.iter().all(known) {
        return Ok(());
    }
    Err(conflict(by, at, index, earlier))
}

#[cold]
fn conflict(by: &Actor, at: &Witness, index: u32, earlier: Earlier) -> Fault {
    let address = at.base + 4 * u64::from(index);
    let Earlier { access, site, done } = earlier;
    let place = at.sites.describe(site);
    let (kind, party) = if access.slot() as usize >= at.names.threads() {
        let party = match (access.warps(), done) {
            (0, "written") => "an asynchronous copy",
            (0, _) => "an asynchronous store",
            _ => "wgmma",
        };
        (Kind::InFlight, format!("{party}, which nobody here has waited for"))
    } else {
        let atomic = if access.is(ATOMIC) { "an atomic of " } else { "" };
        let thread = at.names.thread(access.slot() as usize);
        (Kind::Race, format!("{atomic}{thread}, unordered"))
    };
    let what = by.what;
    let space = at.space;
    let detail = format!("{what} touches {space} memory at {address:#x}, {done}{place} by {party}");
    Fault::new(kind, detail)
}

/// An access must come after the last write of the cell, and see it through its proxy.
fn check_after_write(by: &Actor, at: &Witness, cell: &Cell, index: u32) -> Outcome<()> {
    let earlier = Earlier { access: cell.write, site: cell.site, done: "written" };
    check_order(by, at, index, earlier)?;
    check_proxy(by, at, cell, index)
}

#[inline]
fn check_proxy(by: &Actor, at: &Witness, cell: &Cell, index: u32) -> Outcome<()> {
    let write = cell.write;
    let writer = write.slot() as usize;
    if !by.access.is(ASYNC) || write.is(ASYNC) || write.epoch == 0 {
        return Ok(());
    }
    let fenced = |&thread: &ThreadId| {
        if write.is(COPY) {
            at.clocks.copies_fenced(thread, write.slot(), write.epoch)
        } else {
            writer >= at.names.threads() || at.clocks.fenced(thread, writer, write.epoch)
        }
    };
    if by.issuers.iter().all(fenced) { Ok(()) } else { Err(unfenced(by, at, cell, index)) }
}

#[cold]
fn unfenced(by: &Actor, at: &Witness, cell: &Cell, index: u32) -> Fault {
    let address = at.base + 4 * u64::from(index);
    let (what, space) = (by.what, at.space);
    let site = at.sites.describe(cell.site);
    let story = if cell.write.is(COPY) {
        format!("cp.async wrote it{site} and nobody who waited executed a fence.proxy.async")
    } else {
        let writer = at.names.thread(cell.write.slot() as usize);
        format!("{writer} wrote it{site} and executed no fence.proxy.async before the barrier")
    };
    let detail =
        format!("{what} touches {space} memory at {address:#x} through the async proxy; {story}");
    Fault::new(Kind::ProxyFence, detail)
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn bytes_fall_into_words() {
        assert_eq!(words(4..12).collect::<Vec<_>>(), [(1, 0xf), (2, 0xf)]);
        assert_eq!(words(6..8).collect::<Vec<_>>(), [(1, 0b1100)]);
        assert_eq!(words(1..2).collect::<Vec<_>>(), [(0, 0b10)]);
        assert_eq!(words(2..9).collect::<Vec<_>>(), [(0, 0b1100), (1, 0xf), (2, 1)]);
    }
}
