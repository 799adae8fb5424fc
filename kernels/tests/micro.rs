//! The micro-benchmarks in the SIMT machine: they break no rule, and leave behind what `oxmla bench micro` expects.

use oxmla_kernels::launch::Kernel;
use oxmla_kernels::micro::abi::{CopyParams, ReadParams, RingParams, TensorParams};
use oxmla_kernels::micro::launch;
use oxmla_kernels::micro::ring::expected_sum;
use oxmla_kernels::micro::tensor::{OPERAND_BYTES, Shape, WARPGROUP};
use oxmla_kernels::simulate::micro;
use oxmla_simt::{Launch, Memory, Swizzle, TensorMap, Timing};

fn geometry(kernel: &Kernel, ctas: u32, threads: u32) -> Launch {
    Launch::new(kernel.name, [ctas, 1, 1], threads)
        .cluster([kernel.cluster, 1, 1])
        .shared_bytes(kernel.shared_bytes)
        .stack_bytes(512 * 1024)
}

/// Runs a kernel with several seeds and both timings.
fn run(launch: &Launch, memory: &Memory<'_>, kernel: impl Fn() + Sync) {
    for timing in [Timing::Late, Timing::Random] {
        for seed in 0..3 {
            let launch = launch.clone().seed(seed).timing(timing);
            if let Err(report) = launch.run(memory, &kernel) {
                panic!("seed {seed}, {timing:?}: {report}");
            }
        }
    }
}

/// 16-byte aligned words.
fn random_words(count: usize) -> Vec<[u32; 4]> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..count / 4).map(|_| std::array::from_fn(|_| random.u32(..))).collect()
}

#[test]
fn every_vector_is_read_once() {
    let (ctas, vectors) = (3u32, 3 * 256 * 11 + 100);
    let data = random_words(4 * vectors);
    let mut sums = vec![0u32; ctas as usize * 8];
    let mut memory = Memory::new();
    let params = ReadParams {
        data: memory.read_only(data.as_flattened()),
        vectors: vectors as u64,
        sums: memory.uninitialised(&mut sums),
    };
    let launch = geometry(&launch::STREAM_READ, ctas, launch::STREAM_READ.threads);
    run(&launch, &memory, || micro::stream_read(&params));
    drop(memory);
    let total = |words: &[u32]| words.iter().fold(0u32, |sum, word| sum.wrapping_add(*word));
    assert_eq!(total(&sums), total(data.as_flattened()));
}

#[test]
fn every_vector_is_copied() {
    let (ctas, vectors) = (2u32, 2 * 256 * 9 + 1);
    let from = random_words(4 * vectors);
    let mut to = vec![[0u32; 4]; vectors];
    let mut memory = Memory::new();
    let params = CopyParams {
        from: memory.read_only(from.as_flattened()),
        to: memory.uninitialised(to.as_flattened_mut()),
        vectors: vectors as u64,
    };
    let launch = geometry(&launch::STREAM_COPY, ctas, launch::STREAM_COPY.threads);
    run(&launch, &memory, || micro::stream_copy(&params));
    drop(memory);
    assert_eq!(from, to);
}

fn ring(kernel: &Kernel, blocks: u32, boxes: u32, entry: fn(u64, &RingParams)) {
    const ROW_WORDS: u32 = 576 / 2;
    let ctas = 4;
    let data = random_words((blocks * 64 * ROW_WORDS) as usize);
    let words = data.as_flattened();
    let mut sums = vec![0u32; ctas as usize];
    let mut memory = Memory::new();
    let map = TensorMap {
        address: memory.read_only(words),
        element_bytes: 2,
        dimensions: vec![576, 64, 1, blocks.into()],
        strides: vec![1152, 1152, 64 * 1152],
        tile: vec![64, 64, 1, 1],
        element_strides: vec![1; 4],
        swizzle: Swizzle::B128,
    };
    let map = memory.tensor_map(map).expect("the map of a cache");
    let params = RingParams { sums: memory.uninitialised(&mut sums), blocks, boxes };
    let launch = geometry(kernel, ctas, kernel.threads);
    run(&launch, &memory, || entry(map, &params));
    drop(memory);
    let word =
        |block: u32, row: u32, word: u32| words[((block * 64 + row) * ROW_WORDS + word) as usize];
    for (cta, &sum) in (0..).zip(&sums) {
        let expected = expected_sum(&params, cta / kernel.cluster, ctas / kernel.cluster, word);
        assert_eq!(sum, expected, "{}, CTA {cta}", kernel.name);
    }
}

