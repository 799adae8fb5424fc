//! Memory of the host, owned.

use std::alloc::{self, Layout};
use std::ptr::NonNull;

use crate::error::{Error, Result};

/// Alignment of every allocation, in bytes: a cache line, and more than any element or TMA needs.
const ALIGNMENT: usize = 64;

/// Zeroed bytes that do not move.
#[derive(Debug)]
pub(crate) struct HostMemory {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the bytes are owned, and reached only through `&self` and `&mut self`.
unsafe impl Send for HostMemory {}
// SAFETY: as above.
unsafe impl Sync for HostMemory {}

impl HostMemory {
    /// `bytes` zeros. The system hands out the pages when they are first touched.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn new(bytes: usize) -> Result<Self> {
        let out_of_memory = || Error::OutOfMemory { device: "the host".into(), bytes };
        let layout = Layout::from_size_align(bytes, ALIGNMENT).map_err(|_| out_of_memory())?;
        if bytes == 0 {
            return Ok(Self { start: NonNull::<Aligned>::dangling().cast(), layout });
        }
        // SAFETY: the size is not zero.
        let start = unsafe { alloc::alloc_zeroed(layout) };
        NonNull::new(start).map(|start| Self { start, layout }).ok_or_else(out_of_memory)
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: initialised bytes of one allocation, borrowed with `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) }
    }

    /// The bytes.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }

    /// Address of the first byte.
    pub fn address(&self) -> u64 {
        self.start.as_ptr().expose_provenance() as u64
    }
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        if self.layout.size() > 0 {
            // SAFETY: allocated with this layout in `new`, and not freed before.
            unsafe { alloc::dealloc(self.start.as_ptr(), self.layout) };
        }
    }
}

/// Gives empty memory an address with the alignment of all others.
#[repr(align(64))]
struct Aligned;
