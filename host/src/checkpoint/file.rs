//! Files, read or mapped.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::SafeTensors;
use safetensors::tensor::{Metadata, TensorInfo};

use super::Result;
use super::error::CheckpointError;

/// The bytes of a small file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|reason| io_error(path, reason))
}

fn io_error(path: &Path, reason: io::Error) -> CheckpointError {
    CheckpointError::Io { path: path.to_owned(), reason }
}

/// A safetensors file in the address space.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    bytes: Mmap,
    /// Where the tensors begin.
    data: usize,
    metadata: Metadata,
}

/// A tensor of a file, not yet looked at.
#[derive(Clone, Copy, Debug)]
pub struct RawTensor<'a> {
    /// The file.
    pub path: &'a Path,
    /// Type and shape.
    pub info: &'a TensorInfo,
    /// The elements, at any address.
    pub bytes: &'a [u8],
}

impl TensorFile {
    /// Maps a file and reads its header.
    pub fn open(path: PathBuf) -> Result<Self> {
        let file = File::open(&path).map_err(|reason| io_error(&path, reason))?;
        // SAFETY: the file is only read. Whoever shortens it meanwhile ends the process (SIGBUS): documented in
        // the module.
        let bytes = unsafe { Mmap::map(&file) }.map_err(|reason| io_error(&path, reason))?;
        // The header's tensors fill the file exactly, or it is refused.
        match SafeTensors::read_metadata(&bytes) {
            Ok((header, metadata)) => {
                Ok(Self { path, data: size_of::<u64>() + header, metadata, bytes })
            }
            Err(reason) => Err(CheckpointError::SafeTensors { path, reason }),
        }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A tensor by its name.
    pub fn tensor(&self, name: &str) -> Option<RawTensor<'_>> {
        let info = self.metadata.info(name)?;
        let (start, end) = info.data_offsets;
        let bytes = &self.bytes[self.data + start..self.data + end];
        Some(RawTensor { path: &self.path, info, bytes })
    }

    /// Names of all tensors.
    pub fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }
}
