//! What a GPU needs of the layout of a product's tensors: TMA loads and stores rows of whole 16-byte vectors.

use super::Product;
use crate::check;
use crate::error::{Error, Result};
use crate::tensor::TensorRef;

/// Bytes of which addresses and strides must be multiples.
const ALIGNMENT: usize = 16;
/// First stride, in bytes, that TMA cannot express.
const STRIDE_LIMIT: u64 = 1 << 40;
/// Outputs are stored by so many.
const OUTPUTS: u32 = 8;

/// Refuses layouts that the kernels cannot follow.
pub fn check(product: &Product<'_>) -> Result<()> {
    matrices("x", &product.x)?;
    matrices("weight", &product.weight)?;
    matrices("y", &product.y.as_ref())?;
    let outputs = product.shape.n;
    if !outputs.is_multiple_of(OUTPUTS) {
        let (expected, got) = ("a multiple of 8", outputs.into());
        return Err(Error::InvalidNumber { arg: "outputs", expected, got });
    }
    let Some(turning) = &product.turning else { return Ok(()) };
    // The rope part begins behind the inputs, on a vector as well.
    let inputs = product.shape.k;
    if !inputs.is_multiple_of(OUTPUTS) {
        let (expected, got) = ("a multiple of 8", inputs.into());
        return Err(Error::InvalidNumber { arg: "nope", expected, got });
    }
    let rotations = &turning.rotations;
    check::alignment("rotations", rotations.address(), ALIGNMENT)?;
    check::stride("rotations", "cosine and sine", rotations.strides()[2], 1)?;
    check::stride("rotations", "pairs", rotations.strides()[1], 2)?;
    check::stride("rotations", "positions", rotations.strides()[0], 2 * rotations.shape()[1])?;
    check::stride("lengths", "requests", turning.lengths.strides()[0], 1)
}

/// Rows of whole, aligned vectors.
fn matrices(arg: &'static str, tensor: &TensorRef<'_>) -> Result<()> {
    let (strides, element) = (tensor.strides(), tensor.dtype().size());
    check::alignment(arg, tensor.address(), ALIGNMENT)?;
    check::stride(arg, "columns", strides[2], 1)?;
    for (axis, stride) in ["batch", "rows"].into_iter().zip([strides[0], strides[1]]) {
        let bytes = (stride as u64).saturating_mul(element as u64);
        // The stride of an axis of size 1 leads nowhere.
        if tensor.shape()[usize::from(axis == "rows")] == 1 {
            continue;
        }
        if !bytes.is_multiple_of(ALIGNMENT as u64) {
            return Err(Error::MisalignedStride { arg, axis, required: ALIGNMENT, got: bytes });
        }
        if bytes >= STRIDE_LIMIT {
            let (min, max, got) = (0, i128::from(STRIDE_LIMIT) - 1, bytes.into());
            return Err(Error::OutOfRange { arg, min, max, got });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;
    use crate::tensor::{Location, TensorMut};

    const LOCATION: Location = Location::Cuda { ordinal: 0 };

    /// What is said to an `x [1, 2, 64]` at `address`, rows `stride` apart, times a weight of `outputs`.
    fn check_x(address: u64, strides: [usize; 3], outputs: usize) -> Result<()> {
        let shape = [1, 2, 64];
        // SAFETY: nobody reads or writes through the views.
        let (x, weight, y) = unsafe {
            (
                TensorRef::from_raw(address, DType::Bf16, &shape, &strides, LOCATION)?,
                TensorRef::from_raw(
                    1 << 20,
                    DType::Bf16,
                    &[1, outputs, 64],
                    &[0, 64, 1],
                    LOCATION,
                )?,
                TensorMut::from_raw(1 << 24, DType::Bf16, &[1, 2, outputs], &[0, 64, 1], LOCATION)?,
            )
        };
        check(&Product::new(x, weight, y, None)?)
    }

    #[test]
    fn vectors_and_nothing_else() {
        assert_eq!(check_x(1 << 16, [7, 64, 1], 8), Ok(()));
        assert_eq!(check_x(1 << 16, [7, 72, 1], 40), Ok(()));
        assert!(matches!(
            check_x((1 << 16) + 2, [7, 64, 1], 8),
            Err(Error::Misaligned { arg: "x", .. })
        ));
        let odd = Error::MisalignedStride { arg: "x", axis: "rows", required: 16, got: 130 };
        assert_eq!(check_x(1 << 16, [7, 65, 1], 8), Err(odd));
        let gaps = Error::StrideMismatch { arg: "x", axis: "columns", expected: 1, got: 2 };
        assert_eq!(check_x(1 << 16, [7, 128, 2], 8), Err(gaps));
        let far = check_x(1 << 16, [7, 1 << 40, 1], 8);
        assert!(matches!(far, Err(Error::OutOfRange { arg: "x", .. })), "{far:?}");
        let few = Error::InvalidNumber { arg: "outputs", expected: "a multiple of 8", got: 12.0 };
        assert_eq!(check_x(1 << 16, [7, 64, 1], 12), Err(few));
    }
}
