//! Where things are.

use std::path::PathBuf;

use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;

/// The directories of the workspace that `cargo xtask` runs in.
pub struct Workspace {
    /// Directory of the root `Cargo.toml`.
    pub root: PathBuf,
    /// Cargo's target directory, `CARGO_TARGET_DIR` included.
    pub target: PathBuf,
}

impl Workspace {
    /// Asks cargo.
    pub fn find() -> Result<Self> {
        let metadata = MetadataCommand::new()
            .no_deps()
            .exec()
            .context("`cargo xtask` runs inside the workspace of oxmla")?;
        Ok(Self {
            root: metadata.workspace_root.into_std_path_buf(),
            target: metadata.target_directory.into_std_path_buf(),
        })
    }

    /// Where the generated PTX and its manifest are committed.
    pub fn ptx_dir(&self) -> PathBuf {
        self.root.join("host/ptx")
    }
}
