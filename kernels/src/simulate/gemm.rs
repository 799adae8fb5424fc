//! A matrix product over host memory.

use std::ops::Range;
use std::vec;
use std::vec::Vec;

use oxmla_simt::{Launch, Memory, Swizzle, TensorMap, Trace};

use super::{ElementType, Error, entry};
use crate::decode::dense::config::D_ROPE;
use crate::gemm::abi::{GemmParams, Shape, Turns};
use crate::gemm::config::{self, TILE};
use crate::gemm::tiles::Tiles;
use crate::gemm::tiling::Tiling;
use crate::launch;

/// Elements from one product to the next, and from one row to the next; rows are contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strides {
    /// Along the batch.
    pub batch: usize,
    /// Along rows.
    pub row: usize,
}

/// `y[b] = x[b] · weight[b]ᵀ` over slices, which begin with the first element. 16-bit floats are given as their bits.
/// That slices are as long as their shapes say is for the machine to find out, as it checks every access.
pub struct Gemm<'a> {
    /// Element type of `x`, `weight` and `y`.
    pub element: ElementType,
    /// Sizes.
    pub shape: Shape,
    /// Which kernel, and how many CTAs.
    pub tiling: Tiling,
    /// `[batch, m, k]`, 16-byte aligned, as all strides are.
    pub x: (&'a [u16], Strides),
    /// `[batch, n, k]`.
    pub weight: (&'a [u16], Strides),
    /// `[batch, m, n]`.
    pub y: (&'a mut [u16], Strides),
    /// What is rotated beside that, if anything.
    pub turns: Option<TurnedRows<'a>>,
}

/// Rotation of the 64 elements behind the `k` of every row of `x`, into the 64 behind the `n` of the row of `y`.
pub struct TurnedRows<'a> {
    /// `[positions, 32, 2]`, 16-byte aligned: cosines and sines.
    pub rotations: &'a [f32],
    /// `[m / tokens_per_request]`: tokens of each request, those of `x` included.
    pub lengths: &'a [i32],
    /// Rows of `x` of each request.
    pub tokens_per_request: u32,
}

impl Gemm<'_> {
    /// Runs the kernel, its launch changed by `configure`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn run(self, configure: impl Fn(Launch) -> Launch) -> Result<Trace, Error> {
        let Self { element, shape, tiling, x, weight, y, turns } = self;
        let tiles = Tiles::new(&shape, tiling.width, tiling.splits);
        let mut partial = vec![0f32; tiling.partial_bytes() as usize / 4];
        let mut arrivals = vec![0u32; (tiles.count() * config::COUNTER_STRIDE) as usize];
        let maps = [
            map(x.0, [shape.k, shape.m, shape.batch], x.1, tiling.rows_of_box(&shape)),
            map(weight.0, [shape.k, shape.n, shape.batch], weight.1, TILE),
            map(y.0, [shape.n, shape.m, shape.batch], y.1, TILE),
        ];
        let mut memory = Memory::new();
        memory.read_only(weight.0);
        let x_address = memory.read_only(x.0);
        let y_address = memory.read_write(y.0);
        let turns = turns.map_or_else(Turns::default, |turns| Turns {
            from: x_address + 2 * u64::from(shape.k),
            from_stride_token: x.1.row as u64,
            from_stride_head: x.1.batch as u64,
            to: y_address + 2 * u64::from(shape.n),
            to_stride_token: y.1.row as u64,
            to_stride_head: y.1.batch as u64,
            rotations: memory.read_only(turns.rotations),
            lengths: memory.read_only(turns.lengths),
            tokens: shape.m,
            heads: shape.batch,
            tokens_per_request: turns.tokens_per_request,
            positions: turns.rotations.len() as u32 / D_ROPE,
        });
        let params = GemmParams {
            y: y_address,
            y_stride_batch: y.1.batch as u64,
            y_stride_row: y.1.row as u64,
            partial: memory.uninitialised(&mut partial),
            arrivals: memory.read_write(&mut arrivals),
            shape,
            splits: tiling.splits,
            x_rows: tiling.rows_of_box(&shape),
            turns,
        };
        let [x, weight, y] = maps;
        let maps = [memory.tensor_map(x)?, memory.tensor_map(weight)?, memory.tensor_map(y)?];
        let (kernels, entries): (_, [Entry; 5]) = match element {
            ElementType::Bf16 => (
                launch::GEMM_BF16,
                [
                    entry::gemm_64_bf16,
                    entry::gemm_128_bf16,
                    entry::gemm_256_bf16,
                    entry::gemm_pair_192_bf16,
                    entry::gemm_pair_256_bf16,
                ],
            ),
            ElementType::F16 => (
                launch::GEMM_F16,
                [
                    entry::gemm_64_f16,
                    entry::gemm_128_f16,
                    entry::gemm_256_f16,
                    entry::gemm_pair_192_f16,
                    entry::gemm_pair_256_f16,
                ],
            ),
        };
        let (kernel, entry) = (&kernels[tiling.kernel()], entries[tiling.kernel()]);
        let launch = Launch::new(kernel.name, [tiling.ctas, 1, 1], kernel.threads)
            .shared_bytes(kernel.shared_bytes)
            .cluster([kernel.cluster, 1, 1])
            .shared_buffers(&stages(tiling.width[0]))
            .stack_bytes(if cfg!(debug_assertions) { 512 * 1024 } else { 256 * 1024 })
            .programmatic(tiling.splits == 1)
            .cooperative(tiling.splits > 1);
        let trace = configure(launch).run(&memory, || entry(maps, &params))?;
        drop(memory);
        match arrivals.iter().position(|&count| count != 0) {
            Some(index) => Err(Error::Counter { index, count: arrivals[index] }),
            None => Ok(trace),
        }
    }
}

type Entry = fn([u64; 3], &GemmParams);

/// The map of `[batch, rows, columns]` in boxes of `rows` rows, as [`config`] describes it.
fn map(elements: &[u16], dimensions: [u32; 3], strides: Strides, rows: u32) -> TensorMap {
    TensorMap {
        address: elements.as_ptr() as u64,
        element_bytes: 2,
        dimensions: dimensions.map(u64::from).into_iter().chain([1]).collect(),
        strides: Vec::from([2 * strides.row as u64, 2 * strides.batch as u64, 16]),
        tile: Vec::from([TILE, rows, 1, 1]),
        element_strides: Vec::from([1; 4]),
        swizzle: Swizzle::B128,
    }
}

/// What no operand of a multiply may leave: the stages.
fn stages(rows: u32) -> Vec<Range<u32>> {
    let bytes = config::stage_bytes(rows);
    let stage = |index| config::RING + index * bytes..config::RING + (index + 1) * bytes;
    (0..config::stages(rows)).map(stage).collect()
}
