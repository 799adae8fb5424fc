//! The recorded kernels, one instruction each, as PTX text: independent of the Rust kernels and their compiler.
//!
//! All run with 128 threads per CTA; every parameter but the tensor map is 64 bits wide.

use std::fmt::Write;

use oxmla_simt::wgmma::{Mma, Type};

use crate::cases::{Function, OPERAND_BYTES};

const HEAD: &str = ".version 8.3\n.target sm_90a\n.address_size 64\n\
                    .extern .shared .align 1024 .b8 memory[];\n";

fn list(register: char, count: u32) -> String {
    let names: Vec<String> = (0..count).map(|i| format!("%{register}{i}")).collect();
    names.join(", ")
}

fn name(ty: Type) -> &'static str {
    match ty {
        Type::Bf16 => "bf16",
        Type::F16 => "f16",
        Type::E4m3 => "e4m3",
        Type::E5m2 => "e5m2",
    }
}

/// Copies both operands to shared memory, loads accumulators and fragment, multiplies once, stores.
///
/// Parameters: A, B `[8192 bytes]`, fragments `[128][4] b32`, D `[128][n / 2] f32`, descriptors of A and B for
/// shared memory at 0.
pub fn multiply(form: &Mma, a_in_registers: bool) -> String {
    let count = form.n / 2;
    let mut s = format!(
        "{HEAD}.visible .entry probe(.param .u64 a, .param .u64 b, .param .u64 f, .param .u64 d, \
         .param .u64 da, .param .u64 db)\n.maxntid 128, 1, 1\n{{\n\
         .reg .b32 %r<12>;\n.reg .b64 %x<12>;\n.reg .b32 %a<4>;\n.reg .f32 %d<{count}>;\n.reg .pred %p;\n\
         mov.u32 %r0, %tid.x;\nmov.u32 %r1, memory;\nshl.b32 %r2, %r0, 4;\ncvt.u64.u32 %x0, %r2;\n\
         add.u32 %r3, %r1, %r2;\n"
    );
    for (operand, at) in [("a", 0), ("b", OPERAND_BYTES)] {
        let _ = write!(s, "ld.param.u64 %x1, [{operand}];\nadd.u64 %x1, %x1, %x0;\n");
        for chunk in (0..OPERAND_BYTES).step_by(128 * 16) {
            let _ = write!(
                s,
                "ld.global.v4.b32 {{%r4, %r5, %r6, %r7}}, [%x1+{chunk}];\n\
                 st.shared.v4.b32 [%r3+{}], {{%r4, %r5, %r6, %r7}};\n",
                at + chunk
            );
        }
    }
    let _ = write!(
        s,
        "fence.proxy.async.shared::cta;\nbar.sync 0;\n\
         ld.param.u64 %x2, [f];\nadd.u64 %x2, %x2, %x0;\n\
         ld.global.v4.b32 {{{}}}, [%x2];\n\
         ld.param.u64 %x3, [d];\nmul.wide.u32 %x4, %r0, {};\nadd.u64 %x3, %x3, %x4;\n",
        list('a', 4),
        4 * count
    );
    for i in 0..count {
        let _ = writeln!(s, "ld.global.f32 %d{i}, [%x3+{}];", 4 * i);
    }
    // Addresses in descriptors are in units of 16 bytes.
    s.push_str(
        "shr.u32 %r8, %r1, 4;\ncvt.u64.u32 %x5, %r8;\n\
         ld.param.u64 %x6, [da];\nadd.u64 %x6, %x6, %x5;\n\
         ld.param.u64 %x7, [db];\nadd.u64 %x7, %x7, %x5;\n\
         setp.eq.u32 %p, 0, 0;\nwgmma.fence.sync.aligned;\n",
    );
    let left = if a_in_registers { format!("{{{}}}", list('a', 4)) } else { "%x6".to_owned() };
    let transposes = match (form.a.bytes(), a_in_registers) {
        (1, _) => String::new(),
        (_, true) => format!(", {}", u32::from(form.transpose_b)),
        _ => format!(", {}, {}", u32::from(form.transpose_a), u32::from(form.transpose_b)),
    };
    let _ = write!(
        s,
        "wgmma.mma_async.sync.aligned.m64n{}k{}.f32.{}.{} {{{}}}, {left}, %x7, %p, 1, 1{transposes};\n\
         wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n",
        form.n,
        form.a.k(),
        name(form.a),
        name(form.b),
        list('d', count)
    );
    for i in 0..count {
        let _ = writeln!(s, "st.global.f32 [%x3+{}], %d{i};", 4 * i);
    }
    s.push_str("ret;\n}\n");
    s
}

