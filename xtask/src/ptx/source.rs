//! One hash over everything the PTX is made of, so that a stale file is noticed without a compiler.

use std::fs;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, MetadataCommand, Node, PackageId};
use sha2::{Digest, Sha256};

use super::compile::{RUSTFLAGS, TARGET};
use super::module::Source;
use crate::workspace::Workspace;

/// SHA-256, in hex, of the kernel crate's manifest and `files`, the crates it builds with, the compiler's
/// flags, its feature, and the launch table by module.
///
/// `files` are those that rustc read, relative to the workspace: simulator and host-only modules are
/// not among them, and a module can join only by a change in one of them.
pub fn fingerprint(workspace: &Workspace, source: &Source, files: &[String]) -> Result<String> {
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for file in files.iter().map(String::as_str).chain(["kernels/Cargo.toml"]) {
        field(file.as_bytes());
        field(&fs::read(workspace.root.join(file)).with_context(|| format!("cannot read {file}"))?);
    }
    for dependency in dependencies(workspace)? {
        field(dependency.as_bytes());
    }
    field(RUSTFLAGS.as_bytes());
    field(source.feature.unwrap_or_default().as_bytes());
    field(format!("{:?}", source.modules()).as_bytes());
    Ok(hex(&hash.finalize()))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Name and version of each crate that the kernels build with on the GPU's target, sorted. Not features:
/// those that cargo reports are unified with the host crates'.
fn dependencies(workspace: &Workspace) -> Result<Vec<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace.root.join("kernels/Cargo.toml"))
        .other_options(["--filter-platform".into(), TARGET.into()])
        .exec()?;
    let root = metadata.root_package().context("kernels/ is a package")?;
    let resolve = metadata.resolve.as_ref().context("cargo resolves dependencies")?;
    let node = |id: &PackageId| resolve.nodes.iter().find(|node| node.id == *id);
    // Optional dependencies serve the host; the GPU's build enables no feature.
    let is_optional = |id: &PackageId| {
        root.dependencies.iter().any(|d| d.optional && d.name == *metadata[id].name)
    };

    let mut seen: Vec<&PackageId> =
        node(&root.id).into_iter().flat_map(built).filter(|id| !is_optional(id)).collect();
    let mut next = 0;
    while next < seen.len() {
        for id in node(seen[next]).into_iter().flat_map(built) {
            if !seen.contains(&id) {
                seen.push(id);
            }
        }
        next += 1;
    }
    let mut crates: Vec<String> = seen
        .into_iter()
        .map(|id| format!("{} {}", metadata[id].name, metadata[id].version))
        .collect();
    crates.sort();
    Ok(crates)
}

/// Direct dependencies that a build of the package needs, its tests left out.
fn built(node: &Node) -> impl Iterator<Item = &PackageId> {
    node.deps
        .iter()
        .filter(|dependency| {
            dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development)
        })
        .map(|dependency| &dependency.pkg)
}
