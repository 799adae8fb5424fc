//! What the TMA unit makes of a tensor map and coordinates: rows of the box, in global and shared memory.

use std::ops::Range;

use crate::memory::View;
use crate::report::{Fault, Kind, Outcome};
use crate::tensor_map::TensorMap;

/// Bytes along the innermost dimension that the corner of a box is a multiple of; negative multiples, outside the
/// tensor, are as good. An H100 refuses all others, whatever the rank and the swizzle.
const CORNER: i64 = 16;

/// A box of a tensor.
pub struct Image<'a> {
    map: &'a TensorMap,
    /// First element along each dimension; may lie outside.
    origin: Vec<i64>,
}

/// A row of the box: elements along the innermost dimension.
struct Row {
    /// Offset in bytes from the start of the box, before swizzling.
    offset: u32,
    /// Address of the element with innermost coordinate 0; `None` outside the tensor.
    global: Option<u64>,
}

impl<'a> Image<'a> {
    pub fn new(map: &'a TensorMap, coordinates: &[i32]) -> Outcome<Self> {
        let rank = map.dimensions.len();
        if coordinates.len() != rank {
            let detail =
                format!("{} coordinates for a tensor map of rank {rank}", coordinates.len());
            return Err(Fault::new(Kind::TensorMap, detail));
        }
        let start = i64::from(coordinates[0]) * i64::from(map.element_bytes);
        if start % CORNER != 0 {
            let detail = format!(
                "a box that begins {start} bytes into the rows of its tensor, not a multiple of {CORNER}: the \
                 device calls the instruction illegal (CUDA error 715)"
            );
            return Err(Fault::new(Kind::Misaligned, detail));
        }
        Ok(Self { map, origin: coordinates.iter().map(|&c| c.into()).collect() })
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        let rank = self.map.tile.len();
        (0..self.map.box_rows()).map(move |index| {
            let mut rest = index;
            let mut global = Some(self.map.address);
            for d in 1..rank {
                let i = rest % self.map.copied(d);
                rest /= self.map.copied(d);
                let at = self.origin[d] + i64::from(i * self.map.element_strides[d]);
                let inside = (0..self.map.dimensions[d] as i64).contains(&at);
                global = global
                    .filter(|_| inside)
                    .map(|address| address + at as u64 * self.map.strides[d - 1]);
            }
            Row { offset: index * self.map.row_pitch(), global }
        })
    }

    /// The elements of a row that lie in the tensor, and the byte offset of the first in global memory.
    fn inside(&self) -> (Range<usize>, u64) {
        let (map, start) = (self.map, self.origin[0]);
        let last = map.dimensions[0] as i64 - start;
        let first = (-start).clamp(0, map.tile[0].into());
        let end = last.clamp(first, map.tile[0].into());
        // Negative only where nothing lies inside.
        let offset = (start + first).max(0) as u64 * u64::from(map.element_bytes);
        (first as usize..end as usize, offset)
    }

    /// Address and bytes of what each row of the box has in the tensor.
    pub fn rows_inside(&self) -> impl Iterator<Item = (u64, u64)> {
        let (inside, offset) = self.inside();
        let bytes = inside.len() as u64 * u64::from(self.map.element_bytes);
        let rows = self.rows().filter_map(|row| row.global).filter(move |_| bytes != 0);
        rows.map(move |global| (global + offset, bytes))
    }

    /// Reads the box from global memory and hands out its 16-byte chunks: offset in the box, content.
    pub fn load(&self, memory: View, mut put: impl FnMut(u32, &[u8])) -> Outcome<()> {
        let size = self.map.element_bytes as usize;
        let (inside, offset) = self.inside();
        let mut bytes = vec![0; self.map.row_bytes() as usize];
        for row in self.rows() {
            bytes.fill(0);
            if let Some(global) = row.global.filter(|_| !inside.is_empty()) {
                let place = &mut bytes[inside.start * size..inside.end * size];
                memory.read(global + offset, place)?;
            }
            for (chunk, content) in bytes.chunks(16).enumerate() {
                put(row.offset + 16 * chunk as u32, content);
            }
        }
        Ok(())
    }

    /// Takes the box chunk by chunk and gives what lies inside the tensor to `write`: address, bytes.
    pub fn store(
        &self,
        mut take: impl FnMut(u32, &mut [u8]),
        mut write: impl FnMut(u64, &[u8]) -> Outcome<()>,
    ) -> Outcome<()> {
        let size = self.map.element_bytes as usize;
        let (inside, offset) = self.inside();
        let mut bytes = vec![0; self.map.row_bytes() as usize];
        for row in self.rows() {
            let Some(global) = row.global.filter(|_| !inside.is_empty()) else { continue };
            for (chunk, content) in bytes.chunks_mut(16).enumerate() {
                take(row.offset + 16 * chunk as u32, content);
            }
            write(global + offset, &bytes[inside.start * size..inside.end * size])?;
        }
        Ok(())
    }
}
