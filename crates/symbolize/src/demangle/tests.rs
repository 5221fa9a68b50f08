//! Tests of names for people: tables of our rules, and the corpora of binutils and LLVM.

use std::path::Path;

use super::*;

#[test]
#[rustfmt::skip]
fn names_are_shown_as_in_the_source() {
    let native = FrameKind::Native;
    let rust = FrameKind::Rust;
    let cases = [
        ("plain C", "main", "main", native),
        ("C with underscores", "__libc_start_main", "__libc_start_main", native),
        ("Rust, legacy", "_ZN4core3ptr13drop_in_place17h0123456789abcdefE", "core::ptr::drop_in_place", rust),
        ("Rust, legacy, generics", "_ZN60_$LT$alloc..string..String$u20$as$u20$core..fmt..Display$GT$3fmt17h0123456789abcdefE",
            "<alloc::string::String as core::fmt::Display>::fmt", rust),
        ("Rust, legacy, clone", "_ZN4core3ptr13drop_in_place17h0123456789abcdefE.llvm.1234567890", "core::ptr::drop_in_place", rust),
        ("Rust, legacy, cold clone", "_ZN4core3ptr13drop_in_place17h0123456789abcdefE.cold", "core::ptr::drop_in_place", rust),
        ("Rust, v0", "_RNvCskwGfYPst2Cb_3foo3bar", "foo::bar", rust),
        ("Rust, v0, generics", "_RINvCs1234_7mycrate3fooNtB2_3BarE", "mycrate::foo::<mycrate::Bar>", rust),
        ("Rust, v0, clone", "_RNvCskwGfYPst2Cb_3foo3bar.llvm.1234", "foo::bar", rust),
        ("C++ without a hash is not Rust", "_ZN5space3fooEibc", "space::foo", native),
        ("C++ function", "_Z3fooi", "foo", native),
        ("C++ template", "_Z3fooIiEvT_", "foo<int>", native),
        ("C++ method", "_ZNK3Foo3barEv", "Foo::bar", native),
        ("C++ constructor", "_ZN3FooC1Ev", "Foo::Foo", native),
        ("C++ destructor", "_ZN3FooD0Ev", "Foo::~Foo", native),
        ("C++ operator", "_ZN3FooplERKS_", "Foo::operator+", native),
        ("C++ standard library", "_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back", native),
        ("C++ lambda", "_ZZ4mainENKUlvE_clEv", "main::{lambda()#1}::operator()", native),
        ("C++ anonymous namespace", "_ZN12_GLOBAL__N_13fooEv", "(anonymous namespace)::foo", native),
        ("C++ vtable", "_ZTV3Foo", "{vtable(Foo)}", native),
        ("C++ thunk", "_ZThn8_N3Foo3barEv", "{virtual override thunk({offset(-8)}, Foo::bar)}", native),
        ("C++ clone", "_Z3fooi.isra.0.cold", "foo", native),
        ("no C++ after all", "_Zork", "_Zork", native),
        ("version", "memcpy@@GLIBC_2.14", "memcpy", native),
        ("version of C++", "_ZNSt6vectorIiSaIiEE9push_backERKi@GLIBCXX_3.4", "std::vector<int, std::allocator<int> >::push_back", native),
        ("cold part", "do_work.cold", "do_work", native),
        ("specialised", "do_work.constprop.0", "do_work", native),
        ("split twice", "do_work.isra.12.part.3", "do_work", native),
        ("LTO", "do_work.lto_priv.0", "do_work", native),
        ("thin LTO", "do_work.llvm.14382958342043", "do_work", native),
        ("number alone may be a function's own", "counter.1234", "counter.1234", native),
        ("Go closure", "main.main.func1", "main.main.func1", native),
        ("Go method", "net/http.(*conn).serve", "net/http.(*conn).serve", native),
        ("suffix only", ".cold", ".cold", native),
        ("empty", "", "", native),
        ("dots", "...", "...", native),
        ("at sign", "@", "@", native),
    ];
    for (case, raw, want, kind) in cases {
        assert_eq!(demangle(raw), Demangled { name: want.into(), kind }, "{case}: {raw}");
    }
}

#[test]
fn names_that_need_no_change_are_borrowed() {
    assert!(matches!(demangle("main").name, Cow::Borrowed("main")));
    assert!(matches!(demangle("main.cold").name, Cow::Borrowed("main")));
}

#[test]
fn hostile_names_are_bounded() {
    let nested = |levels: usize| format!("_Z1f{}i", "P".repeat(levels));
    let mut doubling = "_Z1f".to_owned();
    for _ in 0..60 {
        doubling.push_str("I1AS_S_E");
    }
    let hostile = [
        "x".repeat(100_000),
        "é".repeat(50_000),
        "_Z".to_owned() + &"N".repeat(10_000),
        format!("_ZN{}E", "1a".repeat(6000)),
        format!("_RN{}", "v".repeat(10_000)),
        format!("_R{}", "I".repeat(16_000)),
        format!("_ZN{}17h0123456789abcdefE", "1a".repeat(7000)),
        nested(80),
        nested(10_000),
        doubling,
        "a".to_owned() + &".cold".repeat(3000),
        "_Z1fIJ".to_owned() + &"i".repeat(15_000) + "EEvDpT_",
    ];
    for raw in hostile {
        let shown = demangle(&raw);
        assert!(shown.name.len() <= NAME_BYTES_MAX, "{}…: {}", &raw[..10], shown.name.len());
        assert!(!shown.name.is_empty());
    }
    let cut = demangle(&"é".repeat(50_000)).name.into_owned();
    assert!(cut.ends_with("éé…"), "a cut name says so");
    assert!(cut.len() > NAME_BYTES_MAX - 8);
}