/// Rings that do not fill, that fill once, and that turn over, past the end of the working set.
#[test]
fn rings_receive_every_box() {
    for boxes in [8, 24, 80] {
        ring(&launch::RING_PLAIN, 7, boxes, micro::ring_plain);
        ring(&launch::RING_MULTICAST_1, 7, boxes, micro::ring_multicast_1);
        ring(&launch::RING_MULTICAST_4, 7, boxes, micro::ring_multicast_4);
    }
}

fn tensor(kernel: &Kernel, shape: Shape, entry: fn(&TensorParams)) {
    let mut random = fastrand::Rng::with_seed(2);
    let mut element = || half::bf16::from_f32(random.f32() - 0.5).to_bits();
    let operands: Vec<[u16; 8]> =
        (0..OPERAND_BYTES / 16).map(|_| std::array::from_fn(|_| element())).collect();
    let (ctas, iterations) = (2u32, 3u32);
    for warpgroups in [1, 2] {
        let threads = warpgroups * WARPGROUP;
        let mut sums = vec![0f32; (ctas * threads) as usize];
        let mut cycles = vec![0u32; ctas as usize];
        let mut memory = Memory::new();
        let params = TensorParams {
            operands: memory.read_only(operands.as_flattened()),
            sums: memory.uninitialised(&mut sums),
            cycles: memory.uninitialised(&mut cycles),
            iterations,
            warpgroups,
        };
        geometry(kernel, ctas, threads)
            .run(&memory, || entry(&params))
            .unwrap_or_else(|report| panic!("{report}"));
        drop(memory);
        assert!(cycles.iter().all(|&cycles| cycles > 0), "{cycles:?}");
        for thread in 0..threads {
            let expected = shape.expected_sum(operands.as_flattened(), thread);
            for cta in 0..ctas {
                let got =
                    f64::from(sums[(cta * threads + thread) as usize]) / f64::from(iterations);
                let off = (got - expected.value).abs();
                let name = kernel.name;
                assert!(
                    off < 1e-5 * expected.magnitude,
                    "{name}, thread {thread}: {got}, {expected:?}"
                );
            }
        }
    }
}

#[test]
fn tensor_cores_multiply_what_is_expected() {
    let shape = |n, a_in_registers| Shape { n, a_in_registers };
    tensor(&launch::TENSOR_SS_64, shape(64, false), micro::tensor_ss_64);
    tensor(&launch::TENSOR_RS_64, shape(64, true), micro::tensor_rs_64);
    tensor(&launch::TENSOR_SS_128, shape(128, false), micro::tensor_ss_128);
    tensor(&launch::TENSOR_SS_256, shape(256, false), micro::tensor_ss_256);
    tensor(&launch::TENSOR_RS_256, shape(256, true), micro::tensor_rs_256);
}

/// The wait and the signal are where a launch of either kind may have them.
#[test]
fn dependent_grids_run_alone_and_in_a_chain() {
    let memory = Memory::new();
    for programmatic in [false, true, true] {
        let launch = geometry(&launch::EMPTY_DEPENDENT, 2, 128).programmatic(programmatic);
        launch.run(&memory, micro::empty_dependent).unwrap_or_else(|report| panic!("{report}"));
    }
}
