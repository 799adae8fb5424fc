//! Every detector, proven by a kernel with that bug. The same kernel without the bug passes.

mod addresses;
mod asynchronous;
mod barriers;
mod cooperative;
mod launches;
mod multiplies;
mod ordering;
mod support;
