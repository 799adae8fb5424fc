//! The committed header is that of these sources.

use std::fs;
use std::path::Path;

/// Writes the header anew if it is stale, and fails then: the next run passes, and the change is there to commit.
#[test]
fn the_header_is_that_of_the_sources() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut header = Vec::new();
    cbindgen::generate(package).expect("the sources have a C interface").write(&mut header);
    let path = package.join("include/oxmla.h");
    if fs::read(&path).is_ok_and(|committed| committed == header) {
        return;
    }
    fs::write(&path, header).expect("the header can be written");
    panic!("include/oxmla.h was stale; it has been written anew, commit it");
}
