//! Gives the library the name of the driver's: once it is loaded, whoever asks the dynamic linker for the driver
//! gets it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The feature `cuda`, which the driver is for, is for Linux alone; others need not be able to link this.
    if std::env::var_os("CARGO_CFG_TARGET_OS").is_some_and(|system| system == "linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libcuda.so.1");
    }
}
