use super::check;

/// A kernel of that body.
fn kernel(body: &str) -> String {
    format!(".visible .entry kernel(\n)\n{{\n{body}\n\tret;\n}}\n")
}

/// What LLVM made of `if thread == 255 { wait } barrier; if thread == 255 { … }`.
#[test]
fn a_barrier_in_both_branches_of_a_lane_is_found() {
    let ptx = kernel(
        "	mov.u32 %r1, %tid.x;
	setp.ne.b32 %p1, %r1, 255;
	@%p1 bra $L1;
$L0:
	ld.acquire.gpu.global.b32 %r2, [%rd1];
	setp.lt.u32 %p2, %r2, 4;
	@%p2 bra $L0;
	bar.sync 3, 256;
	atom.relaxed.gpu.global.add.u32 %r3, [%rd1], 1;
	bra.uni $L2;
$L1:
	bar.sync 3, 256;
$L2:
	bar.sync 4, 256;",
    );
    let error = check(&ptx).expect_err("two barriers").to_string();
    assert_eq!(error.matches("kernel: bar.sync 3, 256").count(), 2, "{error}");
    assert!(!error.contains("bar.sync 4"), "lanes meet before it: {error}");
}

/// Whole warps may take different ways: by their index, or by what one lane has told the others.
#[test]
fn barriers_of_whole_warps_are_fine() {
    for condition in [
        "setp.lt.u32 %p1, %r1, 128;",
        "shr.u32 %r2, %r1, 5;\n\tsetp.eq.b32 %p1, %r2, 8;",
        "shfl.sync.idx.b32 %r2, %r1, 0, 31, -1;\n\tsetp.eq.b32 %p1, %r2, 8;",
        "ld.param.b32 %r2, [kernel_param_0];\n\tsetp.eq.b32 %p1, %r2, 8;",
    ] {
        let ptx = kernel(&format!(
            "	mov.u32 %r1, %tid.x;
	{condition}
	@%p1 bra $L1;
	bar.sync 1, 128;
	bra.uni $L2;
$L1:
	bar.sync 2, 128;
$L2:"
        ));
        assert!(check(&ptx).is_ok(), "{condition}");
    }
}

/// A lane of its own between two aligned instructions, and one that waits, in the form of an asm block.
#[test]
fn lanes_that_come_back_are_fine() {
    let ptx = kernel(
        "	mov.u32 %r1, %tid.x;
	and.b32 %r2, %r1, 31;
	setp.ne.b32 %p1, %r2, 0;
	@%p1 bra $L1;
	st.shared.b32 [%r9], %r1;
$L1:
	{ .reg .pred done;
mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 done, [%r3], %r4;
selp.b32 %r5, 1, 0, done; }
	setp.eq.b32 %p2, %r5, 0;
	@%p2 bra $L1;
	wgmma.fence.sync.aligned;",
    );
    assert!(check(&ptx).is_ok());
}

/// What lanes have chosen while they were apart still parts them afterwards.
#[test]
fn what_was_chosen_apart_is_followed() {
    let ptx = kernel(
        "	mov.u32 %r1, %tid.x;
	mov.b32 %r2, 0;
	setp.eq.b32 %p1, %r1, 7;
	@%p1 bra $L1;
	mov.b32 %r2, 1;
$L1:
	setp.eq.b32 %p2, %r2, 0;
	@%p2 bra $L2;
	bar.sync 1, 128;
$L2:",
    );
    assert!(check(&ptx).is_err());
}

/// A way that ends in a trap is none: the lanes meet where the others go.
#[test]
fn traps_are_no_way_out() {
    let ptx = kernel(
        "	mov.u32 %r1, %tid.x;
	setp.eq.b32 %p1, %r1, 7;
	@%p1 bra $L1;
	st.shared.b32 [%r9], %r1;
	setp.eq.b32 %p2, %r8, 0;
	@%p2 bra $L3;
$L1:
	bar.sync 1, 128;
	bra.uni $L4;
$L3:
	trap;
$L4:",
    );
    assert!(check(&ptx).is_ok());
}
