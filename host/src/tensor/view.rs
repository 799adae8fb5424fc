//! The two views: one to read, one to write.

use std::marker::PhantomData;

use super::layout::Layout;
use super::{Location, Shape};
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};

/// Borrowed elements to read.
#[derive(Clone, Copy, Debug)]
pub struct TensorRef<'a> {
    address: u64,
    dtype: DType,
    layout: Layout,
    location: Location,
    memory: PhantomData<&'a [u8]>,
}

/// Borrowed elements to write. No two indices name the same element.
#[derive(Debug)]
pub struct TensorMut<'a> {
    address: u64,
    dtype: DType,
    layout: Layout,
    location: Location,
    memory: PhantomData<&'a mut [u8]>,
}

/// What both views tell about themselves.
macro_rules! accessors {
    () => {
        /// Address of the first element.
        #[must_use]
        pub const fn address(&self) -> u64 {
            self.address
        }

        /// Type of the elements.
        #[must_use]
        pub const fn dtype(&self) -> DType {
            self.dtype
        }

        /// Size of each axis, outermost first.
        #[must_use]
        pub const fn shape(&self) -> &Shape {
            &self.layout.shape
        }

        /// Stride of each axis, in elements. That of an axis of size 1 is what it would be without gaps,
        /// whatever the view was made with.
        #[must_use]
        pub const fn strides(&self) -> &Shape {
            &self.layout.strides
        }

        /// Where the elements are.
        #[must_use]
        pub const fn location(&self) -> Location {
            self.location
        }

        /// Address of the element at `index`; inside the memory of the view if `index` is inside its shape.
        pub(crate) fn address_at<const RANK: usize>(&self, index: [usize; RANK]) -> usize {
            let elements: usize = index.iter().zip(self.strides().iter()).map(|(i, s)| i * s).sum();
            self.address as usize + elements * self.dtype.size()
        }
    };
}

impl<'a> TensorRef<'a> {
    accessors!();

    /// The contiguous tensor at the beginning of `elements`.
    ///
    /// # Errors
    /// [`Error::ViewTooLarge`] if there are not enough elements, [`Error::RankMismatch`] if there are more
    /// than four axes.
    pub fn from_slice<T: Element>(elements: &'a [T], shape: &[usize]) -> Result<Self> {
        let layout = Layout::contiguous(Shape::new(shape)?);
        check_fits(&layout, elements.len())?;
        Ok(Self::new(
            elements.as_ptr().expose_provenance() as u64,
            T::DTYPE,
            layout,
            Location::Host,
        ))
    }

    /// A tensor with gaps, or with its axes in another order, inside `elements`; `strides` in elements.
    ///
    /// # Errors
    /// As for [`TensorRef::from_slice`], and [`Error::RankMismatch`] if there is not one stride per axis.
    pub fn with_strides<T: Element>(
        elements: &'a [T],
        shape: &[usize],
        strides: &[usize],
    ) -> Result<Self> {
        let layout = Layout::strided(shape, strides)?;
        check_fits(&layout, elements.len())?;
        Ok(Self::new(
            elements.as_ptr().expose_provenance() as u64,
            T::DTYPE,
            layout,
            Location::Host,
        ))
    }

    /// A tensor in memory that someone else manages; `strides` in elements.
    ///
    /// # Errors
    /// [`Error::RankMismatch`] if there are more than four axes or not one stride per axis,
    /// [`Error::SizeOverflow`] if the last element has no address.
    ///
    /// # Safety
    /// - Every element that shape and strides reach is initialised memory of `location`, and stays so for
    ///   `'a`.
    /// - Nobody writes to it during `'a`, on GPUs other than in the order of the stream that it is used on.
    /// - Work of a GPU may outlive the call that starts it: `'a` ends only after that work has.
    pub unsafe fn from_raw(
        address: u64,
        dtype: DType,
        shape: &[usize],
        strides: &[usize],
        location: Location,
    ) -> Result<Self> {
        let layout = Layout::strided(shape, strides)?;
        check_address_space(address, dtype, &layout)?;
        Ok(Self::new(address, dtype, layout, location))
    }

    /// A tensor at the beginning of `bytes` bytes that someone else manages; without `strides` contiguous.
    ///
    /// # Errors
    /// As for [`TensorRef::with_strides`].
    ///
    /// # Safety
    /// As for [`TensorRef::from_raw`], for the bytes.
    #[cfg(feature = "cudarc")]
    pub(crate) unsafe fn in_memory(
        (address, bytes): (u64, usize),
        dtype: DType,
        shape: &[usize],
        strides: Option<&[usize]>,
        location: Location,
    ) -> Result<Self> {
        let layout = match strides {
            Some(strides) => Layout::strided(shape, strides)?,
            None => Layout::contiguous(Shape::new(shape)?),
        };
        check_fits(&layout, bytes / dtype.size())?;
        Ok(Self::new(address, dtype, layout, location))
    }

