//! Matrices of 16-bit elements between shared memory and the registers of a warp: `ldmatrix`, `stmatrix`.

use std::panic::Location;

use crate::machine::Words;
use crate::machine::collective::Op;
use crate::machine::context::execute_blocking;

use super::warp::ALL;

#[track_caller]
fn collective(op: Op, input: Words) -> Words {
    let line = Location::caller();
    execute_blocking(|gang, thread| gang.with_warp(thread, op, ALL, input, line))
}

/// `ldmatrix.m8n8.xN[.trans]`, `N` = 1, 2 or 4: lane `l` gives the address of row `l % 8` of matrix `l / 8`.
#[track_caller]
#[must_use]
pub fn load<const N: usize>(address: u32, transpose: bool) -> [u32; N] {
    const { assert!(N == 1 || N == 2 || N == 4) };
    let op = Op::LoadMatrix { count: N as u32, transpose };
    let output = collective(op, [address.into(), 0, 0, 0, 0, 0, 0, 0]);
    std::array::from_fn(|i| output[i] as u32)
}

/// `stmatrix.m8n8.xN[.trans]`, `N` = 1, 2 or 4: the inverse of [`load`], through the generic proxy.
#[track_caller]
pub fn store<const N: usize>(address: u32, fragments: [u32; N], transpose: bool) {
    const { assert!(N == 1 || N == 2 || N == 4) };
    let op = Op::StoreMatrix { count: N as u32, transpose };
    let mut input = [0; 8];
    input[0] = address.into();
    for (word, fragment) in input[1..].iter_mut().zip(fragments) {
        *word = fragment.into();
    }
    collective(op, input);
}

/// `stmatrix.m8n8.x4`.
#[track_caller]
pub fn store_x4(address: u32, fragments: [u32; 4]) {
    store(address, fragments, false);
}
