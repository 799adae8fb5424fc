//! TMA into rings in shared memory: from DRAM, and from L2 with and without multicast.

use anyhow::ensure;
use oxmla_kernels::launch::Kernel;
use oxmla_kernels::micro::abi::RingParams;
use oxmla_kernels::micro::launch::{RING_MULTICAST_1, RING_MULTICAST_4, RING_PLAIN};
use oxmla_kernels::micro::ring::{BLOCK_BOXES, BOX_BYTES, expected_sum};

use super::Bench;
use super::pattern::{self, BLOCK_BYTES, Pattern};
use super::row::Row;

/// Working sets of the `l2` benchmark, in MB: the L2 has 50.
const WORKING_SETS: [usize; 3] = [8, 24, 64];
/// Boxes that each CTA receives: whole stages, 7.8 GB on 132 SMs, a millisecond.
const L2_BOXES: u32 = 7200;

/// The `l2` benchmark.
pub fn l2(bench: &Bench<'_>, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let largest = WORKING_SETS.iter().map(|&set| blocks(set)).max().unwrap_or_default();
    let pattern = Pattern::new(bench.device, largest as usize * BLOCK_BYTES)?;
    let variants = [
        (&RING_PLAIN, "every CTA for itself"),
        (&RING_MULTICAST_1, "multicast to 2, by the box"),
        (&RING_MULTICAST_4, "multicast to 2, by 4 boxes"),
    ];
    for set in WORKING_SETS {
        for (kernel, name) in variants {
            let ring = Ring { kernel, blocks: blocks(set), boxes: L2_BOXES };
            let times = ring.times(bench, &pattern)?;
            let received = ring.received(bench);
            let row = Row::new("l2", format!("{set} MB, {name}"), &times)?
                .with_rate("shared_gbps", "GB/s into shared memory", received)
                .with_rate("l2_gbps", "GB/s from L2", received / f64::from(kernel.cluster));
            rows.push(row);
        }
    }
    Ok(())
}

/// The row of the `read` benchmark: the first `bytes`, each box once.
pub fn read(bench: &Bench<'_>, pattern: &Pattern, bytes: usize) -> anyhow::Result<Row> {
    let sms = bench.device.multiprocessors();
    let blocks_per_cta = (bytes / BLOCK_BYTES) as u32 / sms;
    let ring = Ring {
        kernel: &RING_PLAIN,
        blocks: blocks_per_cta * sms,
        boxes: blocks_per_cta * BLOCK_BOXES,
    };
    let times = ring.times(bench, pattern)?;
    let row = Row::new("read", "TMA into a ring of 24 boxes", &times)?;
    Ok(row.with_rate("read_gbps", "GB/s", ring.received(bench)))
}

/// Whole blocks in so many MB.
fn blocks(megabytes: usize) -> u32 {
    (megabytes * 1_000_000 / BLOCK_BYTES) as u32
}

/// A launch over the first blocks of a pattern.
struct Ring {
    kernel: &'static Kernel,
    blocks: u32,
    /// Boxes that each CTA receives.
    boxes: u32,
}

impl Ring {
    /// A CTA on every SM, in whole clusters.
    fn ctas(&self, bench: &Bench<'_>) -> u32 {
        let cluster = self.kernel.cluster;
        bench.device.multiprocessors() / cluster * cluster
    }

    /// Bytes that all CTAs receive.
    fn received(&self, bench: &Bench<'_>) -> f64 {
        f64::from(self.ctas(bench)) * f64::from(self.boxes) * f64::from(BOX_BYTES)
    }

    /// Microseconds of the launches, whose result is checked.
    fn times(&self, bench: &Bench<'_>, pattern: &Pattern) -> anyhow::Result<Vec<f64>> {
        let ctas = self.ctas(bench);
        let sums = bench.results(ctas as usize)?;
        let kernel = bench.program.kernel(self.kernel)?.ctas(ctas);
        let cache = pattern.cache(bench.device, self.blocks)?;
        let params = RingParams { sums: sums.address(), blocks: self.blocks, boxes: self.boxes };
        let stream = bench.stream.as_ref();
        // SAFETY: the pattern has the blocks; each CTA has its sum.
        let times = bench.times(|| unsafe { kernel.launch_over(stream, &cache, &params) })?;
        bench.synchronize()?;
        let found = pattern::read_words(&sums, ctas as usize)?;
        let receivers = ctas / self.kernel.cluster;
        for (cta, &found) in (0..).zip(&found) {
            let word = |block, row, word| pattern.cached_word(block, row, word);
            let expected = expected_sum(&params, cta / self.kernel.cluster, receivers, word);
            ensure!(
                found == expected,
                "{}: CTA {cta} has checksum {found:#x} of what it received, not {expected:#x}",
                self.kernel.name
            );
        }
        Ok(times)
    }
}
