//! Every function of `ptx` has its twin in `simulated`, and the other way round: a kernel that compiles for the
//! GPU compiles for the SIMT machine.

use std::collections::BTreeSet;
use std::path::Path;

/// Names of the public functions of a module: those it defines, by itself or as arguments of its macro, and
/// those it re-exports.
fn functions(source: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in source.lines().map(str::trim) {
        if let Some((_, rest)) =
            line.split_once("fn ").filter(|(before, _)| before.starts_with("pub"))
        {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            names.insert(rest[..end].to_owned());
        } else if let Some((_, arguments)) =
            line.split_once("_for!(").filter(|(before, _)| before.starts_with("multiply"))
        {
            names.extend(arguments.split(", ").filter(|a| a.starts_with("m64")).map(str::to_owned));
        } else if let Some(path) = line.strip_prefix("pub use oxmla_simt::") {
            let (_, list) = path.split_once("::").expect("a module and its functions");
            let list = list.trim_end_matches(';').trim_matches(['{', '}']);
            names.extend(list.split(", ").map(str::to_owned));
        }
    }
    names.remove("");
    names
}

#[test]
fn ptx_and_simulated_have_the_same_functions() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules = 0;
    for entry in std::fs::read_dir(sources.join("ptx")).expect("src/ptx") {
        let name = entry.expect("an entry").file_name();
        let read = |room: &str| std::fs::read_to_string(sources.join(room).join(&name));
        let ptx = functions(&read("ptx").expect("a source file"));
        let twin = functions(&read("simulated").unwrap_or_default());
        assert_eq!(ptx, twin, "{}: left ptx, right simulated", name.display());
        modules += usize::from(!ptx.is_empty());
    }
    assert!(modules > 10, "functions are found at all");
}
