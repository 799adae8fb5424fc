//! A program starts without a driver, and says so when asked for a GPU. One test, for it needs a process in
//! which nobody has asked before.

#![cfg(feature = "cuda")]

use oxmla::Error;
use oxmla::backend::cuda::CudaDevice;

#[test]
fn the_driver_is_loaded_on_first_use() {
    assert!(!is_mapped("libcuda"), "the program links the driver's library");
    match CudaDevice::count() {
        Ok(count) => {
            assert!(count > 0);
            assert!(is_mapped("libcuda.so"));
            assert!(matches!(CudaDevice::open(count), Err(Error::OutOfRange { .. })));
        }
        Err(Error::NoDriver { reason }) => {
            assert!(!reason.is_empty());
            assert_eq!(CudaDevice::open(0).err(), Some(Error::NoDriver { reason }));
        }
        Err(other) => panic!("{other}"),
    }
}

/// Whether a library of that name is part of this process.
fn is_mapped(library: &str) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter_map(|line| line.rsplit_once('/')).any(|(_, file)| file.starts_with(library))
}
