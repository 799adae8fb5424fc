//! The normalisation kernels over host memory.

use oxmla_simt::{Launch, Memory, Trace};

use super::{ElementType, Error, entry};
use crate::launch;
use crate::norm::abi::NormParams;
use crate::norm::ctas;

/// Rows to normalise. 16-bit floats are given as their bits; that slices are as long as they must be is for the machine
/// to find out.
pub struct NormRows<'a> {
    /// Element type.
    pub element: ElementType,
    /// Rows.
    pub rows: u32,
    /// Elements of a row, a multiple of 8.
    pub width: u32,
    /// `[rows, width]`, 16-byte aligned.
    pub x: &'a [u16],
    /// Elements from one row of `x` to the next.
    pub x_stride: usize,
    /// `[width]`, 16-byte aligned.
    pub weight: &'a [u16],
    /// Added to the mean square.
    pub eps: f32,
    /// `[rows, width]`, 16-byte aligned.
    pub y: &'a mut [u16],
    /// Elements from one row of `y` to the next.
    pub y_stride: usize,
}

impl NormRows<'_> {
    /// Runs the kernel, its launch changed by `configure`.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    pub fn run(self, configure: impl Fn(Launch) -> Launch) -> Result<Trace, Error> {
        let mut memory = Memory::new();
        let params = NormParams {
            x: memory.read_only(self.x),
            x_stride: self.x_stride as u64,
            y: memory.read_write(self.y),
            y_stride: self.y_stride as u64,
            weight: memory.read_only(self.weight),
            rows: self.rows,
            width: self.width,
            inverse_width: (self.width as f32).recip(),
            eps: self.eps,
        };
        let (kernel, entry): (_, fn(&NormParams)) = match self.element {
            ElementType::Bf16 => (&launch::NORM_BF16, entry::norm_bf16),
            ElementType::F16 => (&launch::NORM_F16, entry::norm_f16),
        };
        let launch = Launch::new(kernel.name, [ctas(self.rows), 1, 1], kernel.threads);
        Ok(configure(launch.stack_bytes(256 * 1024)).run(&memory, || entry(&params))?)
    }
}
