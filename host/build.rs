//! Satisfies `-lcuda`, which cust's bindings ask for, on machines without a CUDA toolkit.
//!
//! Every function of the driver that cust calls is defined in `src/backend/cuda/lazy.rs`, so the library needs
//! to be found and nothing else: an archive without members will do. Where a toolkit is installed its own
//! library is found, and not linked, for nothing is missing; other crates of the program may need it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "cuda")]
    provide_libcuda();
}

#[cfg(feature = "cuda")]
fn provide_libcuda() {
    use std::path::PathBuf;
    use std::{env, fs};

    println!("cargo::rerun-if-env-changed=CUDA_LIBRARY_PATH");
    // The directories that cust's bindings search, by the function that they search them with.
    let toolkit = find_cuda_helper::find_cuda_lib_dirs();
    if toolkit.iter().any(|directory| directory.join("libcuda.so").exists()) {
        return;
    }
    let directory = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(directory.join("libcuda.a"), "!<arch>\n").expect("OUT_DIR is writable");
    println!("cargo::rustc-link-search=native={}", directory.display());
}
