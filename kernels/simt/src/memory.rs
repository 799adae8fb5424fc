//! Global memory: host slices that the launcher registers, and nothing else.
//!
//! A device address is the host address of the same byte. The machine checks every access against the
//! registered ranges, and reads and writes with relaxed atomics, since clusters run on several CPU threads.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::report::{Fault, Kind, Outcome};
use crate::tensor_map::{InvalidTensorMap, TensorMap};

/// What a kernel may reach in global memory. Borrows the slices until it is dropped.
#[derive(Debug, Default)]
pub struct Memory<'a> {
    global: Arc<Global>,
    slices: PhantomData<&'a mut ()>,
}

/// Plain data without padding, as it can lie in global memory.
///
/// # Safety
/// Every bit pattern is a value, and there are no padding bytes.
pub unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($ty:ty),*) => {
        // SAFETY: numbers: no padding, every bit pattern is one.
        $(unsafe impl Plain for $ty {})*
    };
}
plain!(u8, i8, u16, i16, u32, i32, u64, i64, u128, i128, f32, f64, half::bf16, half::f16);

impl<'a> Memory<'a> {
    /// Nothing registered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers data that kernels read. Returns its device address.
    pub fn read_only<T: Plain>(&mut self, data: &'a [T]) -> u64 {
        self.add(data.as_ptr() as usize, size_of_val(data), false, None)
    }

    /// Registers data that kernels read and write. Returns its device address.
    pub fn read_write<T: Plain>(&mut self, data: &'a mut [T]) -> u64 {
        self.add(data.as_mut_ptr() as usize, size_of_val(data), true, None)
    }

    /// Registers memory whose content counts as uninitialised: reading a byte before a kernel has written it
    /// is reported. Returns its device address.
    pub fn uninitialised<T: Plain>(&mut self, data: &'a mut [T]) -> u64 {
        let bytes = size_of_val(data);
        let written = (0..bytes.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        self.add(data.as_mut_ptr() as usize, bytes, true, Some(written))
    }

    /// Registers a tensor map. Returns the address that kernels know it by.
    ///
    /// # Errors
    /// What the driver would refuse.
    pub fn tensor_map(&mut self, map: TensorMap) -> Result<u64, InvalidTensorMap> {
        map.validate()?;
        let map = Box::new(map);
        let address = std::ptr::from_ref(&*map) as u64;
        self.registry().maps.push(map);
        Ok(address)
    }

    pub(crate) fn share(&self) -> Arc<Global> {
        self.global.clone()
    }

    fn add(
        &mut self,
        start: usize,
        bytes: usize,
        writable: bool,
        written: Option<Box<[AtomicU64]>>,
    ) -> u64 {
        let granules = if writable { bytes.div_ceil(GRANULE) } else { 0 };
        let writers = (0..granules).map(|_| AtomicU32::new(0)).collect();
        let region = Region { start, bytes, writable, written, writers };
        let regions = &mut self.registry().regions;
        let place = regions.partition_point(|other| other.start < start);
        regions.insert(place, region);
        start as u64
    }

    fn registry(&mut self) -> &mut Global {
        // A launch borrows `self` and returns its clones before it ends.
        Arc::get_mut(&mut self.global).expect("no launch is running")
    }
}

#[derive(Debug)]
struct Region {
    start: usize,
    bytes: usize,
    writable: bool,
    /// One bit per byte that a kernel has written, if the content counts as uninitialised.
    written: Option<Box<[AtomicU64]>>,
    /// Of each [`GRANULE`], the launch that wrote it last; 0 for none.
    writers: Box<[AtomicU32]>,
}

/// Bytes of global memory whose last writer is remembered together.
const GRANULE: usize = 16;

/// The registry behind [`Memory`].
#[derive(Debug, Default)]
pub(crate) struct Global {
    regions: Vec<Region>,
    // Boxed: the address is the handle.
    #[allow(clippy::vec_box)]
    maps: Vec<Box<TensorMap>>,
    writes: AtomicU64,
    launches: AtomicU32,
}

impl Global {
    pub fn map(&self, address: u64) -> Outcome<&TensorMap> {
        let found = self.maps.iter().find(|map| std::ptr::from_ref(&***map) as u64 == address);
        found.map(|map| &**map).ok_or_else(|| {
            Fault::new(Kind::TensorMap, format!("{address:#x} is the address of no tensor map"))
        })
    }

