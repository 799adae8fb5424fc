//! `cargo xtask sass`: what the assembler made of a kernel.

pub mod listing;

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::{Context, Result};

use self::listing::Listing;
use crate::cuda_tools;
use crate::ptx::Built;
use crate::ptx::module::Module;
use crate::ptx::nightly::Nightly;
use crate::workspace::Workspace;

/// What a reader looks for first: tensor cores, TMA, local memory, the two kinds of barriers.
const OPCODES_OF_INTEREST: [&str; 6] = ["HGMMA", "UTMALDG", "STL", "LDL", "BAR", "SYNCS"];
/// Enough of the histogram to see where the issue slots go.
const HISTOGRAM_LINES: usize = 12;

/// Options of `cargo xtask sass`.
#[derive(clap::Args)]
pub struct Args {
    /// Entry point, such as dense_decode_bf16
    kernel: String,
    /// Print the counts alone
    #[arg(long)]
    summary: bool,
}

/// Builds the kernels as they are, assembles the module of one, and prints it.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let (source, module) = Module::of(&args.kernel)?;
    let built = Built::new(workspace, &Nightly::find()?, source)?;
    let assembled = built.assemble(workspace, &module)?;
    if let Err(problem) = assembled.usage() {
        // The listing is how one finds out why.
        eprintln!("warning: {problem:#}");
    }
    let listings = listing::disassemble(&cuda_tools::nvdisasm(workspace)?, &assembled.cubin)?;
    let listing = listings.get(&args.kernel).context("nvdisasm does not show the kernel")?;
    let mut text = summary(&args.kernel, listing);
    if !args.summary {
        text.insert_str(0, &listing.text);
    }
    match io::stdout().lock().write_all(text.as_bytes()) {
        // `| head` is a fine way to read it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

fn summary(kernel: &str, listing: &Listing) -> String {
    let mut histogram: Vec<_> = listing.histogram().into_iter().collect();
    histogram.sort_by_key(|&(opcode, count)| (std::cmp::Reverse(count), opcode));
    let mut text = format!("\n{kernel}: {} instructions", listing.len());
    if let Some(register) = listing.highest_register() {
        write!(text, ", highest register named R{register}").expect(STRING);
    }
    text.push('\n');
    for opcode in OPCODES_OF_INTEREST {
        writeln!(text, "  {opcode:<10}{:>6}", listing.count(opcode)).expect(STRING);
    }
    text.push_str("most frequent\n");
    for (opcode, count) in histogram.iter().take(HISTOGRAM_LINES) {
        writeln!(text, "  {opcode:<10}{count:>6}").expect(STRING);
    }
    text
}

const STRING: &str = "a String takes everything";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_sorts_by_count_then_name() {
        let text = "/*0000*/ MOV R1, R2 ;\n/*0010*/ STL [R1], R7 ;\n/*0020*/ MOV R3, R4 ;\n/*0030*/ BAR.SYNC 0x0 ;\n";
        let summary = summary("k", &Listing { text: text.to_owned() });
        assert!(summary.contains("k: 4 instructions, highest register named R7\n"), "{summary}");
        assert!(summary.contains("  STL            1\n  LDL            0\n"), "{summary}");
        let frequent = summary.split_once("most frequent\n").unwrap().1;
        assert_eq!(frequent, "  MOV            2\n  BAR            1\n  STL            1\n");
    }
}
