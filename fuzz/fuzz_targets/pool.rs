//! Pool, sequences and prefix index against the reference of `host/tests/sequences`.

#![no_main]

#[path = "../../host/tests/sequences/action.rs"]
mod action;
#[path = "../../host/tests/sequences/model.rs"]
mod model;
#[path = "../../host/tests/sequences/reference.rs"]
mod reference;

use action::Action;
use libfuzzer_sys::fuzz_target;
use model::Model;

fuzz_target!(|bytes: &[u8]| run(bytes).expect("no action is wrong in itself"));

/// All actions; then those of them that bring requests and publish, once more, while the others go on for some steps.
fn run(bytes: &[u8]) -> oxmla::Result<()> {
    let Some((&[pool, steps], bytes)) = bytes.split_first_chunk() else { return Ok(()) };
    let actions: Vec<_> = bytes.as_chunks().0.iter().copied().map(Action::from_bytes).collect();
    let block_size = [16, 32, 64, 128][usize::from(pool / 2 % 4)];
    let mut model = Model::new(usize::from(pool / 8 % 32) + 1, block_size, pool % 2 == 1)?;
    for &action in &actions {
        model.apply(action)?;
        model.check()?;
    }
    model.keep_promise(usize::from(steps), &actions)?;
    model.check()?;
    model.finish()
}
