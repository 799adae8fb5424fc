//! Matrix descriptors of `wgmma`: where the 16-byte chunks of an operand lie in shared memory. PTX ISA:
//! Asynchronous Warpgroup Level Matrix Instructions, Matrix Descriptor Format; canonical layouts.

use std::ops::Range;

use super::shared::{BASE, Shared};
use crate::report::{Fault, Kind, Outcome};
use crate::tensor_map::Swizzle;

/// Which dimension runs along the rows in shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Major {
    /// The one that is summed over.
    K,
    /// M or N.
    Mn,
}

/// A decoded descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor {
    start: u32,
    leading: u32,
    stride: u32,
    swizzle: Swizzle,
}

/// 16 bytes of an operand.
#[derive(Clone, Copy, Debug)]
pub struct Chunk {
    /// First row (M or N).
    pub mn: u32,
    /// First K element.
    pub k: u32,
    /// Offset from the start of shared memory.
    pub offset: u32,
}

/// An operand of one instruction.
#[derive(Debug)]
pub struct Operand {
    pub major: Major,
    /// In ascending order of rows if K-major, of K otherwise.
    pub chunks: Vec<Chunk>,
}

/// Bytes along K that one instruction multiplies.
const K_BYTES: u32 = 32;

impl Descriptor {
    pub fn decode(bits: u64) -> Outcome<Self> {
        let field = |shift: u32| ((bits >> shift) as u32 & 0x3fff) << 4;
        let base_offset = bits >> 49 & 7;
        if base_offset != 0 {
            let detail =
                format!("descriptor {bits:#018x} has a base offset, which is not modelled");
            return Err(Fault::new(Kind::Descriptor, detail));
        }
        let swizzle = match bits >> 62 {
            0 => Swizzle::None,
            1 => Swizzle::B128,
            2 => Swizzle::B64,
            _ => Swizzle::B32,
        };
        Ok(Self { start: field(0), leading: field(16), stride: field(32), swizzle })
    }

    /// The operand of `rows` rows (M or N) and one K step, of elements of `element` bytes.
    pub fn chunks(
        &self,
        major: Major,
        rows: u32,
        element: u32,
        shared: &Shared,
        buffers: &[Range<u32>],
    ) -> Outcome<Operand> {
        let span = self.swizzle.span();
        if self.swizzle != Swizzle::None {
            let needed = if major == Major::K { K_BYTES } else { (rows * element).min(span) };
            if self.start % span + needed > span {
                let detail = format!(
                    "{needed} bytes from {:#x} cross the end of a {span}-byte swizzled row",
                    self.start
                );
                return Err(Fault::new(Kind::Descriptor, detail));
            }
        }
        let per_chunk = 16 / element;
        let chunks: Vec<Chunk> = match major {
            Major::K => {
                (0..rows * 2).map(|i| self.k_major(i / 2, i % 2, span, per_chunk)).collect()
            }
            Major::Mn => {
                let across = rows / per_chunk;
                (0..K_BYTES / element * across)
                    .map(|i| self.mn_major(i % across, i / across, span, per_chunk))
                    .collect()
            }
        };
        self.check_bounds(&chunks, shared, buffers)?;
        Ok(Operand { major, chunks })
    }

    fn k_major(&self, row: u32, chunk: u32, span: u32, per_chunk: u32) -> Chunk {
        let group = row / 8 * self.stride;
        let linear = match self.swizzle {
            Swizzle::None => group + row % 8 * 16 + chunk * self.leading,
            _ => group + row % 8 * span + chunk * 16,
        };
        self.chunk(row, chunk * per_chunk, linear)
    }

    fn mn_major(&self, across: u32, k: u32, span: u32, per_chunk: u32) -> Chunk {
        let linear = match self.swizzle {
            Swizzle::None => across * self.stride + k / 8 * self.leading + k % 8 * 16,
            _ => {
                let per_row = span / 16;
                across / per_row * self.leading
                    + k / 8 * self.stride
                    + k % 8 * span
                    + across % per_row * 16
            }
        };
        self.chunk(across * per_chunk, k, linear)
    }

    fn chunk(&self, mn: u32, k: u32, linear: u32) -> Chunk {
        // Addresses have 18 bits.
        let address = self.swizzle.apply((self.start + linear) & 0x3_ffff);
        Chunk { mn, k, offset: address.wrapping_sub(BASE) }
    }

    fn check_bounds(
        &self,
        chunks: &[Chunk],
        shared: &Shared,
        buffers: &[Range<u32>],
    ) -> Outcome<()> {
        let whole = 0..shared.len();
        let buffer = match chunks.first() {
            Some(first) => buffers.iter().find(|buffer| buffer.contains(&first.offset)),
            None => None,
        };
        let (buffer, name) = match buffer {
            Some(buffer) => (buffer, "its buffer"),
            None => (&whole, "shared memory"),
        };
        let outside = |chunk: &&Chunk| {
            chunk.offset < buffer.start || buffer.end < 16 || chunk.offset > buffer.end - 16
        };
        match chunks.iter().find(outside) {
            None => Ok(()),
            Some(chunk) => {
                let detail = format!(
                    "row {}, k {} of the operand at {:#x} lies outside {name}, {:#x}–{:#x}",
                    chunk.mn,
                    chunk.k,
                    self.start,
                    BASE + buffer.start,
                    BASE + buffer.end
                );
                Err(Fault::new(Kind::Descriptor, detail))
            }
        }
    }
}
