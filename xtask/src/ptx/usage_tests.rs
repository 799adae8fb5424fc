use super::*;

/// Two kernels as ptxas 13.0 reports them.
const CLEAN: &str = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'decode' for 'sm_90a'
ptxas info    : Function properties for decode
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 168 registers, used 5 barriers
ptxas info    : Compile time = 539.570 ms
ptxas info    : Compiling entry function 'combine' for 'sm_90a'
ptxas info    : Function properties for combine
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 56 registers, used 0 barriers, 1024 bytes smem
";

fn problem(line: &str) -> String {
    parse(&format!("{line}\n{CLEAN}")).expect_err("must be refused").to_string()
}

#[test]
fn registers_and_barriers_are_read() {
    assert_eq!(
        parse(CLEAN).unwrap(),
        BTreeMap::from([
            ("decode".to_owned(), Usage { registers: 168, barriers: 5 }),
            ("combine".to_owned(), Usage { registers: 56, barriers: 0 }),
        ])
    );
}

#[test]
fn serialised_wgmma_is_refused_by_kernel() {
    let message = problem(
        "ptxas info    : (C7514) Potential Performance Loss: wgmma.mma_async instructions are serialized \
         due to non wgmma instructions defining accumulator registers of a wgmma between start and end of \
         the pipeline stage in the function 'decode'",
    );
    assert!(message.contains("(C7514)") && message.contains("'decode'"), "{message}");
}

#[test]
fn an_injected_wait_is_refused_by_kernel_and_line() {
    let message = problem(
        "ptxas info    : (C7517) warpgroup.wait is injected in around line 12262 by compiler to allow use \
         of registers defined by GMMA in function 'decode'",
    );
    assert!(message.contains("line 12262") && message.contains("'decode'"), "{message}");
}

#[test]
fn ignored_setmaxnreg_is_refused() {
    let message = problem(
        "ptxas info    : (C7508) Potential Performance Loss: 'setmaxnreg' ignored; unable to determine \
         register count at entry.",
    );
    assert!(message.contains("setmaxnreg"));
}

#[test]
fn warnings_are_refused() {
    let ignored = "ptxas x.ptx, line 596; warning : .minnctapersm is ignored when neither .maxntid nor \
                   .reqntid is specified.";
    assert!(problem(ignored).contains("line 596"));
    assert!(problem("ptxas warning : Unresolved extern").contains("Unresolved"));
}

#[test]
fn stack_and_spills_are_refused_by_kernel() {
    for (part, whole) in [
        ("0 bytes stack", "8 bytes stack"),
        ("0 bytes spill stores", "4 bytes spill stores"),
        ("0 bytes spill loads", "12 bytes spill loads"),
    ] {
        let output = CLEAN.replacen(part, whole, 1);
        let message = parse(&output).expect_err("must be refused").to_string();
        assert!(message.contains("decode: ") && message.contains(whole), "{message}");
        assert!(!message.contains("combine"), "{message}");
    }
}

#[test]
fn every_problem_is_listed() {
    let output = CLEAN.replace("0 bytes stack", "8 bytes stack");
    let message = parse(&output).expect_err("must be refused").to_string();
    assert!(message.contains("decode: ") && message.contains("combine: "));
}

#[test]
fn output_of_another_shape_is_an_error() {
    assert!(parse("ptxas info    : Used 168 registers").is_err());
    assert!(parse(&CLEAN.replace("168 registers", "many registers")).is_err());
}
