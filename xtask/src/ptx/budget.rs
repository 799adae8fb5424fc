//! `kernels/budgets.toml`: what each kernel may take. A change that makes one take more fails `cargo xtask ptx`,
//! until somebody looks at it and accepts it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::manifest::KernelFigures;
use crate::workspace::Workspace;

const FILE: &str = "kernels/budgets.toml";
const ACCEPT: &str = "cargo xtask ptx --accept-budgets";
const HEADER: &str = "\
# What each kernel may take: registers per thread and bytes of shared memory per CTA as they are, instructions of
# machine code rounded up. Written by `cargo xtask ptx --accept-budgets`; `cargo xtask ptx` fails past it.
";
/// Accepted instructions are rounded up to a multiple of this, so that a budget survives a detail.
const INSTRUCTION_STEP: usize = 128;

/// What one kernel may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    /// Registers per thread at launch.
    registers: u32,
    /// Dynamic shared memory per CTA, in bytes.
    shared_bytes: u32,
    /// SASS instructions, padding included.
    instructions: usize,
}

/// Budgets by entry point.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Budgets(BTreeMap<String, Budget>);

impl Budgets {
    /// Those in the file.
    pub fn read(workspace: &Workspace) -> Result<Self> {
        let text = fs::read_to_string(path(workspace))
            .with_context(|| format!("cannot read {FILE}; `{ACCEPT}` writes it"))?;
        toml::from_str(&text).with_context(|| format!("{FILE} is not a list of budgets"))
    }

    /// What `kernels` take now.
    pub fn of<'a>(kernels: impl IntoIterator<Item = &'a KernelFigures>) -> Self {
        let budget = |kernel: &KernelFigures| Budget {
            registers: kernel.registers,
            shared_bytes: kernel.shared_bytes,
            instructions: kernel.instructions.next_multiple_of(INSTRUCTION_STEP),
        };
        Self(kernels.into_iter().map(|kernel| (kernel.name.clone(), budget(kernel))).collect())
    }

    /// Replaces the file.
    pub fn write(&self, workspace: &Workspace) -> Result<()> {
        let text = format!("{HEADER}\n{}", toml::to_string(self)?);
        fs::write(path(workspace), text).with_context(|| format!("cannot write {FILE}"))
    }

    /// Whether every kernel keeps to its budget.
    ///
    /// # Errors
    /// One that lists every excess with kernel, quantity, budget and what was found; also kernels without a
    /// budget, and budgets without a kernel.
    pub fn check<'a>(&self, kernels: impl IntoIterator<Item = &'a KernelFigures>) -> Result<()> {
        let mut problems = Vec::new();
        let mut unused = self.0.clone();
        for kernel in kernels {
            match unused.remove(&kernel.name) {
                Some(budget) => problems.extend(budget.excesses(kernel)),
                None => problems.push(format!("{}: no budget", kernel.name)),
            }
        }
        problems.extend(unused.into_keys().map(|name| format!("{name}: a budget, but no kernel")));
        if problems.is_empty() {
            return Ok(());
        }
        bail!(
            "the kernels do not keep to {FILE}:\n  {}\nif that is meant, `{ACCEPT}`",
            problems.join("\n  ")
        )
    }
}

impl Budget {
    /// A line for each quantity past the budget.
    fn excesses(&self, kernel: &KernelFigures) -> impl Iterator<Item = String> {
        let quantities = [
            ("registers", self.registers as usize, kernel.registers as usize),
            ("bytes of shared memory", self.shared_bytes as usize, kernel.shared_bytes as usize),
            ("instructions", self.instructions, kernel.instructions),
        ];
        let past = quantities.into_iter().filter(|(_, budget, found)| found > budget);
        let name = kernel.name.clone();
        past.map(move |(quantity, budget, found)| {
            format!("{name}: {quantity}: budget {budget}, found {found}")
        })
    }
}

fn path(workspace: &Workspace) -> PathBuf {
    workspace.root.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(
        name: &str,
        registers: u32,
        shared_bytes: u32,
        instructions: usize,
    ) -> KernelFigures {
        KernelFigures {
            name: name.to_owned(),
            threads: 128,
            ctas_per_sm: 1,
            cluster: 1,
            tensor_maps: 0,
            shared_bytes,
            registers,
            barriers: 0,
            instructions,
            hgmma: 0,
            utmaldg: 0,
        }
    }

    fn problem(budgets: &Budgets, kernels: &[KernelFigures]) -> String {
        budgets.check(kernels).expect_err("past the budget").to_string()
    }

    #[test]
    fn what_was_accepted_passes() {
        let kernels = [figures("decode", 168, 4096, 1000), figures("combine", 80, 0, 128)];
        let budgets = Budgets::of(&kernels);
        budgets.check(&kernels).unwrap();
        // Less is fine, and so is a detail more of code.
        budgets.check(&[figures("decode", 160, 0, 1024), figures("combine", 8, 0, 8)]).unwrap();
    }

    #[test]
    fn each_quantity_has_its_budget() {
        let budgets = Budgets::of(&[figures("decode", 168, 4096, 1000)]);
        for (found, expected) in [
            ((169, 4096, 1000), "decode: registers: budget 168, found 169"),
            ((168, 4097, 1000), "decode: bytes of shared memory: budget 4096, found 4097"),
            ((168, 4096, 1025), "decode: instructions: budget 1024, found 1025"),
        ] {
            let (registers, shared_bytes, instructions) = found;
            let kernels = [figures("decode", registers, shared_bytes, instructions)];
            let message = problem(&budgets, &kernels);
            assert!(message.contains(expected), "{message}");
            assert_eq!(message.matches("decode: ").count(), 1, "{message}");
        }
    }

    #[test]
    fn kernels_and_budgets_belong_together() {
        let budgets = Budgets::of(&[figures("decode", 168, 0, 8)]);
        let message = problem(&budgets, &[figures("combine", 1, 0, 8)]);
        assert!(message.contains("combine: no budget"), "{message}");
        assert!(message.contains("decode: a budget, but no kernel"), "{message}");
    }

    #[test]
    fn the_file_says_what_was_written() {
        let budgets = Budgets::of(&[figures("b", 1, 2, 3), figures("a", 4, 5, 600)]);
        let text = format!("{HEADER}\n{}", toml::to_string(&budgets).unwrap());
        assert_eq!(toml::from_str::<Budgets>(&text).unwrap(), budgets);
        assert!(
            text.contains("[b]\nregisters = 1\nshared_bytes = 2\ninstructions = 128\n"),
            "{text}"
        );
        assert!(toml::from_str::<Budgets>("[a]\nregisters = 1\n").is_err());
    }
}