    /// A contiguous tensor whose size its owner has checked.
    pub(crate) fn contiguous(address: u64, dtype: DType, shape: Shape, location: Location) -> Self {
        Self::new(address, dtype, Layout::contiguous(shape), location)
    }

    const fn new(address: u64, dtype: DType, layout: Layout, location: Location) -> Self {
        Self { address, dtype, layout, location, memory: PhantomData }
    }
}

impl<'a> TensorMut<'a> {
    accessors!();

    /// The contiguous tensor at the beginning of `elements`.
    ///
    /// # Errors
    /// As for [`TensorRef::from_slice`].
    pub fn from_slice<T: Element>(elements: &'a mut [T], shape: &[usize]) -> Result<Self> {
        let layout = Layout::contiguous(Shape::new(shape)?);
        check_fits(&layout, elements.len())?;
        let address = elements.as_mut_ptr().expose_provenance() as u64;
        Ok(Self::new(address, T::DTYPE, layout, Location::Host))
    }

    /// A tensor with gaps, or with its axes in another order, inside `elements`; `strides` in elements.
    ///
    /// # Errors
    /// As for [`TensorRef::with_strides`], and [`Error::Overlap`] if two indices name the same element.
    pub fn with_strides<T: Element>(
        elements: &'a mut [T],
        shape: &[usize],
        strides: &[usize],
    ) -> Result<Self> {
        let layout = Layout::strided(shape, strides)?;
        check_fits(&layout, elements.len())?;
        layout.check_disjoint()?;
        let address = elements.as_mut_ptr().expose_provenance() as u64;
        Ok(Self::new(address, T::DTYPE, layout, Location::Host))
    }

    /// A tensor in memory that someone else manages; `strides` in elements.
    ///
    /// # Errors
    /// As for [`TensorRef::from_raw`], and [`Error::Overlap`] if two indices name the same element.
    ///
    /// # Safety
    /// - Every element that shape and strides reach is memory of `location`, and stays so for `'a`.
    /// - Nobody else reads or writes it during `'a`, on GPUs other than in the order of the stream that it
    ///   is used on.
    /// - Work of a GPU may outlive the call that starts it: `'a` ends only after that work has.
    pub unsafe fn from_raw(
        address: u64,
        dtype: DType,
        shape: &[usize],
        strides: &[usize],
        location: Location,
    ) -> Result<Self> {
        let layout = Layout::strided(shape, strides)?;
        check_address_space(address, dtype, &layout)?;
        layout.check_disjoint()?;
        Ok(Self::new(address, dtype, layout, location))
    }

    /// The same elements, to read.
    #[must_use]
    pub const fn as_ref(&self) -> TensorRef<'_> {
        TensorRef::new(self.address, self.dtype, self.layout, self.location)
    }

    /// The same view, for a shorter time.
    #[must_use]
    pub const fn reborrow(&mut self) -> TensorMut<'_> {
        TensorMut::new(self.address, self.dtype, self.layout, self.location)
    }

    /// A tensor at the beginning of `bytes` bytes that someone else manages; without `strides` contiguous.
    ///
    /// # Errors
    /// As for [`TensorMut::with_strides`].
    ///
    /// # Safety
    /// As for [`TensorMut::from_raw`], for the bytes.
    #[cfg(feature = "cudarc")]
    pub(crate) unsafe fn in_memory(
        (address, bytes): (u64, usize),
        dtype: DType,
        shape: &[usize],
        strides: Option<&[usize]>,
        location: Location,
    ) -> Result<Self> {
        let layout = match strides {
            Some(strides) => Layout::strided(shape, strides)?,
            None => Layout::contiguous(Shape::new(shape)?),
        };
        check_fits(&layout, bytes / dtype.size())?;
        layout.check_disjoint()?;
        Ok(Self::new(address, dtype, layout, location))
    }

    /// A contiguous tensor whose size its owner has checked.
    pub(crate) fn contiguous(address: u64, dtype: DType, shape: Shape, location: Location) -> Self {
        Self::new(address, dtype, Layout::contiguous(shape), location)
    }

    const fn new(address: u64, dtype: DType, layout: Layout, location: Location) -> Self {
        Self { address, dtype, layout, location, memory: PhantomData }
    }
}

fn check_fits(layout: &Layout, available: usize) -> Result<()> {
    let needed = layout.extent()?;
    if needed > available {
        return Err(Error::ViewTooLarge { needed, available });
    }
    Ok(())
}

fn check_address_space(address: u64, dtype: DType, layout: &Layout) -> Result<()> {
    let fits = |extent: usize| {
        let bytes = extent.checked_mul(dtype.size())?;
        address.checked_add(u64::try_from(isize::try_from(bytes).ok()?).ok()?)
    };
    fits(layout.extent()?).map(|_| ()).ok_or(Error::SizeOverflow { what: "strides" })
}
