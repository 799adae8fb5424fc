//! The CPU backend: the reference for every other, and good enough to try things out.

pub(crate) mod cache;
mod fast;
mod fp8;
mod half_float;
pub(crate) mod matrix;
pub(crate) mod memory;
pub(crate) mod norm;
mod oracle;
mod problem;
pub(crate) mod product;
pub(crate) mod rows;
mod softmax;
pub(crate) mod sparse;

use half::{bf16, f16};

use self::half_float::HalfFloat;
use self::problem::Problem;
use crate::attention::Decode;
use crate::dtype::DType;
use crate::plan::{DecodePlan, Planner};

/// The CPU as a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cpu {
    /// In what it computes.
    pub precision: Precision,
}

/// How the CPU computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Matrix products and an online softmax in f32, on all threads of rayon's pool.
    F32,
    /// Plain loops in f64, rounded once at the end: the oracle that everything else is measured against.
    F64,
}

impl Cpu {
    /// What the device calls itself.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.precision {
            Precision::F32 => "CPU, f32",
            Precision::F64 => "CPU, f64 oracle",
        }
    }
}

/// Decode attention; the arguments have been checked.
pub(crate) fn decode(cpu: Cpu, planner: &Planner, plan: &DecodePlan, args: &Decode<'_>) {
    let problem = Problem::new(planner, plan, args);
    match planner.config().dtype {
        DType::F16 => run::<f16>(cpu, &problem),
        _ => run::<bf16>(cpu, &problem),
    }
}

fn run<T: HalfFloat>(cpu: Cpu, problem: &Problem<'_>) {
    match cpu.precision {
        Precision::F32 => fast::decode::<T>(problem),
        Precision::F64 => oracle::decode::<T>(problem),
    }
}
