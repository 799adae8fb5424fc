//! Whether the lanes of a warp meet where they have to.
//!
//! Barriers, `wgmma`, `stmatrix` and `setmaxnreg` are *aligned*: all lanes of a warp execute the same instruction
//! together, or the warp never comes out. The sources see to that, but LLVM does not know it of an asm block: from
//! `if c { … } barrier; if c { … }` it may make two branches with a barrier each, and where `c` differs among lanes, a
//! kernel hangs that was right (`docs/performance-notes.md`, M3). So the PTX is looked at: no aligned instruction may
//! stand between a branch whose condition may differ among the lanes of a warp and the place where its ways meet.

mod graph;
mod lanes;
#[cfg(test)]
mod tests;

use anyhow::{Result, ensure};

use self::graph::Graph;

/// Refuses PTX in which lanes may be apart at an aligned instruction.
pub fn check(ptx: &str) -> Result<()> {
    let found: Vec<String> = entries(ptx).flat_map(|(name, body)| apart(name, body)).collect();
    ensure!(
        found.is_empty(),
        "lanes of a warp may be apart where they have to be together:\n  {}",
        found.join("\n  ")
    );
    Ok(())
}

/// Name and body of each kernel.
fn entries(ptx: &str) -> impl Iterator<Item = (&str, &str)> {
    ptx.split(".entry ").skip(1).filter_map(|text| {
        let name = text.split(['(', '\n']).next()?.trim();
        let body = text.split_once("\n{")?.1;
        Some((name, body.split_once("\n}\n").map_or(body, |(body, _)| body)))
    })
}

/// The aligned instructions of a kernel at which lanes may be apart.
fn apart(name: &str, body: &str) -> Vec<String> {
    let graph = Graph::parse(body);
    let apart = lanes::apart(&graph);
    let blocks = graph.blocks.iter().zip(apart).filter_map(|(block, apart)| apart.then_some(block));
    blocks
        .flat_map(|block| &block.instructions)
        .filter(|instruction| instruction.is_aligned())
        .map(|instruction| format!("{name}: {}", instruction.text))
        .collect()
}
