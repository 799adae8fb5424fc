//! Headers of checkpoints with anything wrong in them: an error that names the file, no panic, no memory beyond what
//! the files are worth. `fuzz/` runs the same checks on what a fuzzer comes up with.

mod damage;

use oxmla::checkpoint::CheckpointError;
use proptest::prelude::*;

/// What a byte of a file may take while it is read: a JSON value of two bytes takes 72, in a vector twice that.
const BYTES_PER_BYTE: u64 = 100;
/// What a layer takes, and messages.
const ALWAYS: u64 = 1 << 20;

#[test]
fn the_checkpoint_is_sound_before_it_is_damaged() {
    for has_index in [0, 1] {
        let outcome = damage::load(&[has_index]).unwrap();
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn damage_is_named(bytes in prop::collection::vec(any::<u8>(), 1..40)) {
        let mut size = 0;
        let memory = allocation_counter::measure(|| {
            size = damage::load(&bytes).unwrap().bytes as u64;
        });
        let limit = BYTES_PER_BYTE * size + ALWAYS;
        prop_assert!(memory.bytes_max < limit, "{} bytes for {size}", memory.bytes_max);
    }
}

/// The damages reach what they are meant to: each kind of error comes up.
#[test]
fn every_kind_of_error_comes_up() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut seen = [0; 8];
    for _ in 0..4_000 {
        let bytes: Vec<_> = (0..random.usize(6..22)).map(|_| random.u8(..)).collect();
        let kind = match damage::load(&bytes).unwrap().error {
            None => 0,
            Some(CheckpointError::Io { .. }) => 1,
            Some(CheckpointError::Json { .. }) => 2,
            Some(CheckpointError::SafeTensors { .. }) => 3,
            Some(CheckpointError::Field { .. }) => 4,
            Some(CheckpointError::MissingTensor { .. }) => 5,
            Some(CheckpointError::WrongShape { .. }) => 6,
            Some(CheckpointError::WrongType { .. }) => 7,
            Some(other) => panic!("{other}"),
        };
        seen[kind] += 1;
    }
    assert!(seen.iter().all(|&times| times > 0), "{seen:?}");
}
