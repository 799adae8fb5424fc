//! The C interface of oxmla. `include/oxmla.h` is made from this crate; its comments are these.
//!
//! | file | what it does |
//! |---|---|
//! | `entry` | the functions of the interface, nothing else |
//! | `status`, `failure` | outcome of a call: a number for programs, a text for people; panics end here |
//! | `choice`, `pointer`, `tensor` | what callers hand over, checked |
//! | `planner`, `step`, `decode` | what the functions do |
//! | `download` | lengths and block table that are on the GPU |

mod choice;
mod decode;
#[cfg(feature = "cuda")]
mod download;
mod entry;
mod failure;
mod planner;
mod pointer;
mod status;
mod step;
mod tensor;
