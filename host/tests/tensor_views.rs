//! What views and buffers accept and refuse.

use std::collections::HashSet;

use half::{bf16, f16};
use oxmla::{DType, Device, Error, Location, Result, Shape, TensorMut, TensorRef};
use proptest::prelude::*;

proptest! {
    /// A writable view is accepted only if no two indices name the same element; one with gaps and its axes
    /// in any order is.
    #[test]
    fn writable_views_never_overlap(
        axes in prop::collection::vec((0..5usize, 0..30usize), 0..=4),
    ) {
        let (shape, strides): (Vec<_>, Vec<_>) = axes.into_iter().unzip();
        let mut elements = vec![0.0f32; 4 * 4 * 30 + 1];
        let view = TensorMut::with_strides(&mut elements, &shape, &strides);
        let mut offsets = vec![0];
        for (&size, &stride) in shape.iter().zip(&strides) {
            offsets = (0..size).flat_map(|i| offsets.iter().map(move |o| o + i * stride)).collect();
        }
        let distinct = offsets.iter().collect::<HashSet<_>>().len() == offsets.len();
        match view {
            Ok(_) => prop_assert!(distinct),
            Err(Error::Overlap { .. }) => prop_assert!(!is_nested(&shape, &strides)),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}

/// Whether each stride steps over what the axes with smaller strides reach.
fn is_nested(shape: &[usize], strides: &[usize]) -> bool {
    let mut axes: Vec<_> = strides.iter().zip(shape).filter(|&(_, &size)| size > 1).collect();
    axes.sort();
    let reach =
        |axes: &[(&usize, &usize)]| axes.iter().map(|(s, n)| **s * (**n - 1)).sum::<usize>();
    (0..axes.len()).all(|axis| *axes[axis].0 > reach(&axes[..axis]))
}

#[test]
fn views_know_what_they_are() -> Result<()> {
    let elements = [bf16::ZERO; 24];
    let view = TensorRef::from_slice(&elements, &[2, 3, 4])?;
    assert_eq!((&**view.shape(), &**view.strides()), (&[2, 3, 4][..], &[12, 4, 1][..]));
    assert_eq!((view.dtype(), view.location()), (DType::Bf16, Location::Host));
    assert_eq!(view.address(), elements.as_ptr() as u64);
    Ok(())
}

#[test]
fn the_stride_of_an_axis_of_size_1_is_closed() -> Result<()> {
    let elements = [f16::ZERO; 24];
    let view = TensorRef::with_strides(&elements, &[1, 3, 1, 2], &[7, 5, 999, 2])?;
    assert_eq!(&**view.strides(), [15, 5, 4, 2]);
    Ok(())
}

#[test]
fn views_stay_inside_their_slice() {
    let elements = [0i32; 24];
    let too_large = |needed| Error::ViewTooLarge { needed, available: 24 };
    assert_eq!(TensorRef::from_slice(&elements, &[5, 5]).err(), Some(too_large(25)));
    let strided = TensorRef::with_strides(&elements, &[2, 2], &[23, 1]);
    assert_eq!(strided.err(), Some(too_large(25)));
    assert!(TensorRef::with_strides(&elements, &[2, 2], &[22, 1]).is_ok());
    assert!(TensorRef::with_strides(&elements, &[0, 2], &[usize::MAX, 1]).is_ok());

    let overflow = Some(Error::SizeOverflow { what: "strides" });
    assert_eq!(TensorRef::from_slice(&elements, &[usize::MAX, usize::MAX]).err(), overflow);
    let strided = TensorRef::with_strides(&elements, &[3], &[usize::MAX]);
    assert_eq!(strided.err(), overflow);
    // SAFETY: the view is refused.
    let raw = unsafe { TensorRef::from_raw(u64::MAX - 6, DType::F32, &[2], &[1], Location::Host) };
    assert_eq!(raw.err(), overflow);
}

#[test]
fn views_have_up_to_four_axes_with_a_stride_each() {
    let elements = [0.0f32; 1];
    let rank = |arg, expected, got| Some(Error::RankMismatch { arg, expected, got });
    assert_eq!(TensorRef::from_slice(&elements, &[1; 5]).err(), rank("shape", 4, 5));
    let strided = TensorRef::with_strides(&elements, &[1, 1], &[1]);
    assert_eq!(strided.err(), rank("strides", 2, 1));
    assert_eq!(Shape::new(&[1; 300]).err(), rank("shape", 4, 300));
}

#[test]
fn broadcast_views_are_for_reading() {
    let mut elements = [0.0f32; 4];
    assert!(TensorRef::with_strides(&elements, &[3, 4], &[0, 1]).is_ok());
    let shape = Shape::from([3, 4]);
    let overlap = Some(Error::Overlap { shape, strides: Shape::from([0, 1]) });
    assert_eq!(TensorMut::with_strides(&mut elements, &[3, 4], &[0, 1]).err(), overlap);
}

#[test]
fn buffers_hold_what_was_written() -> Result<()> {
    let mut buffer = Device::cpu().alloc_zeroed(10)?;
    assert_eq!((buffer.len_bytes(), buffer.location()), (10, Location::Host));
    assert_eq!(buffer.to_vec::<f32>()?, [0.0; 2]);
    buffer.write(3, &[1, 2])?;
    let mut bytes = [9; 4];
    buffer.read(2, &mut bytes)?;
    assert_eq!(bytes, [0, 1, 2, 0]);
    buffer.fill(255)?;
    buffer.write_slice(&[7i32])?;
    assert_eq!(buffer.to_vec::<i32>()?, [7, -1]);
    assert_eq!(buffer.view(DType::Bf16, &[5])?.address() % 64, 0);
    buffer.copy_within(2, 6, 4)?;
    assert_eq!(buffer.to_vec::<i32>()?, [7, 0xFFFF]);
    Ok(())
}

#[test]
fn buffers_are_not_left() -> Result<()> {
    let mut buffer = Device::cpu().alloc(10)?;
    let outside = |offset, len| Some(Error::OutsideBuffer { offset, len, size: 10 });
    assert_eq!(buffer.copy_within(8, 0, 3).err(), outside(8, 3));
    assert_eq!(buffer.copy_within(0, 8, 3).err(), outside(8, 3));
    let overlapping = Error::OverlappingCopy { from: 3, to: 1, len: 3 };
    assert_eq!(buffer.copy_within(3, 1, 3).err(), Some(overlapping));
    assert_eq!(buffer.write(9, &[0; 2]).err(), outside(9, 2));
    assert_eq!(buffer.read(usize::MAX, &mut [0; 2]).err(), outside(usize::MAX, 2));
    assert_eq!(buffer.view(DType::F32, &[3]).err(), outside(0, 12));
    assert_eq!(buffer.view_mut(DType::F32, &[3]).err(), outside(0, 12));
    let overflow = Some(Error::SizeOverflow { what: "shape" });
    assert_eq!(buffer.view(DType::F32, &[usize::MAX, 2]).err(), overflow);
    Ok(())
}

#[test]
fn memory_that_nobody_has_is_an_error() -> Result<()> {
    let refused = Device::cpu().alloc(usize::MAX / 2 - 63).map(|_| ());
    assert!(matches!(refused, Err(Error::OutOfMemory { .. })), "{refused:?}");
    assert_eq!(Device::cpu().alloc(0)?.len_bytes(), 0);
    Ok(())
}