    /// Whether kernels may write at an address.
    pub fn is_writable(&self, address: u64) -> bool {
        self.region(address, 0).is_ok_and(|region| region.writable)
    }

    /// Writes so far: tells those who poll whether anything has changed.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Number of a launch that begins now, from 1.
    pub fn begin_launch(&self) -> u32 {
        self.launches.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn writable(&self, address: u64, bytes: usize) -> Outcome<&Region> {
        let region = self.region(address, bytes)?;
        if region.writable {
            self.writes.fetch_add(1, Ordering::Relaxed);
            Ok(region)
        } else {
            let detail = format!("{bytes} bytes at {address:#x}, registered as read-only");
            Err(Fault::new(Kind::ReadOnly, detail))
        }
    }

    fn region(&self, address: u64, bytes: usize) -> Outcome<&Region> {
        let start = address as usize;
        let place = self.regions.partition_point(|region| region.start <= start);
        self.regions[..place]
            .last()
            .filter(|region| {
                region.bytes.checked_sub(start - region.start).is_some_and(|left| bytes <= left)
            })
            .ok_or_else(|| self.outside(start, bytes))
    }

    #[cold]
    fn outside(&self, start: usize, bytes: usize) -> Fault {
        let nearest = self.regions.iter().min_by_key(|region| {
            region.start.abs_diff(start).min((region.start + region.bytes).abs_diff(start))
        });
        let nearest = nearest.map_or_else(
            || "nothing is registered".to_owned(),
            |region| {
                let offset = start.wrapping_sub(region.start) as isize;
                format!("byte {offset} of the nearest range, which has {}", region.bytes)
            },
        );
        Fault::new(
            Kind::OutOfBounds,
            format!("{bytes} bytes of global memory at {start:#x}: {nearest}"),
        )
    }
}

/// Global memory as a thread of a launch sees it.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub global: &'a Global,
    /// Number of the launch.
    pub launch: u32,
    /// The launch before may still run, as far as the thread knows.
    pub early: bool,
}

impl View<'_> {
    /// Copies from global memory.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Outcome<()> {
        let region = self.global.region(address, into.len())?;
        self.check_early(region, address, into.len())?;
        region.check_written(address, into.len())?;
        load(address as usize, into);
        Ok(())
    }

    /// Copies to global memory.
    pub fn write(&self, address: u64, from: &[u8]) -> Outcome<()> {
        let region = self.change(address, from.len())?;
        store(address as usize, from);
        region.mark_written(address, from.len());
        Ok(())
    }

    /// Replaces the word at `address` by `change` of it, atomically; returns the old one.
    pub fn update_u32(&self, address: u64, change: impl Fn(u32) -> u32) -> Outcome<u32> {
        self.change(address, 4)?.check_written(address, 4)?;
        // SAFETY: an aligned word of a registered range.
        let word = unsafe { AtomicU32::from_ptr(address as *mut u32) };
        Ok(word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| Some(change(old)))
            .unwrap_or_else(|old| old))
    }

    /// As [`update_u32`](Self::update_u32), for 8 bytes.
    pub fn update_u64(&self, address: u64, change: impl Fn(u64) -> u64) -> Outcome<u64> {
        self.change(address, 8)?.check_written(address, 8)?;
        // SAFETY: an aligned word of a registered range.
        let word = unsafe { AtomicU64::from_ptr(address as *mut u64) };
        Ok(word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| Some(change(old)))
            .unwrap_or_else(|old| old))
    }

    /// The range of a write, which is noted as this launch's.
    fn change(&self, address: u64, bytes: usize) -> Outcome<&Region> {
        let region = self.global.writable(address, bytes)?;
        self.check_early(region, address, bytes)?;
        for writer in region.writers(address, bytes) {
            writer.store(self.launch, Ordering::Relaxed);
        }
        Ok(region)
    }

    /// Refuses what the launch before has written, as long as that may still run.
    fn check_early(&self, region: &Region, address: u64, bytes: usize) -> Outcome<()> {
        let before = |writer: &AtomicU32| writer.load(Ordering::Relaxed) == self.launch - 1;
        if !self.early || !region.writers(address, bytes).iter().any(before) {
            return Ok(());
        }
        let detail = format!(
            "global memory at {address:#x}, which the launch before writes and may still be writing: no \
             griddepcontrol.wait comes before this access"
        );
        Err(Fault::new(Kind::Dependency, detail))
    }
}

