//! The library as others see it: from C, linked either way; from Python; and which symbols it has.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use libloading::Library;

const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

/// Where the libraries are. Tests of a package do not depend on its `cdylib`, so cargo is asked for it.
static LIBRARIES: LazyLock<PathBuf> = LazyLock::new(|| {
    let target =
        Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target directory");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--package", "oxmla-ffi", "--target-dir"]).arg(target);
    run(cargo.current_dir(PACKAGE));
    target.join("debug")
});

/// Runs a command that must succeed.
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
}

/// Compiles a program of `tests/c`, and runs it.
fn run_program(name: &str, linkage: &str, link: &[&str]) {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{linkage}"));
    let source = Path::new(PACKAGE).join("tests/c").join(name).with_extension("c");
    let mut cc = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
    cc.args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"]);
    cc.arg(Path::new(PACKAGE).join("include")).arg(source).arg("-o").arg(&program);
    run(cc.arg("-L").arg(&*LIBRARIES).args(link).arg("-lm"));
    run(Command::new(program).env("LD_LIBRARY_PATH", &*LIBRARIES));
}

#[test]
fn decode_from_c() {
    run_program("decode", "shared", &["-loxmla"]);
}

#[test]
fn decode_from_c_without_a_shared_library() {
    run_program("decode", "static", &["-l:liboxmla.a", "-lgcc_s", "-lpthread", "-ldl"]);
}

#[test]
fn misuse_from_c() {
    run_program("misuse", "shared", &["-loxmla"]);
}

/// The bindings of `bench/` and the tests beside them, which need nothing but Python.
#[test]
fn decode_from_python() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("note: not tested; there is no python3");
        return;
    }
    let bench = Path::new(PACKAGE).join("../../bench");
    let mut python = Command::new("python3");
    python.args(["-B", "-m", "unittest", "discover", "-s"]).arg(bench);
    run(python.env("OXMLA_LIBRARY", LIBRARIES.join("liboxmla.so")));
}

/// The driver's functions are in the library, and stay there.
#[test]
fn only_the_interface_is_visible() {
    // SAFETY: the initialisers of the library are those of Rust programs.
    let library = unsafe { Library::new(LIBRARIES.join("liboxmla.so")) }.expect("it can be loaded");
    let is_visible = |symbol: &[u8]| {
        // SAFETY: only asked for.
        unsafe { library.get::<*const ()>(symbol) }.is_ok()
    };
    assert!(is_visible(b"oxmla_decode\0"));
    assert!(!is_visible(b"cuInit\0"));
    assert!(!is_visible(b"cuLaunchKernel\0"));
}
