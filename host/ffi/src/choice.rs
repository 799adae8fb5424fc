//! Enumerations that callers hand over.
//!
//! They arrive as plain integers, for a Rust enum with any other value would be undefined behaviour. No value is
//! 0, so that a field that was forgotten is refused.

use std::fmt;

use oxmla::{DType, Mask};

use crate::failure::{Failure, Result};

/// Type of a tensor's elements.
#[repr(C)]
pub enum OxmlaDtype {
    /// bfloat16.
    Bf16 = 1,
    /// IEEE half precision.
    F16 = 2,
    /// IEEE single precision.
    F32 = 3,
}

/// Which cached tokens a query token sees.
#[repr(C)]
pub enum OxmlaMask {
    /// All of them.
    None = 1,
    /// Query token `i` of `s_q` sees the first `length - (s_q - 1 - i)` tokens.
    Causal = 2,
}

/// What a planner is for.
#[repr(C)]
pub enum OxmlaDevice {
    /// The threads of this process.
    Cpu = 1,
    /// The GPU whose primary context is current on the calling thread.
    CurrentContext = 2,
}

/// Where lengths and block table are.
#[repr(C)]
pub enum OxmlaMemory {
    /// In the memory of this process.
    Host = 1,
    /// In the memory of the planner's GPU.
    Device = 2,
}

/// Type of a planner's tensors, or of a tensor; `what` is the argument, in words.
pub fn dtype(what: fmt::Arguments<'_>, got: u32) -> Result<DType> {
    let choices = [
        (OxmlaDtype::Bf16 as u32, DType::Bf16),
        (OxmlaDtype::F16 as u32, DType::F16),
        (OxmlaDtype::F32 as u32, DType::F32),
    ];
    choose(what, "OxmlaDtype", got, choices)
}

pub fn mask(got: u32) -> Result<Mask> {
    let choices = [(OxmlaMask::None as u32, Mask::None), (OxmlaMask::Causal as u32, Mask::Causal)];
    choose(format_args!("`mask`"), "OxmlaMask", got, choices)
}

pub fn device(got: u32) -> Result<OxmlaDevice> {
    let choices = [
        (OxmlaDevice::Cpu as u32, OxmlaDevice::Cpu),
        (OxmlaDevice::CurrentContext as u32, OxmlaDevice::CurrentContext),
    ];
    choose(format_args!("`device`"), "OxmlaDevice", got, choices)
}

pub fn memory(got: u32) -> Result<OxmlaMemory> {
    let choices = [
        (OxmlaMemory::Host as u32, OxmlaMemory::Host),
        (OxmlaMemory::Device as u32, OxmlaMemory::Device),
    ];
    choose(format_args!("`memory`"), "OxmlaMemory", got, choices)
}

/// The choice that a number stands for, or the refusal that names the argument.
fn choose<T, const N: usize>(
    what: fmt::Arguments<'_>,
    kind: &str,
    got: u32,
    choices: [(u32, T); N],
) -> Result<T> {
    let chosen = choices.into_iter().find(|&(number, _)| number == got);
    let refusal = || Failure::invalid(format!("{what} must be a value of {kind}, but is {got}"));
    chosen.map(|(_, choice)| choice).ok_or_else(refusal)
}