impl Region {
    fn writers(&self, address: u64, bytes: usize) -> &[AtomicU32] {
        let first = address as usize - self.start;
        self.writers.get(first / GRANULE..(first + bytes).div_ceil(GRANULE)).unwrap_or_default()
    }

    fn check_written(&self, address: u64, bytes: usize) -> Outcome<()> {
        let Some(written) = &self.written else { return Ok(()) };
        let offset = address as usize - self.start;
        for (word, mask) in bits(offset, bytes) {
            if written[word].load(Ordering::Acquire) & mask != mask {
                let detail = format!("global memory at {address:#x}, which no kernel has written");
                return Err(Fault::new(Kind::Uninitialised, detail));
            }
        }
        Ok(())
    }

    fn mark_written(&self, address: u64, bytes: usize) {
        let Some(written) = &self.written else { return };
        for (word, mask) in bits(address as usize - self.start, bytes) {
            written[word].fetch_or(mask, Ordering::Release);
        }
    }
}

/// The 64-bit words of a bit set that bits `first..first + count` lie in, with masks.
fn bits(first: usize, count: usize) -> impl Iterator<Item = (usize, u64)> {
    let end = first + count;
    (first / 64..end.div_ceil(64)).map(move |word| {
        let low = first.saturating_sub(word * 64);
        let high = (end - word * 64).min(64);
        (word, (!0 >> (64 - (high - low))) << low)
    })
}

fn load(address: usize, into: &mut [u8]) {
    if address.is_multiple_of(4) && into.len().is_multiple_of(4) {
        for (i, word) in into.chunks_exact_mut(4).enumerate() {
            // SAFETY: inside a registered range, which outlives the launch; aligned.
            let value = unsafe { AtomicU32::from_ptr((address + 4 * i) as *mut u32) };
            word.copy_from_slice(&value.load(Ordering::Relaxed).to_ne_bytes());
        }
        return;
    }
    for (i, byte) in into.iter_mut().enumerate() {
        // SAFETY: inside a registered range, which outlives the launch.
        *byte = unsafe { AtomicU8::from_ptr((address + i) as *mut u8) }.load(Ordering::Relaxed);
    }
}

fn store(address: usize, from: &[u8]) {
    if address.is_multiple_of(4) && from.len().is_multiple_of(4) {
        for (i, word) in from.chunks_exact(4).enumerate() {
            let value = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
            // SAFETY: inside a registered, writable range, which outlives the launch; aligned.
            let place = unsafe { AtomicU32::from_ptr((address + 4 * i) as *mut u32) };
            place.store(value, Ordering::Relaxed);
        }
        return;
    }
    for (i, byte) in from.iter().enumerate() {
        // SAFETY: inside a registered, writable range, which outlives the launch.
        unsafe { AtomicU8::from_ptr((address + i) as *mut u8) }.store(*byte, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_where_their_slices_end() {
        let data = [1u32, 2, 3];
        let mut memory = Memory::new();
        let address = memory.read_only(&data);
        let global = memory.share();
        let global = View { global: &global, launch: 1, early: false };
        let mut word = [0; 4];
        global.read(address + 8, &mut word).unwrap();
        assert_eq!(u32::from_ne_bytes(word), 3);
        assert_eq!(global.read(address + 9, &mut word).unwrap_err().kind, Kind::OutOfBounds);
        assert_eq!(global.read(address + 12, &mut word).unwrap_err().kind, Kind::OutOfBounds);
        assert_eq!(global.write(address, &word).unwrap_err().kind, Kind::ReadOnly);
    }

    #[test]
    fn each_byte_is_uninitialised_until_written() {
        let mut data = [0u8; 200];
        let mut memory = Memory::new();
        let address = memory.uninitialised(&mut data);
        let global = memory.share();
        let global = View { global: &global, launch: 1, early: false };
        global.write(address + 60, &[7; 70]).unwrap();
        let mut byte = [0];
        for (offset, fine) in [(59, false), (60, true), (64, true), (129, true), (130, false)] {
            assert_eq!(global.read(address + offset, &mut byte).is_ok(), fine, "byte {offset}");
        }
    }
}