/// Clears shared memory, loads one box and writes its image out.
///
/// Parameters: tensor map, output, bytes of the image (the gaps in narrow rows included), bytes of the box,
/// coordinates.
pub fn load(rank: usize) -> String {
    let mut s = format!(
        "{HEAD}.visible .entry probe(.param .align 64 .b8 map[128], .param .u64 o, .param .u64 n, .param .u64 t"
    );
    for d in 0..rank {
        let _ = write!(s, ", .param .u64 c{d}");
    }
    s.push_str(
        ")\n.maxntid 128, 1, 1\n{\n.reg .b32 %r<8>;\n.reg .b32 %c<5>;\n.reg .b64 %x<8>;\n.reg .pred %p<2>;\n\
         mov.u32 %r0, %tid.x;\nmov.u32 %r1, memory;\nadd.u32 %r2, %r1, 16384;\n\
         ld.param.u32 %r3, [n];\nld.param.u32 %r7, [t];\nld.param.u64 %x1, [o];\n\
         mov.u32 %r5, 0;\nshl.b32 %r4, %r0, 4;\nadd.u32 %r6, %r1, %r4;\n\
         clear:\nst.shared.v4.b32 [%r6], {%r5, %r5, %r5, %r5};\nadd.u32 %r6, %r6, 2048;\n\
         setp.lt.u32 %p1, %r6, %r2;\n@%p1 bra clear;\nfence.proxy.async.shared::cta;\nbar.sync 0;\n\
         mov.b64 %x0, map;\ncvta.param.u64 %x0, %x0;\nsetp.ne.u32 %p0, %r0, 0;\n",
    );
    for d in 0..rank {
        let _ = writeln!(s, "ld.param.u32 %c{d}, [c{d}];");
    }
    let _ = write!(
        s,
        "@%p0 bra issued;\nmbarrier.init.shared::cta.b64 [%r2], 1;\n\
         fence.mbarrier_init.release.cluster;\n\
         mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], %r7;\n\
         cp.async.bulk.tensor.{rank}d.shared::cluster.global.tile.mbarrier::complete_tx::bytes \
         [%r1], [%x0, {{{}}}], [%r2];\n\
         issued:\nbar.sync 0;\n\
         wait:\nmbarrier.try_wait.parity.shared::cta.b64 %p1, [%r2], 0;\n@!%p1 bra wait;\n\
         shl.b32 %r4, %r0, 2;\n\
         copy:\nsetp.ge.u32 %p1, %r4, %r3;\n@%p1 bra done;\n\
         add.u32 %r5, %r1, %r4;\nld.shared.b32 %r6, [%r5];\n\
         cvt.u64.u32 %x2, %r4;\nadd.u64 %x2, %x1, %x2;\nst.global.b32 [%x2], %r6;\n\
         add.u32 %r4, %r4, 512;\nbra copy;\ndone:\nret;\n}}\n",
        list('c', rank as u32)
    );
    s
}

/// Applies a function to pairs of numbers.
///
/// Parameters: input `[n][2] f32`, output `[n] b32`, n.
pub fn function(function: Function) -> String {
    let body = match function {
        Function::Exp2 => "ex2.approx.ftz.f32 %f2, %f0;\nmov.b32 %r4, %f2;",
        Function::Log2 => "lg2.approx.ftz.f32 %f2, %f0;\nmov.b32 %r4, %f2;",
        Function::Recip => "rcp.approx.ftz.f32 %f2, %f0;\nmov.b32 %r4, %f2;",
        Function::Rsqrt => "rsqrt.approx.ftz.f32 %f2, %f0;\nmov.b32 %r4, %f2;",
        Function::Max => "max.f32 %f2, %f0, %f1;\nmov.b32 %r4, %f2;",
        Function::PackBf16 => "cvt.rn.bf16x2.f32 %r4, %f1, %f0;",
        Function::PackF16 => "cvt.rn.f16x2.f32 %r4, %f1, %f0;",
        Function::PackE4m3 => "cvt.rn.satfinite.e4m3x2.f32 %h, %f1, %f0;\ncvt.u32.u16 %r4, %h;",
    };
    format!(
        "{HEAD}.visible .entry probe(.param .u64 i, .param .u64 o, .param .u64 n)\n.maxntid 128, 1, 1\n{{\n\
         .reg .b16 %h;\n.reg .b32 %r<8>;\n.reg .b64 %x<8>;\n.reg .f32 %f<3>;\n.reg .pred %p;\n\
         mov.u32 %r0, %ctaid.x;\nmov.u32 %r1, %tid.x;\nmad.lo.u32 %r2, %r0, 128, %r1;\n\
         ld.param.u32 %r3, [n];\nsetp.ge.u32 %p, %r2, %r3;\n@%p bra done;\n\
         ld.param.u64 %x0, [i];\nmul.wide.u32 %x1, %r2, 8;\nadd.u64 %x0, %x0, %x1;\n\
         ld.global.v2.f32 {{%f0, %f1}}, [%x0];\n{body}\n\
         ld.param.u64 %x2, [o];\nmul.wide.u32 %x3, %r2, 4;\nadd.u64 %x2, %x2, %x3;\n\
         st.global.b32 [%x2], %r4;\ndone:\nret;\n}}\n"
    )
}
