//! Registers.

use oxmla_simt::registers;

#[track_caller]
pub unsafe fn decrease<const COUNT: u32>() {
    registers::decrease(COUNT);
}

#[track_caller]
pub unsafe fn increase<const COUNT: u32>() {
    registers::increase(COUNT);
}

pub fn opaque(value: u64) -> u64 {
    value
}
