//! Global memory with plain vector accesses.

/// Threads per CTA.
pub const THREADS: u32 = 256;
/// CTAs on an SM. With eight vectors under way in each thread that is 128 KB an SM, where 1 µs of DRAM latency at
/// 3.35 TB/s asks for 25.
pub const CTAS_PER_SM: u32 = 4;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::{copy, read};

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use seq_macro::seq;

    use super::THREADS;
    use crate::micro::abi::{CopyParams, ReadParams};
    use crate::ptx::{global, special, warp};

    /// Vectors that a thread has under way.
    const UNROLL: u64 = 8;

    /// The vectors of a thread: one of every `stride`, so that neighbours read neighbouring vectors.
    struct Share {
        first: u64,
        stride: u64,
    }

    impl Share {
        #[inline(always)]
        fn new() -> Self {
            let threads = u64::from(THREADS);
            Self {
                first: u64::from(special::cta_x()) * threads + u64::from(special::thread_index()),
                stride: u64::from(special::grid_x()) * threads,
            }
        }
    }

    /// Vector number `index` of an array.
    #[inline(always)]
    fn vector(array: u64, index: u64) -> *mut u32 {
        (array + 16 * index) as *mut u32
    }

    #[inline(always)]
    fn add(sum: u32, [a, b, c, d]: [u32; 4]) -> u32 {
        sum.wrapping_add(a).wrapping_add(b).wrapping_add(c).wrapping_add(d)
    }

    /// Reads every vector once.
    ///
    /// # Safety
    /// As for the entry point.
    #[inline(always)]
    pub unsafe fn read(params: &ReadParams) {
        let Share { mut first, stride } = Share::new();
        let mut sum = 0;
        // SAFETY: every index is below the number of vectors; each warp has its own sum.
        unsafe {
            while first + (UNROLL - 1) * stride < params.vectors {
                let mut values = [[0; 4]; UNROLL as usize];
                seq!(I in 0..8 {
                    values[I] = global::load_u32x4(vector(params.data, first + I * stride));
                });
                seq!(I in 0..8 {
                    sum = add(sum, values[I]);
                });
                first += UNROLL * stride;
            }
            while first < params.vectors {
                sum = add(sum, global::load_u32x4(vector(params.data, first)));
                first += stride;
            }
            let sum = warp::sum(sum);
            if special::lane() == 0 {
                let index = special::cta_x() * (THREADS / 32) + special::warp();
                global::store_u32((params.sums as *mut u32).add(index as usize), sum);
            }
        }
    }

    /// Copies every vector once.
    ///
    /// # Safety
    /// As for the entry point.
    #[inline(always)]
    pub unsafe fn copy(params: &CopyParams) {
        let Share { mut first, stride } = Share::new();
        // SAFETY: every index is below the number of vectors.
        unsafe {
            while first + (UNROLL - 1) * stride < params.vectors {
                let mut values = [[0; 4]; UNROLL as usize];
                seq!(I in 0..8 {
                    values[I] = global::load_u32x4(vector(params.from, first + I * stride));
                });
                seq!(I in 0..8 {
                    global::store_u32x4(vector(params.to, first + I * stride), values[I]);
                });
                first += UNROLL * stride;
            }
            while first < params.vectors {
                let value = global::load_u32x4(vector(params.from, first));
                global::store_u32x4(vector(params.to, first), value);
                first += stride;
            }
        }
    }
}
