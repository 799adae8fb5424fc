//! A whole layer: against numpy, in pieces against the whole, and what it refuses.

mod checkpoints;
mod configs;
mod golden;
mod refusals;
mod runner;
mod shards;
