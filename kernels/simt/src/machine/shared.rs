//! Shared memory of a CTA, and every way into it.

use std::collections::BTreeMap;

use super::clock::ThreadId;
use super::mbarrier::Mbarrier;
use super::shadow::{Access, Actor, Shadow, Witness};
use super::{Gang, Line};
use crate::report::{Fault, Kind, Outcome};

/// Address of the first byte of dynamic shared memory. Not 0: the hardware keeps the first KB of a CTA's
/// window to itself, and a kernel that assumes 0 must be found out.
pub const BASE: u32 = 1024;

/// In the addresses of the cluster's shared memory, the bits from here on are the rank of the CTA, plus one.
const RANK: u32 = 24;

/// The shared memory of a CTA.
pub struct Shared {
    bytes: Box<[u8]>,
    pub shadow: Shadow,
    pub mbarriers: BTreeMap<u32, Mbarrier>,
}

impl Shared {
    pub fn new(bytes: u32) -> Self {
        Self {
            bytes: vec![0; bytes as usize].into_boxed_slice(),
            shadow: Shadow::new(bytes),
            mbarriers: BTreeMap::new(),
        }
    }

    pub fn len(&self) -> u32 {
        self.bytes.len() as u32
    }

    /// Checks an address of `bytes` bytes; returns the offset from the start of shared memory.
    pub fn check(&self, address: u32, bytes: u32, align: u32) -> Outcome<u32> {
        let offset = address.wrapping_sub(BASE);
        if address < BASE || self.len().checked_sub(offset).is_none_or(|left| left < bytes) {
            let end = BASE + self.len();
            let detail = format!(
                "{bytes} bytes of shared memory at {address:#x}, which spans {BASE:#x}–{end:#x}"
            );
            return Err(Fault::new(Kind::OutOfBounds, detail));
        }
        if !address.is_multiple_of(align) {
            let detail = format!("shared memory at {address:#x}, not a multiple of {align}");
            return Err(Fault::new(Kind::Misaligned, detail));
        }
        Ok(offset)
    }

    pub fn data(&self, offset: u32, bytes: u32) -> &[u8] {
        &self.bytes[offset as usize..][..bytes as usize]
    }

    pub fn data_mut(&mut self, offset: u32, bytes: u32) -> &mut [u8] {
        &mut self.bytes[offset as usize..][..bytes as usize]
    }

    /// Refuses to touch an mbarrier with anything but mbarrier instructions.
    fn check_no_mbarrier(&self, address: u32, bytes: u32) -> Outcome<()> {
        let below = self.mbarriers.range(..address + bytes).next_back();
        match below {
            Some((&barrier, _)) if barrier + 8 > address => {
                let detail = format!("plain access to the mbarrier at {barrier:#x}");
                Err(Fault::new(Kind::Mbarrier, detail))
            }
            _ => Ok(()),
        }
    }
}

/// The two sides of an access.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Read,
    Write,
}

/// Who accesses memory, and how.
pub struct Visit<'a> {
    pub access: Access,
    pub issuers: &'a [ThreadId],
    pub what: &'a str,
    pub line: Line,
}

impl Gang {
    /// CTA and plain address that an address of the cluster's shared memory stands for.
    pub fn resolve(&self, thread: ThreadId, address: u32) -> Outcome<(usize, u32)> {
        let rank = (address >> RANK) as usize;
        if rank == 0 {
            return Ok((self.cta_of(thread), address));
        }
        let (rank, size) = (rank - 1, self.launch.cluster_size());
        if rank >= size {
            let detail = format!("{address:#x} in the shared memory of CTA {rank} of the cluster");
            return Err(Fault::new(Kind::OutOfBounds, detail));
        }
        let cta = self.cluster_of(self.cta_of(thread)) * size + rank;
        if self.ctas[cta].alive == 0 {
            let detail = format!("{address:#x} in CTA {rank} of the cluster, which has ended");
            return Err(Fault::new(Kind::ExitedCta, detail));
        }
        Ok((cta, address & ((1 << RANK) - 1)))
    }

