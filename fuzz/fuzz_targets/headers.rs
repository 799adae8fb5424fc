//! A checkpoint with its headers damaged.

#![no_main]

#[path = "../../host/tests/headers/damage.rs"]
mod damage;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let outcome = damage::load(bytes).expect("the files can be written");
    assert!(outcome.bytes > 0 || outcome.error.is_some(), "nothing is no checkpoint");
});
