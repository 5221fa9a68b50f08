//! Tests of the kernel's symbols on texts of its own form.

use super::*;

const TEXT: &str = "\
0000000000000000 A fixed_percpu_data
0000000000001000 A cpu_debug_store
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000000 T startup_64
ffffffff81000040 t __pfx_do_work
ffffffff81000050 T do_work
ffffffff81000050 T __do_work
ffffffff81000050 W do_work_alias
ffffffff81000150 t do_work.cold
ffffffff81000200 W weak_one
ffffffff81000300 T _etext
ffffffff82000000 D some_data
ffffffff82000100 d local_data
ffffffff83000000 t init_only
ffffffffc0000000 t nf_hook\t[nf_tables]
ffffffffc0000100 d nf_data\t[nf_tables]
ffffffffc0000200 t nf_last\t[nf_tables]
ffffffffc0100000 t bpf_prog_6deef7357e7b4530_sd_fw_egress\t[bpf]
ffffffffc0100200 t bpf_prog_aaaaaaaaaaaaaaaa\t[bpf]
";

fn symbols() -> KernelSymbols {
    KernelSymbols::parse(TEXT.as_bytes()).unwrap()
}

#[test]
#[rustfmt::skip]
fn lookups_end_where_functions_end() {
    let symbols = symbols();
    let nf = Some("nf_tables");
    let bpf = Some("bpf");
    let cases = [
        ("first byte; markers are no functions", 0xffff_ffff_8100_0000, Some(("startup_64", None))),
        ("last byte before the next symbol",     0xffff_ffff_8100_003f, Some(("startup_64", None))),
        ("padding before a function",            0xffff_ffff_8100_0040, Some(("__pfx_do_work", None))),
        ("of aliases the plain global one",      0xffff_ffff_8100_0050, Some(("do_work", None))),
        ("a clone has its own entry",            0xffff_ffff_8100_0150, Some(("do_work.cold", None))),
        ("last function of the kernel",          0xffff_ffff_8100_02ff, Some(("weak_one", None))),
        ("end of the kernel's text",             0xffff_ffff_8100_0300, None),
        ("data",                                 0xffff_ffff_8200_0000, None),
        ("discarded code of the start",          0xffff_ffff_8300_0000, None),
        ("module",                               0xffff_ffff_c000_00ff, Some(("nf_hook", nf))),
        ("data of a module",                     0xffff_ffff_c000_0100, None),
        ("last function of a module",            0xffff_ffff_c000_0200, Some(("nf_last", nf))),
        ("its page and the next",                0xffff_ffff_c000_1fff, Some(("nf_last", nf))),
        ("beyond",                               0xffff_ffff_c000_2000, None),
        ("BPF program",                          0xffff_ffff_c010_01ff, Some(("bpf_prog_6deef7357e7b4530_sd_fw_egress", bpf))),
        ("last BPF program",                     0xffff_ffff_c010_0200, Some(("bpf_prog_aaaaaaaaaaaaaaaa", bpf))),
        ("end of memory",                        u64::MAX,              None),
        ("null",                                 0,                     None),
        ("per-CPU offset",                       0x1000,                None),
    ];
    for (case, address, want) in cases {
        let found = symbols.lookup(address).map(|symbol| (symbol.name, symbol.module));
        let want = want.map(|(name, module): (&str, _)| (name.to_owned(), module));
        assert_eq!(found, want, "{case}: {address:#x}");
    }
    assert_eq!(symbols.lookup(0xffff_ffff_8100_0060).unwrap().start, 0xffff_ffff_8100_0050);
}

#[test]
fn order_does_not_matter() {
    let mut lines: Vec<&str> = TEXT.lines().collect();
    lines.reverse();
    let reversed = KernelSymbols::parse(lines.join("\n").as_bytes()).unwrap();
    for address in
        (0xffff_ffff_8100_0000..0xffff_ffff_8100_0400).chain(0xffff_ffff_c000_0000..0xffff_ffff_c000_0300)
    {
        let (a, b) = (symbols(), &reversed);
        if address % 16 == 0 {
            assert_eq!(a.lookup(address), b.lookup(address), "{address:#x}");
        }
    }
}

#[test]
fn hidden_addresses_are_an_error_that_says_what_to_do() {
    let hidden: String = TEXT.lines().map(|line| format!("{:016x}{}\n", 0, &line[16..])).collect();
    let error = KernelSymbols::parse(hidden.as_bytes()).unwrap_err();
    assert_eq!(error, KernelSymbolsError::Hidden);
    assert!(error.to_string().contains("CAP_SYSLOG"), "{error}");
}

#[test]
fn a_list_without_functions_is_an_error() {
    for text in ["", "\n\n", "garbage", "ffffffff82000000 D some_data\n", "zz T f\n", "ffffffff81000000 T\n"]
    {
        assert_eq!(KernelSymbols::parse(text.as_bytes()).unwrap_err(), KernelSymbolsError::Empty, "{text:?}");
    }
    assert_eq!(KernelSymbols::parse(&[0xff; 100]).unwrap_err(), KernelSymbolsError::Empty);
}

#[test]
fn a_list_without_limits_is_taken_whole() {
    let symbols =
        KernelSymbols::parse(b"ffff000008080000 T a\nffff000008080100 t b\nffff000008080200 t $x\n").unwrap();
    assert_eq!(symbols.lookup(0xffff_0000_0808_0100).map(|symbol| symbol.name).as_deref(), Some("b"));
    assert_eq!(symbols.lookup(0xffff_0000_0808_0200), None, "a mapping symbol is no name");
    assert_eq!(symbols.len(), 2);
}

#[test]
fn too_many_modules_are_refused() {
    let text: String = (0..5000).map(|i| format!("ffffffffc0{i:06x} t f{i}\t[m{i}]\n")).collect();
    let error = KernelSymbols::parse(text.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "kallsyms has more than 4094 modules");
}