    /// `mapa`: the address by which the cluster knows `address` of CTA `rank`.
    pub fn map_address(&self, address: u32, rank: u32) -> Outcome<u32> {
        let size = self.launch.cluster_size();
        if rank as usize >= size {
            let detail = format!("mapa to CTA {rank} of a cluster of {size}");
            return Err(Fault::new(Kind::Operand, detail));
        }
        Ok(address & ((1 << RANK) - 1) | (rank + 1) << RANK)
    }

    /// Checks an access to the shared memory of a CTA against its history and adds it; `offset` is from the
    /// start.
    pub fn visit(
        &mut self,
        visit: &Visit,
        cta: usize,
        direction: Direction,
        offset: u32,
        bytes: u32,
    ) -> Outcome<()> {
        let names = self.names();
        let Self { ctas, clocks, sites, .. } = self;
        let site = sites.intern(visit.line);
        let by = Actor { access: visit.access, issuers: visit.issuers, site, what: visit.what };
        let at = Witness { clocks, sites, space: "shared", base: BASE.into(), names };
        let shadow = &mut ctas[cta].shared.shadow;
        match direction {
            Direction::Read => shadow.read(&by, &at, offset..offset + bytes),
            Direction::Write => shadow.write(&by, &at, offset..offset + bytes),
        }
    }

    /// A plain access of a thread: checked, and noted. Returns CTA and offset.
    pub fn touch(
        &mut self,
        thread: ThreadId,
        address: u32,
        bytes: u32,
        direction: Direction,
        line: Line,
    ) -> Outcome<(usize, u32)> {
        self.touch_as(thread, address, bytes, direction, line, bytes.min(16))
    }

    /// As [`touch`](Self::touch), with an alignment of its own.
    pub fn touch_as(
        &mut self,
        thread: ThreadId,
        address: u32,
        bytes: u32,
        direction: Direction,
        line: Line,
        align: u32,
    ) -> Outcome<(usize, u32)> {
        let (cta, address) = self.resolve(thread, address)?;
        let offset = self.ctas[cta].shared.check(address, bytes, align)?;
        self.ctas[cta].shared.check_no_mbarrier(address, bytes)?;
        let what = if direction == Direction::Read { "a load" } else { "a store" };
        let access = Access::generic(thread as u32, self.clocks.epoch(thread));
        let visit = Visit { access, issuers: &[thread], what, line };
        self.visit(&visit, cta, direction, offset, bytes)?;
        Ok((cta, offset))
    }

    /// `ld.shared`.
    pub fn load<const N: usize>(
        &mut self,
        thread: ThreadId,
        address: u32,
        line: Line,
    ) -> Outcome<[u8; N]> {
        let (cta, offset) = self.touch(thread, address, N as u32, Direction::Read, line)?;
        let mut value = [0; N];
        value.copy_from_slice(self.ctas[cta].shared.data(offset, N as u32));
        Ok(value)
    }

    /// `st.shared`.
    pub fn store<const N: usize>(
        &mut self,
        thread: ThreadId,
        address: u32,
        value: [u8; N],
        line: Line,
    ) -> Outcome<()> {
        let (cta, offset) = self.touch(thread, address, N as u32, Direction::Write, line)?;
        self.ctas[cta].shared.data_mut(offset, N as u32).copy_from_slice(&value);
        Ok(())
    }

    /// `atom.shared`: replaces a word by `change` of it; returns the old one.
    pub fn update_shared(
        &mut self,
        thread: ThreadId,
        address: u32,
        line: Line,
        change: impl FnOnce(u32) -> u32,
    ) -> Outcome<u32> {
        let (cta, address) = self.resolve(thread, address)?;
        let offset = self.ctas[cta].shared.check(address, 4, 4)?;
        self.ctas[cta].shared.check_no_mbarrier(address, 4)?;
        let access = Access::atomic(thread as u32, self.clocks.epoch(thread));
        let visit = Visit { access, issuers: &[thread], what: "an atomic", line };
        self.visit(&visit, cta, Direction::Read, offset, 4)?;
        self.visit(&visit, cta, Direction::Write, offset, 4)?;
        let word = self.ctas[cta].shared.data_mut(offset, 4);
        let old = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        word.copy_from_slice(&change(old).to_le_bytes());
        Ok(old)
    }
}
