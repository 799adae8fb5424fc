//! What may differ among the lanes of a warp.

use std::collections::HashMap;

use super::graph::{Graph, Instruction};

/// How a register differs among the lanes of a warp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Spread {
    /// Not at all.
    #[default]
    Same,
    /// A multiple of 32 that is the same, plus the index of the lane.
    Lane,
    /// In any way.
    Any,
}

/// For each block, whether lanes may be apart in it.
pub fn apart(graph: &Graph) -> Vec<bool> {
    let meeting_places = graph.meeting_places();
    let writers = writers(graph);
    let mut spreads: HashMap<&str, Spread> = HashMap::new();
    let mut apart = vec![false; graph.blocks.len()];
    loop {
        let mut changed = false;
        for instruction in graph.blocks.iter().flat_map(|block| &block.instructions) {
            let spread = spread(instruction, &spreads);
            for register in &instruction.destinations {
                // What lanes write while they are apart differs, if there is something else that they may have
                // written.
                let blocks = &writers[register.as_str()];
                let chosen = blocks.len() > 1 && blocks.iter().any(|&block| apart[block]);
                let new = if chosen { Spread::Any } else { spread };
                let old = spreads.entry(register).or_default();
                changed |= new > *old;
                *old = new.max(*old);
            }
        }
        for (index, block) in graph.blocks.iter().enumerate() {
            let guard = block.instructions.last().and_then(|last| last.guard.as_deref());
            let parts = guard.is_some_and(|guard| of(guard, &spreads) != Spread::Same);
            if parts {
                changed |= part(graph, index, meeting_places[index], &mut apart);
            }
        }
        if !changed {
            return apart;
        }
    }
}

/// Marks what lies between a block and the place where the ways from it meet; whether that is news.
fn part(graph: &Graph, from: usize, to: Option<usize>, apart: &mut [bool]) -> bool {
    let mut seen = vec![false; apart.len()];
    let mut ahead = graph.blocks[from].successors.clone();
    let mut news = false;
    while let Some(index) = ahead.pop() {
        if Some(index) == to || seen[index] {
            continue;
        }
        seen[index] = true;
        news |= !apart[index];
        apart[index] = true;
        ahead.extend(&graph.blocks[index].successors);
    }
    news
}

/// The blocks that write each register, once for each instruction.
fn writers(graph: &Graph) -> HashMap<&str, Vec<usize>> {
    let mut writers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, block) in graph.blocks.iter().enumerate() {
        for register in block.instructions.iter().flat_map(|i| &i.destinations) {
            writers.entry(register).or_default().push(index);
        }
    }
    writers
}

/// How what an instruction writes differs.
fn spread(instruction: &Instruction, spreads: &HashMap<&str, Spread>) -> Spread {
    let Instruction { opcode, guard, sources, .. } = instruction;
    let is = |prefix: &str| opcode.starts_with(prefix);
    // Votes and broadcasts are what makes things the same; a wait for an mbarrier ends for all.
    if ["vote", "shfl.sync.idx", "mbarrier.try_wait", "activemask"].into_iter().any(is) {
        return Spread::Same;
    }
    if ["shfl", "atom", "elect", "wgmma"].into_iter().any(is) {
        return Spread::Any;
    }
    let sources_spread = sources.iter().map(|source| of(source, spreads)).max().unwrap_or_default();
    let chosen = guard.as_ref().is_some_and(|guard| of(guard, spreads) != Spread::Same);
    match sources_spread {
        _ if chosen => Spread::Any,
        Spread::Lane => of_lane(opcode, sources, spreads),
        spread => spread,
    }
}

/// What becomes of the index of a thread: shifts, masks and comparisons by whole warps give all lanes the same.
fn of_lane(opcode: &str, sources: &[String], spreads: &HashMap<&str, Spread>) -> Spread {
    let operation = opcode.split('.').next().unwrap_or(opcode);
    if let "mov" | "cvt" = operation {
        return Spread::Lane;
    }
    let [first, second, ..] = sources else { return Spread::Any };
    let Some(constant) = number(second).filter(|_| of(first, spreads) == Spread::Lane) else {
        return Spread::Any;
    };
    let low = constant & 31;
    match (operation, opcode.split('.').nth(1)) {
        ("shr" | "bfe", _) if constant >= 5 => Spread::Same,
        ("and", _) if low == 0 => Spread::Same,
        ("and", _) if low == 31 => Spread::Lane,
        ("add" | "sub" | "or", _) if low == 0 => Spread::Lane,
        ("setp", Some("lt" | "ge")) if low == 0 => Spread::Same,
        ("setp", Some("gt" | "le")) if low == 31 => Spread::Same,
        _ => Spread::Any,
    }
}

/// How a register differs; constants and parameters do not.
fn of(operand: &str, spreads: &HashMap<&str, Spread>) -> Spread {
    match operand {
        "%tid.x" | "%laneid" => Spread::Lane,
        _ => spreads.get(operand).copied().unwrap_or_default(),
    }
}

fn number(operand: &str) -> Option<i64> {
    match operand.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => operand.parse().ok(),
    }
}
