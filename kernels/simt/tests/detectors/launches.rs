//! Launches that the device refuses, limits of registers, and panics.

use oxmla_simt::{Kind, Launch, Memory, barrier, registers, special};

use crate::support::catches;

#[track_caller]
fn refused(launch: Launch, words: &str) {
    let report = launch.run(&Memory::new(), || ()).expect_err("more than the device has");
    assert_eq!(report.kind, Kind::LaunchLimit);
    assert!(report.detail.contains(words), "{report}");
}

#[test]
fn more_than_the_device_has() {
    let launch = |threads| Launch::new("kernel", [1, 1, 1], threads);
    refused(launch(128).shared_bytes(232_449), "at most 232448");
    refused(launch(1025), "at most 1024");
    refused(launch(0), "at most 1024");
    refused(Launch::new("kernel", [1, 0, 1], 32), "grid [1, 0, 1]");
    refused(launch(384).registers(176), "176 registers for each of 384 threads");
    refused(Launch::new("kernel", [3, 1, 1], 32).cluster([2, 1, 1]), "clusters of [2, 1, 1]");
    refused(Launch::new("kernel", [32, 1, 1], 32).cluster([32, 1, 1]), "clusters of [32, 1, 1]");
    let grid = |ctas| Launch::new("kernel", [ctas, 2, 1], 32).cooperative(true);
    refused(grid(67), "134 CTAs in a cooperative grid; the device has 132 SMs");
    grid(66).run(&Memory::new(), || ()).expect("a CTA for each SM");
    let fits = launch(384).registers(168).shared_bytes(232_448);
    fits.run(&Memory::new(), || ()).expect("exactly what the device has");
}

#[test]
fn registers_outside_their_limits() {
    for count in [16, 28, 250] {
        catches(Kind::Registers, 128, "setmaxnreg.dec", |bug| {
            registers::decrease(if bug { count } else { 24 });
        });
    }
    catches(Kind::Registers, 256, "setmaxnreg.inc 24 in a warpgroup that has", |bug| {
        registers::decrease(128);
        registers::increase(if bug { 24 } else { 128 });
    });
}

#[test]
fn panic_in_the_kernel() {
    let report = catches(Kind::Panic, 32, "index out of bounds", |bug| {
        barrier::sync_threads();
        let table = std::hint::black_box([1, 2, 3]);
        let index = if bug && special::thread_index() == 5 { 3 } else { 2 };
        std::hint::black_box(table[index]);
    });
    assert_eq!(report.threads, [5]);
}
