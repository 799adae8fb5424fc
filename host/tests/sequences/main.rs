//! Pool, sequences and prefix index under random use, held against a reference that knows no cleverness; block
//! tables of random numbers. `fuzz/` runs the same checks on what a fuzzer comes up with.

mod action;
mod model;
mod reference;
mod tables;

use std::ops::Range;
use std::thread;

use action::Action;
use model::Model;
use oxmla::Result;
use oxmla::cache::BLOCK_SIZES;
use proptest::prelude::*;

fn actions(most: usize) -> impl Strategy<Value = Vec<Action>> {
    prop::collection::vec(any::<[u8; 4]>().prop_map(Action::from_bytes), 1..most)
}

/// How many tokens a block has.
fn sizes() -> impl Strategy<Value = usize> {
    prop::sample::select(BLOCK_SIZES.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_pool_does_what_the_reference_says(
        blocks in 1..40usize,
        block_size in sizes(),
        has_index in any::<bool>(),
        actions in actions(200),
    ) {
        let mut model = Model::new(blocks, block_size, has_index)?;
        for action in actions {
            model.apply(action)?;
            model.check()?;
        }
        model.finish()?;
    }

    #[test]
    fn who_is_admitted_starves_nobody(
        blocks in 4..40usize,
        block_size in sizes(),
        before in actions(60),
        steps in 1..100usize,
        meanwhile in actions(40),
    ) {
        let mut model = Model::new(blocks, block_size, true)?;
        for action in before {
            model.apply(action)?;
        }
        model.keep_promise(steps, &meanwhile)?;
        model.check()?;
        model.finish()?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn a_step_is_refused_for_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
        tables::check(&bytes)?;
    }
}

/// One pool for each seed, of another size each, in which so many things happen.
fn random_operations(seeds: Range<u64>, operations: usize) -> Result<()> {
    for seed in seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let block_size = BLOCK_SIZES[seed as usize / 4 % 4];
        let mut model = Model::new(random.usize(1..48), block_size, !seed.is_multiple_of(4))?;
        let mut done = 0;
        while done < operations {
            let happened = model.apply(Action::from_bytes(random.u32(..).to_le_bytes()))?;
            done += usize::from(happened);
            if done.is_multiple_of(1024) {
                model.check()?;
            }
        }
        model.check()?;
        model.finish()?;
    }
    Ok(())
}

#[test]
fn ten_million_operations() -> Result<()> {
    let half = thread::spawn(|| random_operations(0..50, 100_000));
    random_operations(50..100, 100_000)?;
    half.join().expect("the other half panics no more than this one")
}
