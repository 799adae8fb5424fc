//! Requests beside each other, ranks beside each other.

use oxmla::checkpoint::Checkpoint;
use oxmla::layer::HeadShard;
use oxmla::{DType, Device, Result};

use super::runner::{LAYER, Runner, distance, golden, load, run};

const NAME: &str = "compressed_yarn_bf16";
const HIDDEN: usize = 40;

/// Numbers between −1 and 1, the same in every run (a linear congruential generator, Knuth's constants).
fn hidden(seed: u64, tokens: usize) -> Vec<f32> {
    let mut state = seed;
    let next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(tokens * HIDDEN).collect()
}

#[test]
fn outputs_of_all_ranks_add_up_to_the_whole() -> Result<()> {
    let hidden = hidden(1, 70);
    let whole = run(&load(NAME, DType::F16), &hidden, &[50, 20])?;
    let checkpoint = Checkpoint::open(golden(NAME)).unwrap();
    for world in [2, 4] {
        let mut sum = vec![0.0; whole.len()];
        for rank in 0..world {
            let shard = HeadShard::new(rank, world)?;
            let mut last = None;
            let layer = checkpoint
                .attention(&Device::cpu(), LAYER, DType::F16, shard, &mut |progress| {
                    last = Some(progress)
                })
                .unwrap();
            assert_eq!(layer.dims().h_q() as usize, 4 / world);
            let last = last.unwrap();
            assert_eq!((last.done, last.total), (layer.weight_bytes(), layer.weight_bytes()));
            let part = run(&layer, &hidden, &[50, 20])?;
            assert!(distance(&part, &whole) > 0.1, "rank {rank} of {world} has all of the output");
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        let distance = distance(&sum, &whole);
        assert!(distance < 1e-5, "{world} ranks: {distance}");
    }
    Ok(())
}

/// Requests of a batch are not to see each other: each must get what it gets alone.
#[test]
fn a_batch_is_its_requests() -> Result<()> {
    let layer = load(NAME, DType::F16);
    let mut runner = Runner::new(&layer)?;
    let inputs = [hidden(2, 64 + 2), hidden(3, 10 + 2), hidden(4, 2)];
    let mut requests: Vec<_> = inputs.iter().map(|_| runner.pool.sequence()).collect();
    let mut last = Vec::new();
    for (input, request) in inputs.iter().zip(&mut requests) {
        let (prompt, end) = input.split_at(input.len() - 2 * HIDDEN);
        if !prompt.is_empty() {
            runner.extend(request, prompt)?;
        }
        let _ = runner.pool.append(request, 2)?;
        last.extend_from_slice(end);
    }
    let out = runner.step(&requests.iter().collect::<Vec<_>>(), 2, &last)?;
    for (input, out) in inputs.iter().zip(out.chunks_exact(2 * HIDDEN)) {
        let alone = run(&layer, input, &[input.len() / HIDDEN])?;
        let distance = distance(out, &alone[alone.len() - 2 * HIDDEN..]);
        assert!(distance < 1e-3, "{distance}");
    }
    requests.into_iter().try_for_each(|request| runner.pool.free(request))
}

/// Of a request shorter than `s_q` the first tokens do not exist, whatever their hidden states are.
#[test]
fn tokens_before_the_first_are_nothing() -> Result<()> {
    let layer = load(NAME, DType::F16);
    let input = hidden(5, 1);
    let alone = run(&layer, &input, &[1])?;
    let mut runner = Runner::new(&layer)?;
    let (mut request, empty) = (runner.pool.sequence(), runner.pool.sequence());
    let _ = runner.pool.append(&mut request, 1)?;
    let mut padded = hidden(6, 6);
    padded[2 * HIDDEN..3 * HIDDEN].copy_from_slice(&input);
    let out = runner.step(&[&request, &empty], 3, &padded)?;
    assert_eq!(out[..2 * HIDDEN], [0.0; 2 * HIDDEN]);
    assert!(distance(&out[2 * HIDDEN..3 * HIDDEN], &alone) < 1e-3);
    assert_eq!(out[3 * HIDDEN..], [0.0; 3 * HIDDEN]);
    runner.pool.free(request)?;
    runner.pool.free(empty)
}

/// The simulator runs the kernels of a GPU, which take whole vectors.
#[cfg(feature = "sim")]
#[test]
fn kernels_refuse_widths_that_are_not_whole_vectors() {
    let checkpoint = Checkpoint::open(golden(NAME)).unwrap();
    let (device, whole) = (Device::simulator(), HeadShard::WHOLE);
    let refused = checkpoint.attention(&device, LAYER, DType::Bf16, whole, &mut |_| {});
    let error = refused.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("v_head_dim") && error.contains("a multiple of 8"), "{error}");
}
