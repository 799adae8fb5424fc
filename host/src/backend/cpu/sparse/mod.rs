//! Sparse attention on the CPU. The two implementations find their way through the tensors separately, so that none hides
//! a mistake of the other.

mod fast;
mod oracle;

use super::{Cpu, Precision};
use crate::sparse::{Problem, SparseAttention};
use crate::tensor::TensorMut;

/// Attends; the arguments have been checked.
pub(crate) fn attend(
    cpu: Cpu,
    problem: &Problem,
    args: &SparseAttention<'_>,
    max_logits: Option<&TensorMut<'_>>,
) {
    match cpu.precision {
        Precision::F32 => fast::attend(problem, args, max_logits),
        Precision::F64 => oracle::attend(problem, args, max_logits),
    }
}
