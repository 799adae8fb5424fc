//! One hash over everything the PTX is made of, so that a stale file is noticed without a compiler.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, MetadataCommand, PackageId};
use oxmla_kernels::launch::KERNELS;
use sha2::{Digest, Sha256};

use super::compile::{RUSTFLAGS, TARGET};
use crate::workspace::Workspace;

/// SHA-256, in hex, of the kernel sources and manifest, the crates they build with, the compiler's flags
/// and the launch table.
pub fn fingerprint(workspace: &Workspace) -> Result<String> {
    let kernels = workspace.root.join("kernels");
    let mut files = vec![kernels.join("Cargo.toml")];
    rust_files(&kernels.join("src"), &mut files)?;
    files.sort();

    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for file in files {
        let name = file.strip_prefix(&kernels)?.to_string_lossy().replace('\\', "/");
        field(name.as_bytes());
        field(&fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?);
    }
    for dependency in dependencies(&kernels)? {
        field(dependency.as_bytes());
    }
    field(RUSTFLAGS.as_bytes());
    field(format!("{KERNELS:?}").as_bytes());
    Ok(hex(&hash.finalize()))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every `.rs` file below `directory`.
fn rust_files(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// Name and version of each crate that the kernels build with on the GPU's target, sorted. Not features:
/// those that cargo reports are unified with the host crates'.
fn dependencies(kernels: &Path) -> Result<Vec<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(kernels.join("Cargo.toml"))
        .other_options(["--filter-platform".into(), TARGET.into()])
        .exec()?;
    let root = metadata.root_package().context("kernels/ is a package")?.id.clone();
    let resolve = metadata.resolve.as_ref().context("cargo resolves dependencies")?;

    let mut seen: Vec<&PackageId> = vec![&root];
    let mut next = 0;
    while next < seen.len() {
        let node = resolve.nodes.iter().find(|node| node.id == *seen[next]);
        next += 1;
        let Some(node) = node else { continue };
        for dependency in &node.deps {
            let built = dependency.dep_kinds.iter().any(|k| k.kind != DependencyKind::Development);
            if built && !seen.contains(&&dependency.pkg) {
                seen.push(&dependency.pkg);
            }
        }
    }
    let mut crates: Vec<String> = seen[1..]
        .iter()
        .map(|id| format!("{} {}", metadata[id].name, metadata[id].version))
        .collect();
    crates.sort();
    Ok(crates)
}
