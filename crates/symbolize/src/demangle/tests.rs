//! Tests of names for people: tables of our rules. `tests/files.rs` has those of other demanglers.

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
