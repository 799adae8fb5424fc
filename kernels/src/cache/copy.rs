//! Copies of whole blocks, for sequences that part ways.

/// Threads per CTA.
pub const THREADS: u32 = 256;
/// CTAs that must fit on a multiprocessor: all its threads.
pub const CTAS_PER_SM: u32 = 8;
/// Vectors of 16 bytes that a thread has under way: 98 KB on a multiprocessor, where 1 µs of DRAM latency at
/// 3.35 TB/s asks for 25.
const VECTORS: u32 = 3;

/// CTAs that share a block of `vectors` vectors: six for each KV head of 64 tokens of 16-bit elements, whose 4,608
/// vectors are six times 256 · 3.
#[must_use]
pub const fn ctas_per_block(vectors: u32) -> u32 {
    vectors.div_ceil(THREADS * VECTORS)
}

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
pub use device::run;

#[cfg(any(target_arch = "nvptx64", feature = "simt"))]
mod device {
    use seq_macro::seq;

    use super::{THREADS, VECTORS};
    use crate::cache::abi::CopyBlocksParams;
    use crate::ptx::{global, special};

    /// The kernel.
    ///
    /// # Safety
    /// As for the entry point.
    #[inline(always)]
    pub unsafe fn run(params: &CopyBlocksParams) {
        let pair = params.pairs + 8 * u64::from(special::cta_x());
        let first = special::cta_y() * THREADS * VECTORS + special::thread_index();
        // SAFETY: the pair exists; vectors are those of two blocks that exist.
        unsafe {
            let from = global::load_i32(pair as *const i32) as u32;
            let to = global::load_i32((pair + 4) as *const i32) as u32;
            if from >= params.blocks || to >= params.blocks {
                return;
            }
            let [from, to] = [from, to].map(|block| {
                params.cache + u64::from(block) * params.block_stride + 16 * u64::from(first)
            });
            let mut values = [[0; 4]; VECTORS as usize];
            seq!(I in 0..3 {
                if first + I * THREADS < params.vectors {
                    values[I] = global::load_u32x4((from + 16 * I * THREADS as u64) as *const u32);
                }
            });
            seq!(I in 0..3 {
                if first + I * THREADS < params.vectors {
                    global::store_u32x4((to + 16 * I * THREADS as u64) as *mut u32, values[I]);
                }
            });
        }
    }
}
