//! Random matrices on a device, and what a product of them may be off.

use anyhow::{Result, ensure};
use oxmla::{Buffer, DType, Device, TensorRef};

use crate::element::{narrow, widen};
use crate::layout::Layout;
use crate::random::{SplitMix64, hash};

/// A tensor of random elements, NaN between its rows.
pub struct Operand {
    pub dtype: DType,
    pub layout: Layout<3>,
    bits: Vec<u16>,
    buffer: Buffer,
}

impl Operand {
    /// Elements of deviation 1 where the layout has some.
    pub fn new(device: &Device, dtype: DType, layout: Layout<3>, seed: u64) -> Result<Self> {
        let values: Vec<u16> = {
            let mut random = SplitMix64::new(seed);
            (0..4096).map(|_| narrow(dtype, random.normal() as f32)).collect()
        };
        let mut bits = vec![0x7fff_u16; layout.extent()];
        let [batch, rows, columns] = layout.shape;
        for (b, row) in (0..batch).flat_map(|b| (0..rows).map(move |row| (b, row))) {
            let start = layout.offset([b, row, 0]);
            for (column, bits) in bits[start..start + columns].iter_mut().enumerate() {
                *bits = values[hash(seed, (start + column) as u64) as usize % values.len()];
            }
        }
        let mut buffer = device.alloc(size_of_val(&bits[..]))?;
        buffer.write(0, bytemuck::cast_slice(&bits))?;
        Ok(Self { dtype, layout, bits, buffer })
    }

    /// The tensor.
    pub fn view(&self) -> oxmla::Result<TensorRef<'_>> {
        let (address, location) = (self.buffer.address(), self.buffer.location());
        let Layout { shape, strides } = &self.layout;
        // SAFETY: the buffer was made for the layout, and is borrowed for as long as the view.
        unsafe { TensorRef::from_raw(address, self.dtype, shape, strides, location) }
    }

    /// A row's values.
    pub fn row(&self, index: [usize; 2]) -> Vec<f64> {
        let start = self.layout.offset([index[0], index[1], 0]);
        let mut values = vec![0.0; self.layout.shape[2]];
        widen(self.dtype, &self.bits[start..start + values.len()], &mut values);
        values.into_iter().map(f64::from).collect()
    }
}

/// A sum of products, and the sum of their magnitudes.
pub fn dot(a: &[f64], b: &[f64]) -> (f64, f64) {
    a.iter().zip(b).fold((0.0, 0.0), |(sum, all), (a, b)| (sum + a * b, all + (a * b).abs()))
}

/// Refuses an element further from `expected` than half a unit in its last place, and what sums of `terms` terms in
/// f32 lose: of each addition a unit of the magnitude so far, twice that where tensor cores cut off.
pub fn ensure_near(
    dtype: DType,
    bits: u16,
    (expected, magnitude): (f64, f64),
    terms: usize,
    name: impl Fn() -> String,
) -> Result<()> {
    let mut got = [0.0];
    widen(dtype, &[bits], &mut got);
    let unit = if dtype == DType::F16 { 2f64.powi(-11) } else { 2f64.powi(-8) };
    let lost = terms.max(64) as f64 * 2f64.powi(-23) * magnitude;
    let off = (f64::from(got[0]) - expected).abs();
    ensure!(
        off <= 1.001 * unit * expected.abs() + lost + 1e-7,
        "{}: {}, not {expected}",
        name(),
        got[0]
    );
    Ok(())
}
