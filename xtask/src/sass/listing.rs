//! A kernel as nvdisasm prints it, and counts over it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process;

/// The SASS of one kernel.
pub struct Listing {
    /// nvdisasm's lines, labels included.
    pub text: String,
}

/// Disassembles every kernel of a cubin.
pub fn disassemble(nvdisasm: &Path, cubin: &Path) -> Result<BTreeMap<String, Listing>> {
    let text = process::stdout(Command::new(nvdisasm).arg("-c").arg(cubin))?;
    Ok(split(&text))
}

/// Cuts nvdisasm's output at the section of each kernel.
fn split(text: &str) -> BTreeMap<String, Listing> {
    let mut kernels: BTreeMap<String, Listing> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(section) = line.trim_start().strip_prefix(".section") {
            current = section
                .trim_start()
                .strip_prefix(".text.")
                .and_then(|section| section.split(',').next())
                .map(|name| {
                    kernels.entry(name.to_owned()).or_insert(Listing { text: String::new() })
                });
        } else if let Some(listing) = &mut current {
            listing.text.push_str(line);
            listing.text.push('\n');
        }
    }
    kernels
}

impl Listing {
    /// Each instruction, `HGMMA.64x256x16.F32.BF16 R24, R4, gdesc[UR8], R24, gsb0`, predicates left out.
    fn instructions(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter_map(|line| {
            let code = line.trim_start().strip_prefix("/*")?.split_once("*/")?.1.trim();
            let code = match code.strip_prefix('@') {
                Some(predicated) => predicated.split_once(' ')?.1.trim_start(),
                None => code,
            };
            Some(code.split(';').next()?.trim_end()).filter(|code| !code.is_empty())
        })
    }

    /// Number of instructions, padding included.
    pub fn len(&self) -> usize {
        self.instructions().count()
    }

    /// How often each opcode occurs, modifiers left out.
    pub fn histogram(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for instruction in self.instructions() {
            *counts.entry(opcode(instruction)).or_default() += 1;
        }
        counts
    }

    /// How often one opcode occurs.
    pub fn count(&self, wanted: &str) -> usize {
        self.instructions().filter(|instruction| opcode(instruction) == wanted).count()
    }

    /// Highest `R<n>` that an instruction names. The last registers of a wide operand go unnamed.
    pub fn highest_register(&self) -> Option<u32> {
        self.instructions()
            .flat_map(|code| code.split(|c: char| !c.is_ascii_alphanumeric()))
            .filter_map(|word| word.strip_prefix('R')?.parse().ok())
            .max()
    }
}

/// `HGMMA` of `HGMMA.64x256x16.F32.BF16 R24, …`.
fn opcode(instruction: &str) -> &str {
    instruction.split(['.', ' ']).next().unwrap_or(instruction)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
\t.target\tsm_90a

//--------------------- .text.first    --------------------------
\t.section\t.text.first,\"ax\",@progbits
\t.align\t128
.text.first:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
.L_x_1:
        /*0010*/               @P0 BRA `(.L_x_1) ;
        /*0020*/              @!PT HGMMA.64x256x16.F32.BF16 R24, R4, gdesc[UR80], R24, gsb0 ;
        /*0030*/                   STL.64 [R1+0x8], R130 ;
\t.section\t.nv.info,\"\",@\"SHT_CUDA_INFO\"
        /*0040*/                   NOT_CODE ;
\t.section\t.text.second,\"ax\",@progbits
        /*0000*/                   HGMMA.64x64x16.F32.BF16 R24, gdesc[UR8], RZ, !UPT ;
";

    #[test]
    fn sections_become_kernels() {
        let kernels = split(OUTPUT);
        assert_eq!(kernels.keys().collect::<Vec<_>>(), ["first", "second"]);
        assert!(!kernels["first"].text.contains("NOT_CODE"));
    }

    #[test]
    fn instructions_are_counted_by_opcode() {
        let first = &split(OUTPUT)["first"];
        assert_eq!(first.len(), 4);
        assert_eq!(
            first.histogram(),
            BTreeMap::from([("BRA", 1), ("HGMMA", 1), ("LDC", 1), ("STL", 1)])
        );
        assert_eq!(first.count("HGMMA"), 1);
        assert_eq!(first.count("LDL"), 0);
    }

    #[test]
    fn uniform_registers_do_not_count_as_registers() {
        let kernels = split(OUTPUT);
        assert_eq!(kernels["first"].highest_register(), Some(130));
        assert_eq!(kernels["second"].highest_register(), Some(24));
    }
}