/// The lines of a corpus file; none if the corpora are not here.
fn corpus(name: &str) -> Option<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora/demangle").join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text.lines().map(str::to_owned).collect()),
        Err(error) => {
            print_line(&format!("skipped: {}: {error}", path.display()));
            None
        }
    }
}

fn print_line(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Cases of binutils' format: options, mangled, expected, and with `--no-params` expected without.
fn libiberty_cases(name: &str) -> Vec<(String, String, String)> {
    let Some(lines) = corpus(name) else { return Vec::new() };
    let mut lines = lines.into_iter().filter(|line| !line.starts_with('#'));
    let mut cases = Vec::new();
    while let (Some(options), Some(mangled), Some(mut expected)) = (lines.next(), lines.next(), lines.next())
    {
        if options.contains("--no-params") {
            expected = lines.next().unwrap_or_default();
        }
        cases.push((options, mangled, expected));
    }
    cases
}

/// Fails if a name is shown differently from `expected`, except where it is known and told why.
fn check_corpus(cases: &[(String, String)], known: &[(&str, &str)]) {
    let mut differences = Vec::new();
    for (mangled, expected) in cases {
        let shown = demangle(mangled).name;
        let is_known = known.iter().any(|(name, _)| name == mangled);
        if (shown == *expected) == is_known {
            differences.push(format!("{mangled}\n  {expected}\n  {shown}"));
        }
    }
    assert_eq!(differences.len(), 0, "of {}\n{}", cases.len(), differences.join("\n"));
}

const NOT_ESCAPED: &str = "letters of all scripts are shown, not escaped";

#[test]
fn binutils_rust_names_are_read_as_binutils_reads_them() {
    let cases: Vec<_> = libiberty_cases("rust-demangle-expected")
        .into_iter()
        .map(|(_, mangled, expected)| (mangled, expected))
        // The corpus names this one twice: with the hash as C++, without it as Rust.
        .filter(|(_, expected)| expected != "main::main::he714a2e23ed7db23")
        .collect();
    check_corpus(&cases, &[("_RMCs4fqI2P2rA04_13const_genericINtB0_4CharKc2202_E", NOT_ESCAPED)]);
}

#[test]
fn llvm_rust_names_are_read_as_llvm_reads_them() {
    let Some(lines) = corpus("rust.test") else { return };
    let mut cases = Vec::new();
    let mut expected = None;
    for line in lines {
        if let Some(name) = line.strip_prefix("CHECK:") {
            expected = Some(name.trim().to_owned());
        } else if let Some(expected) = expected.take() {
            // Where LLVM gives up because a name breaks a rule, our demangler may be more lenient.
            cases.push((line.trim().to_owned(), expected));
        }
    }
    cases.retain(|(mangled, expected)| mangled != expected);
    let many_lifetimes = "_RIC7bindersFGs_RLt_RLs_RLr_RLq_RLp_RLo_RLn_RLm_RLl_RLk_RLj_RLi_RLh_RLg_RLf_RLe_RLd_RLc_RLb_RLa_RL9_RL8_RL7_RL6_RL5_RL4_RL3_RL2_RL1_RL0_uEuE";
    let known = [
        ("_RIC4charKc1f40d_E", NOT_ESCAPED),
        ("_RC3dot.llvm.1234", "suffixes of clones are cut off"),
        ("_RC3dotC5crate.llvm.6789", "suffixes of clones are cut off"),
        ("_RIC5traitFG_DG_EL0_EuE", "one more space"),
        (many_lifetimes, "the 27th lifetime has another name"),
    ];
    check_corpus(&cases, &known);
}

#[test]
fn binutils_cpp_names_are_read_as_binutils_reads_them_without_parameters() {
    let cases: Vec<_> = libiberty_cases("demangle-expected")
        .into_iter()
        .filter(|(options, mangled, _)| options.contains("--no-params") && mangled.starts_with("_Z"))
        .map(|(_, mangled, expected)| (mangled, expected))
        .collect();
    let not_read = "the demangler does not know this construct";
    let known = [
        (
            "_Z1fILi1ELc120EEv1AIXplT_cviLd810000000000000000703DAD7A370C5EEE",
            "types of literals are left out",
        ),
        ("_ZN1KIXadL_ZN1S1mEiEEE1fEv", "a function as a template argument keeps its parameters"),
        ("_ZN1AcvT_IiEI1CEEv", not_read),
        ("_Z3xxxDFyuVb", not_read),
        (
            "_ZN13PatternDriver23StringScalarDeleteValueC1ERKNS_25ConflateStringScalarValueERKNS_25AbstractStringScalarValueERKNS_12TemplateEnumINS_12pdcomplementELZNS_16complement_namesEELZNS_14COMPLEMENTENUMEEEE",
            "a mangling of old compilers, against the standard",
        ),
    ];
    check_corpus(&cases, &known);
}
