//! The PTX of all entry points, divided among the modules that they belong to.

use anyhow::{Context, Result, bail, ensure};

use super::module::Module;
use super::patch::entry_name;

/// Lines that every module begins with.
const HEAD: [&str; 4] = ["//", ".version ", ".target ", ".address_size "];

/// PTX, taken apart. Everything stands in its order.
struct Parts<'a> {
    head: String,
    /// Name and text of what kernels refer to.
    declarations: Vec<(&'a str, &'a str)>,
    /// Name of each entry point, and its text to the closing brace.
    entries: Vec<(&'a str, String)>,
}

/// The PTX of each of `modules`: head, the declarations that its kernels refer to, and the kernels.
///
/// # Errors
/// If an entry point is in none of the modules or in two, if a module lists one that the PTX lacks, or if the PTX has
/// something else in it.
pub fn split(ptx: &str, modules: &[Module]) -> Result<Vec<String>> {
    let Parts { head, declarations, entries } = Parts::of(ptx)?;
    for (name, _) in &entries {
        let lists = |module: &&Module| module.kernels.iter().any(|kernel| kernel.name == *name);
        let owners: Vec<_> = modules.iter().filter(lists).map(|module| module.name).collect();
        ensure!(owners.len() == 1, "`{name}` must be in one module, but is in {owners:?}");
    }
    let text = |module: &Module| {
        let mut kernels = String::new();
        for kernel in module.kernels {
            let count = entries.iter().filter(|(name, _)| *name == kernel.name).count();
            ensure!(count == 1, "the PTX has `{}` {count} times", kernel.name);
        }
        for (name, text) in &entries {
            if module.kernels.iter().any(|kernel| kernel.name == *name) {
                kernels.push_str(text);
            }
        }
        let needed = declarations.iter().filter(|(name, _)| refers(&kernels, name));
        let needed: String = needed.map(|(_, line)| format!("{line}\n")).collect();
        Ok(format!("{head}{needed}{kernels}"))
    };
    modules.iter().map(text).collect()
}

impl<'a> Parts<'a> {
    fn of(ptx: &'a str) -> Result<Self> {
        let mut parts = Self { head: String::new(), declarations: Vec::new(), entries: Vec::new() };
        let mut lines = ptx.lines();
        while let Some(line) = lines.next() {
            if HEAD.iter().any(|start| line.starts_with(start)) {
                parts.head.push_str(line);
                parts.head.push('\n');
            } else if let Some(name) = entry_name(line) {
                parts.entries.push((name, entry(line, &mut lines)?));
            } else {
                let name = declared(line)
                    .with_context(|| format!("neither an entry nor a declaration: `{line}`"))?;
                parts.declarations.push((name, line));
            }
        }
        Ok(parts)
    }
}

/// An entry point from its first line to its closing brace, which stands alone.
fn entry<'a>(first: &str, lines: &mut impl Iterator<Item = &'a str>) -> Result<String> {
    let mut text = format!("{first}\n");
    for line in lines {
        text.push_str(line);
        text.push('\n');
        if line == "}" {
            return Ok(text);
        }
    }
    bail!("`{first}` does not end");
}

/// What a line declares: `x` of `.extern .shared .align 16 .b8 x[];`, `.global .u32 x;` and `.const .u32 x = 1;`.
fn declared(line: &str) -> Option<&str> {
    let text = line.strip_suffix(';').filter(|text| text.starts_with('.'))?;
    let text = text.split(['[', '=']).next()?;
    text.split_whitespace().next_back().filter(|name| !name.starts_with('.'))
}

/// Whether `name` stands in the text as a word.
fn refers(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_$%.".contains(c);
    text.match_indices(name).any(|(start, _)| {
        let (before, after) = (&text[..start], &text[start + name.len()..]);
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
