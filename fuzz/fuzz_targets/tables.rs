//! Block tables and steps that nobody checked before.

#![no_main]

#[path = "../../host/tests/sequences/tables.rs"]
mod tables;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tables::check(bytes).expect("every refusal is expected"));
