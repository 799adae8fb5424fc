use oxmla_kernels::launch::Kernel;

use super::*;

const PTX: &str = "\
// Generated
.version 8.3
.target sm_90a
.address_size 64
.extern .shared .align 1024 .b8 dynamic_shared[];
.const .align 4 .u32 table[2] = {1, 2};
.visible .entry one(
\t.param .u32 one_param_0
)
.maxntid 128, 1, 1
{
\tmov.b32 %r1, dynamic_shared;
\t{
\tret;
\t}
}
.visible .entry two()
{
\tld.const.u32 %r1, [table+4];
}
.visible .entry three()
{
\tmov.b32 %r1, not_dynamic_shared;
}
";

const fn kernel(name: &'static str) -> Kernel {
    Kernel { name, threads: 128, ctas_per_sm: 1, cluster: 1, tensor_maps: 0, shared_bytes: 0 }
}

const ONE: &[Kernel] = &[kernel("one")];
const OTHER: &[Kernel] = &[kernel("four")];
const REST: &[Kernel] = &[kernel("three"), kernel("two")];

fn module(name: &'static str, kernels: &'static [Kernel]) -> Module {
    Module { name, kernels }
}

fn error(ptx: &str, modules: &[Module]) -> String {
    split(ptx, modules).expect_err("must be refused").to_string()
}

#[test]
fn each_module_has_its_kernels_and_what_they_refer_to() {
    let head = PTX.split_inclusive('\n').take(4).collect::<String>();
    let [a, b]: [String; 2] =
        split(PTX, &[module("a", ONE), module("b", REST)]).unwrap().try_into().unwrap();
    assert!(a.starts_with(&format!("{head}.extern .shared .align 1024 .b8 dynamic_shared[];\n")));
    assert!(a.ends_with("\t}\n}\n") && a.contains("entry one(") && !a.contains("table"), "{a}");
    assert!(b.starts_with(&format!("{head}.const .align 4 .u32 table[2] = {{1, 2}};\n")), "{b}");
    assert!(!b.contains(".extern"), "{b}");
    assert!(b.find("entry two").unwrap() < b.find("entry three").unwrap(), "{b}");
}

#[test]
fn a_kernel_is_in_one_module() {
    let none = error(PTX, &[module("a", ONE)]);
    assert_eq!(none, "`two` must be in one module, but is in []");
    let two = error(PTX, &[module("a", ONE), module("b", REST), module("c", ONE)]);
    assert_eq!(two, "`one` must be in one module, but is in [\"a\", \"c\"]");
    let absent = error(PTX, &[module("a", ONE), module("b", REST), module("c", OTHER)]);
    assert_eq!(absent, "the PTX has `four` 0 times");
}

#[test]
fn what_cannot_be_divided_is_refused() {
    let modules = [module("a", ONE), module("b", REST)];
    for (added, expected) in [
        ("\tret;\n", "neither an entry nor a declaration"),
        (".visible .entry one()\n{\n}\n", "`one` 2 times"),
        (".visible .entry four()\n{\n", "does not end"),
    ] {
        let found = error(&format!("{PTX}{added}"), &modules);
        assert!(found.contains(expected), "{found}");
    }
}
