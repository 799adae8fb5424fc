//! Results with canaries around them.

use std::marker::PhantomData;

use anyhow::{Result, ensure};
use bytemuck::Pod;
use oxmla::{Buffer, DType, Device, TensorMut};

use crate::layout::Layout;

/// What every byte holds before attention writes: NaN in all types, though not the NaN that arithmetic makes.
const CANARY: u8 = 0xff;
/// Bytes before and behind a tensor; keeps its address a multiple of 64.
const GUARD: usize = 1024;

/// A tensor of a device that attention writes; `T` has the size of its elements.
#[derive(Debug)]
pub struct Guarded<T, const RANK: usize> {
    buffer: Buffer,
    dtype: DType,
    layout: Layout<RANK>,
    elements: PhantomData<T>,
}

/// What such a tensor holds, on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot<T, const RANK: usize> {
    layout: Layout<RANK>,
    /// The tensor from its first to its last element, and the canaries around it.
    values: Vec<T>,
}

impl<T: Pod + Send + Sync, const RANK: usize> Guarded<T, RANK> {
    /// A tensor full of canaries.
    ///
    /// # Errors
    /// If there is no memory, or `T` has another size than `dtype`.
    pub fn new(device: &Device, dtype: DType, layout: Layout<RANK>) -> Result<Self> {
        ensure!(size_of::<T>() == dtype.size(), "{dtype} elements do not fit the type");
        let buffer = device.alloc(2 * GUARD + layout.extent() * dtype.size())?;
        let mut guarded = Self { buffer, dtype, layout, elements: PhantomData };
        guarded.refill()?;
        Ok(guarded)
    }

    /// Size of each axis, outermost first.
    #[must_use]
    pub const fn shape(&self) -> &[usize; RANK] {
        &self.layout.shape
    }

    /// Canaries everywhere again.
    ///
    /// # Errors
    /// Those of [`Buffer::fill`].
    pub fn refill(&mut self) -> oxmla::Result<()> {
        self.buffer.fill(CANARY)
    }

    /// The tensor.
    ///
    /// # Errors
    /// Those of [`TensorMut::from_raw`].
    pub fn view_mut(&mut self) -> oxmla::Result<TensorMut<'_>> {
        let address = self.buffer.address() + GUARD as u64;
        let Layout { shape, strides } = &self.layout;
        let location = self.buffer.location();
        // SAFETY: the buffer was made large enough for the layout, and is borrowed for as long as the view.
        unsafe { TensorMut::from_raw(address, self.dtype, shape, strides, location) }
    }

    /// What the tensor holds; the work that writes it must be done.
    ///
    /// # Errors
    /// If a byte was written that is not the tensor's.
    pub fn snapshot(&self) -> Result<Snapshot<T, RANK>> {
        let margin = Snapshot::<T, RANK>::MARGIN;
        let mut values = vec![T::zeroed(); 2 * margin + self.layout.extent()];
        self.buffer.read(0, bytemuck::cast_slice_mut(&mut values))?;
        let starts = self.row_starts();
        let ends = starts.iter().map(|start| start + self.layout.shape[RANK - 1]);
        let gap_ends = starts.iter().map(|start| margin + start).chain([values.len()]);
        let gap_starts = [0].into_iter().chain(ends.map(|end| margin + end));
        for (start, end) in gap_starts.zip(gap_ends) {
            let touched = values[start..end].iter().position(|value| !is_canary(value));
            if let Some(offset) = touched {
                let place = (start + offset) as i64 - margin as i64;
                anyhow::bail!(
                    "the element at offset {place}, which is not the tensor's, was written"
                );
            }
        }
        Ok(Snapshot { layout: self.layout, values })
    }

    /// Whether every byte is as [`Guarded::new`] or [`Guarded::refill`] left it.
    ///
    /// # Errors
    /// Those of [`Buffer::read`].
    pub fn is_untouched(&self) -> oxmla::Result<bool> {
        let mut bytes = vec![0; self.buffer.len_bytes()];
        self.buffer.read(0, &mut bytes)?;
        Ok(bytes.iter().all(|&byte| byte == CANARY))
    }

    /// Where the rows of the innermost axis start, in the order of memory.
    fn row_starts(&self) -> Vec<usize> {
        let outer = &self.layout.shape[..RANK - 1];
        if self.layout.extent() == 0 {
            return Vec::new();
        }
        let mut starts = vec![0];
        for (size, stride) in outer.iter().zip(self.layout.strides) {
            starts = starts
                .iter()
                .flat_map(|start| (0..*size).map(move |index| start + index * stride))
                .collect();
        }
        starts.sort_unstable();
        starts
    }
}

impl<T, const RANK: usize> Snapshot<T, RANK> {
    /// Canaries before the first element.
    const MARGIN: usize = GUARD / size_of::<T>();
}

impl<T: Copy, const RANK: usize> Snapshot<T, RANK> {
    /// The innermost row that starts at `index`.
    #[must_use]
    pub fn row(&self, index: [usize; RANK]) -> &[T] {
        let start = Self::MARGIN + self.layout.offset(index);
        &self.values[start..start + self.layout.shape[RANK - 1]]
    }

    /// One element.
    #[must_use]
    pub fn at(&self, index: [usize; RANK]) -> T {
        self.values[Self::MARGIN + self.layout.offset(index)]
    }
}

impl<T: Pod, const RANK: usize> Snapshot<T, RANK> {
    /// Whether two tensors of one layout are the same, bit by bit.
    #[must_use]
    pub fn same_bits(&self, other: &Self) -> bool {
        bytemuck::cast_slice::<T, u8>(&self.values) == bytemuck::cast_slice::<T, u8>(&other.values)
    }
}

fn is_canary<T: Pod>(value: &T) -> bool {
    bytemuck::bytes_of(value).iter().all(|&byte| byte == CANARY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor() -> Result<Guarded<f32, 3>> {
        let layout = Layout { shape: [2, 2, 3], strides: [20, 5, 1] };
        Guarded::new(&Device::cpu(), DType::F32, layout)
    }

    fn write(tensor: &mut Guarded<f32, 3>, offset: i64) -> Result<()> {
        let place = GUARD as i64 + 4 * offset;
        Ok(tensor.buffer.write(place as usize, &1f32.to_le_bytes())?)
    }

    #[test]
    fn elements_are_told_from_gaps() -> Result<()> {
        for offset in [0, 2, 5, 7, 20, 27] {
            let mut tensor = tensor()?;
            assert!(tensor.is_untouched()?);
            write(&mut tensor, offset)?;
            assert!(!tensor.is_untouched()?);
            assert_eq!(tensor.snapshot()?.values[256 + offset as usize], 1.0);
        }
        for offset in [-256, -1, 3, 4, 8, 19, 23, 28, 283] {
            let mut tensor = tensor()?;
            write(&mut tensor, offset)?;
            let message = tensor.snapshot().map_err(|error| error.to_string());
            let expected =
                format!("the element at offset {offset}, which is not the tensor's, was written");
            assert_eq!(message, Err(expected));
        }
        Ok(())
    }
}
