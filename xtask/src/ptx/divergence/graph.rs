//! PTX as blocks of instructions, and where they lead.

use std::collections::HashMap;

/// An instruction, as far as it matters here.
pub struct Instruction {
    /// All of it.
    pub text: String,
    /// With its modifiers.
    pub opcode: String,
    /// Predicate that it is executed under.
    pub guard: Option<String>,
    /// Registers that it writes.
    pub destinations: Vec<String>,
    /// Registers and constants that it reads.
    pub sources: Vec<String>,
}

/// Opcodes that write no register.
const WITHOUT_DESTINATION: [&str; 22] = [
    "st.",
    "bra",
    "bar.",
    "barrier",
    "ret",
    "trap",
    "exit",
    "cp.",
    "fence",
    "membar",
    "red.",
    "prefetch",
    "griddepcontrol",
    "setmaxnreg",
    "stmatrix",
    "mbarrier.arrive",
    "mbarrier.init",
    "wgmma.fence",
    "wgmma.commit",
    "wgmma.wait",
    "nanosleep",
    "discard",
];

impl Instruction {
    fn parse(text: &str) -> Self {
        let (guard, rest) = match text.strip_prefix('@') {
            Some(rest) => {
                let (guard, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                (Some(guard.trim_start_matches('!').to_owned()), rest.trim_start())
            }
            None => (None, text),
        };
        let (opcode, operands) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let writes = !WITHOUT_DESTINATION.iter().any(|prefix| opcode.starts_with(prefix));
        let operands = operands.trim();
        // The first operand, which may be a list of registers.
        let end = match operands.strip_prefix('{').and_then(|list| list.find('}')) {
            Some(end) => end + 2,
            None => operands.find(',').unwrap_or(operands.len()),
        };
        let (first, others) = if writes { operands.split_at(end) } else { ("", operands) };
        Self {
            text: text.to_owned(),
            opcode: opcode.to_owned(),
            guard,
            destinations: words(first),
            sources: words(others),
        }
    }

    /// Whether all lanes of a warp have to execute it together.
    pub fn is_aligned(&self) -> bool {
        let is_barrier = self.opcode.starts_with("bar.") && !self.opcode.starts_with("bar.warp");
        is_barrier || self.opcode.contains(".aligned")
    }

    /// Whether no instruction behind it is executed next.
    fn ends_block(&self) -> bool {
        ["bra", "ret", "trap"].iter().any(|end| self.opcode.starts_with(end))
    }
}

/// Registers, constants and names in a list of operands.
fn words(operands: &str) -> Vec<String> {
    let separators = |c: char| c.is_whitespace() || ",[]{}|!+".contains(c);
    operands.split(separators).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Instructions that are executed one after the other.
pub struct Block {
    label: Option<String>,
    /// What it does; a branch stands at the end.
    pub instructions: Vec<Instruction>,
    /// Blocks that may follow it.
    pub successors: Vec<usize>,
}

/// A kernel.
pub struct Graph {
    /// In the order of the text; the first is where it begins.
    pub blocks: Vec<Block>,
}

impl Graph {
    /// Of the body of a kernel.
    pub fn parse(body: &str) -> Self {
        let mut blocks = vec![Block::new(None)];
        for line in body.lines().map(str::trim) {
            if let Some(label) = line.strip_suffix(':').filter(|label| label.starts_with('$')) {
                blocks.push(Block::new(Some(label)));
                continue;
            }
            for text in line.split(';').map(|text| text.trim().trim_matches(['{', '}']).trim()) {
                // Declarations, comments, and the rest of an instruction that goes over several lines.
                if text.is_empty() || text.starts_with(['.', '/', '[']) {
                    continue;
                }
                let instruction = Instruction::parse(text);
                let ends = instruction.ends_block();
                blocks.last_mut().expect("one block").instructions.push(instruction);
                if ends {
                    blocks.push(Block::new(None));
                }
            }
        }
        let mut graph = Self { blocks };
        graph.connect();
        graph
    }

    fn connect(&mut self) {
        let label = |(index, block): (usize, &Block)| Some((block.label.clone()?, index));
        let labels: HashMap<String, usize> =
            self.blocks.iter().enumerate().filter_map(label).collect();
        // Nobody comes back from a trap: that a branch leads there is no way it may take.
        let traps: Vec<bool> = self.blocks.iter().map(Block::traps).collect();
        let count = self.blocks.len();
        for (index, block) in self.blocks.iter_mut().enumerate() {
            let next = Some(index + 1).filter(|&next| next < count);
            let last = block.instructions.last();
            let successors = match last.map(|last| last.opcode.as_str()) {
                Some("ret" | "trap") => [None, None],
                Some(opcode) if opcode.starts_with("bra") => {
                    let last = last.expect("a branch");
                    let target = last.sources.first().and_then(|label| labels.get(label)).copied();
                    [target, next.filter(|_| last.guard.is_some())]
                }
                _ => [next, None],
            };
            block.successors =
                successors.into_iter().flatten().filter(|&next| !traps[next]).collect();
        }
    }

    /// The block where all ways from a block meet again, if that is not the end of the kernel.
    pub fn meeting_places(&self) -> Vec<Option<usize>> {
        let count = self.blocks.len();
        // Blocks that every way from a block to the end goes through.
        let mut through = vec![vec![true; count]; count];
        let mut changed = true;
        while changed {
            changed = false;
            for index in (0..count).rev() {
                let successors = &self.blocks[index].successors;
                let mut common = vec![!successors.is_empty(); count];
                for &next in successors {
                    common
                        .iter_mut()
                        .zip(&through[next])
                        .for_each(|(common, there)| *common &= there);
                }
                common[index] = true;
                if common != through[index] {
                    through[index] = common;
                    changed = true;
                }
            }
        }
        // Of these, the nearest is the one from which most of them are still to come.
        let to_come = |index: usize| through[index].iter().filter(|&&there| there).count();
        (0..count)
            .map(|index| {
                let others = (0..count).filter(|&other| other != index && through[index][other]);
                others.max_by_key(|&other| to_come(other))
            })
            .collect()
    }
}

impl Block {
    fn new(label: Option<&str>) -> Self {
        let label = label.map(str::to_owned);
        Self { label, instructions: Vec::new(), successors: Vec::new() }
    }

    fn traps(&self) -> bool {
        self.instructions.iter().any(|instruction| instruction.opcode == "trap")
    }
}
