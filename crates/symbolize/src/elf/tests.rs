//! Tests of the index on files built symbol by symbol.

use super::*;

/// Section numbers of [`file`]: 0x1000..0x2000 and 0x2000..0x2100 are code, 0x3000.. is data.
const TEXT: u16 = 1;
const MORE_TEXT: u16 = 2;
const DATA: u16 = 3;

const NOTYPE: u8 = 0;
const OBJECT: u8 = 1;
const FUNC: u8 = 2;
const IFUNC: u8 = 10;

const LOCAL: u8 = 0;
const GLOBAL: u8 = 1;
const WEAK: u8 = 2;

/// Name, type, binding, section, value, size.
type RawSymbol<'a> = (&'a str, u8, u8, u16, u64, u64);

/// An ELF64 file for `machine` with these symbols in `.symtab` and `.dynsym`.
fn file(machine: u16, symtab: &[RawSymbol<'_>], dynsym: &[RawSymbol<'_>]) -> Vec<u8> {
    let mut file = vec![0; 64];
    file[..16].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut sections = vec![
        section(0, 0, 0, 0, 0, 0, 0, 0),
        section(1, 1, 6, 0x1000, 0, 0x1000, 0, 0),
        section(7, 1, 6, 0x2000, 0, 0x100, 0, 0),
        section(13, 1, 3, 0x3000, 0, 0x1000, 0, 0),
    ];
    for (table, name, kind) in [(symtab, 19_u32, 2_u32), (dynsym, 27, 11)] {
        let (symbols, strings) = symbol_table(table);
        let link = sections.len() as u32 + 1;
        sections.push(section(name, kind, 0, 0, file.len() as u64, symbols.len() as u64, link, 24));
        file.extend(symbols);
        sections.push(section(35, 3, 0, 0, file.len() as u64, strings.len() as u64, 0, 0));
        file.extend(strings);
    }
    let names = b"\0.text\0.more\0.data\0.symtab\0.dynsym\0.strtab\0";
    sections.push(section(35, 3, 0, 0, file.len() as u64, names.len() as u64, 0, 0));
    file.extend(names);
    let table = file.len() as u64;
    let count = sections.len() as u16;
    file.extend(sections.concat());
    put(&mut file, 16, &3u16.to_le_bytes());
    put(&mut file, 18, &machine.to_le_bytes());
    put(&mut file, 20, &1u32.to_le_bytes());
    put(&mut file, 40, &table.to_le_bytes());
    put(&mut file, 58, &64u16.to_le_bytes());
    put(&mut file, 60, &count.to_le_bytes());
    put(&mut file, 62, &(count - 1).to_le_bytes());
    file
}

#[expect(clippy::too_many_arguments, reason = "the fields of a section header, in its order")]
fn section(
    name: u32,
    kind: u32,
    flags: u64,
    address: u64,
    offset: u64,
    size: u64,
    link: u32,
    entry: u64,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(name.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    for value in [flags, address, offset, size] {
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend(link.to_le_bytes());
    bytes.extend(0u32.to_le_bytes());
    bytes.extend(1u64.to_le_bytes());
    bytes.extend(entry.to_le_bytes());
    bytes
}

fn symbol_table(table: &[RawSymbol<'_>]) -> (Vec<u8>, Vec<u8>) {
    let mut symbols = vec![0; 24];
    let mut strings = vec![0];
    for (name, kind, binding, section, value, size) in table {
        symbols.extend((strings.len() as u32).to_le_bytes());
        symbols.extend([binding << 4 | kind, 0]);
        symbols.extend(section.to_le_bytes());
        symbols.extend(value.to_le_bytes());
        symbols.extend(size.to_le_bytes());
        strings.extend(name.as_bytes());
        strings.push(0);
    }
    (symbols, strings)
}

fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

fn table(symtab: &[RawSymbol<'_>]) -> SymbolTable {
    SymbolTable::from_elf(file(62, symtab, &[]).as_slice()).unwrap()
}

fn name(table: &SymbolTable, address: u64) -> Option<String> {
    table.lookup(ElfAddress(address)).map(|symbol| symbol.name)
}

#[test]
#[rustfmt::skip]
fn lookups_are_bounded_by_the_symbols_size() {
    let table = table(&[
        ("f", FUNC, GLOBAL, TEXT, 0x1000, 0x10),
        ("g", FUNC, LOCAL, TEXT, 0x1020, 0x10),
        ("resolver", IFUNC, GLOBAL, TEXT, 0x1030, 0x10),
        ("data", OBJECT, GLOBAL, DATA, 0x3000, 0x10),
        ("imported", FUNC, GLOBAL, 0, 0, 0),
        ("constant", FUNC, GLOBAL, 0xfff1, 0x1050, 0x10),
        ("last", FUNC, GLOBAL, MORE_TEXT, 0x20f0, u64::MAX),
    ]);
    let cases = [
        ("before", 0xfff, None),
        ("first byte", 0x1000, Some("f")),
        ("last byte", 0x100f, Some("f")),
        ("between functions", 0x1010, None),
        ("next function", 0x1020, Some("g")),
        ("adjacent function", 0x1030, Some("resolver")),
        ("data is no function", 0x3000, None),
        ("absolute symbols are no code", 0x1050, None),
        ("a size beyond the section", 0x20ff, Some("last")),
        ("ends with the section", 0x2100, None),
        ("far away", u64::MAX, None),
    ];
    for (case, address, want) in cases {
        assert_eq!(name(&table, address).as_deref(), want, "{case}: {address:#x}");
    }
    let symbol = table.lookup(ElfAddress(0x1005)).unwrap();
    assert_eq!((symbol.start, symbol.size), (ElfAddress(0x1000), 0x10));
}

#[test]
#[rustfmt::skip]
fn symbols_without_a_size_extend_to_the_next_one_of_their_section() {
    let table = table(&[
        ("asm_f", FUNC, LOCAL, TEXT, 0x1000, 0),
        ("asm_g", NOTYPE, GLOBAL, TEXT, 0x1100, 0),
        ("loop", NOTYPE, LOCAL, TEXT, 0x1180, 0),
        ("sized", FUNC, GLOBAL, TEXT, 0x1200, 0x80),
        ("entry_in_sized", NOTYPE, GLOBAL, TEXT, 0x1240, 0),
        ("asm_sized", NOTYPE, LOCAL, TEXT, 0x1300, 0x10),
        ("asm_last", FUNC, GLOBAL, TEXT, 0x1f00, 0),
        ("etext", NOTYPE, GLOBAL, TEXT, 0x2000, 0),
        ("more", FUNC, GLOBAL, MORE_TEXT, 0x2080, 0x10),
        ("sun", NOTYPE, GLOBAL, DATA, 0x3000, 0x10),
    ]);
    let cases = [
        ("a function", 0x10ff, Some("asm_f")),
        ("a visible label", 0x1100, Some("asm_g")),
        ("a local label is within it", 0x1190, Some("asm_g")),
        ("a label within a sized function", 0x1250, Some("sized")),
        ("after the sized function", 0x1280, None),
        ("a label with a size", 0x130f, Some("asm_sized")),
        ("and its end", 0x1310, None),
        ("to the end of the section", 0x1fff, Some("asm_last")),
        ("not into the next section", 0x2000, None),
        ("a label of data", 0x3000, None),
    ];
    for (case, address, want) in cases {
        assert_eq!(name(&table, address).as_deref(), want, "{case}: {address:#x}");
    }
}

#[test]
fn the_innermost_of_nested_functions_wins() {
    let table = table(&[
        ("outer", FUNC, GLOBAL, TEXT, 0x1000, 0x100),
        ("inner", FUNC, GLOBAL, TEXT, 0x1010, 0x10),
        ("prefix", FUNC, GLOBAL, TEXT, 0x1000, 0x8),
    ]);
    let at = |address| name(&table, address);
    assert_eq!(
        [at(0x1004), at(0x1008), at(0x1018), at(0x1020)],
        ["prefix", "outer", "inner", "outer"].map(|name| Some(name.to_owned()))
    );
    assert_eq!(at(0x1100), None);
}

#[test]
#[rustfmt::skip]
fn of_aliases_the_best_for_a_reader_is_kept() {
    let cases = [
        ("fewest underscores", &[("__libc_malloc", GLOBAL), ("malloc", GLOBAL), ("__malloc", GLOBAL)][..], "malloc"),
        ("weak but plain", &[("__write", GLOBAL), ("write", WEAK)], "write"),
        ("visible before local", &[("helper", LOCAL), ("_visible", GLOBAL)], "_visible"),
        ("global before weak", &[("a", WEAK), ("b", GLOBAL)], "b"),
        ("no clone", &[("f.constprop.0", LOCAL), ("longer_name", LOCAL)], "longer_name"),
        ("shortest", &[("memmove_longer", GLOBAL), ("memcpy", GLOBAL)], "memcpy"),
        ("by alphabet", &[("_ZN3FooC2Ev", GLOBAL), ("_ZN3FooC1Ev", GLOBAL)], "_ZN3FooC1Ev"),
        ("no mapping symbols", &[("$x", GLOBAL), ("$x.1", GLOBAL), ("$d", GLOBAL), ("__f", GLOBAL)], "__f"),
    ];
    for (case, names, want) in cases {
        let mut symbols: Vec<_> = names.iter().map(|(name, binding)| (*name, FUNC, *binding, TEXT, 0x1000, 0x10)).collect();
        for _ in 0..2 {
            let table = table(&symbols);
            assert_eq!((name(&table, 0x1001).as_deref(), table.len()), (Some(want), 1), "{case}");
            symbols.reverse();
        }
    }
}

#[test]
fn both_tables_are_used() {
    let symtab =
        [("only_symtab", FUNC, LOCAL, TEXT, 0x1000, 0x10), ("both", FUNC, GLOBAL, TEXT, 0x1020, 0x10)];
    let dynsym =
        [("both", FUNC, GLOBAL, TEXT, 0x1020, 0x10), ("only_dynsym", FUNC, GLOBAL, TEXT, 0x1040, 0x10)];
    let table = SymbolTable::from_elf(file(62, &symtab, &dynsym).as_slice()).unwrap();
    let names: Vec<_> = table.iter().map(|symbol| symbol.name).collect();
    assert_eq!(names, ["only_symtab", "both", "only_dynsym"]);
}

#[test]
fn thumb_functions_begin_at_even_addresses() {
    let bytes = file(40, &[("thumb", FUNC, GLOBAL, TEXT, 0x1001, 0x10)], &[]);
    let table = SymbolTable::from_elf(bytes.as_slice()).unwrap();
    assert_eq!(table.lookup(ElfAddress(0x1000)).unwrap().start, ElfAddress(0x1000));
    assert_eq!(name(&table, 0x1010), None);
}

#[test]
fn frames_carry_both_names_and_the_language() {
    let table = table(&[
        ("_ZN4core3ptr13drop_in_place17h0123456789abcdefE", FUNC, LOCAL, TEXT, 0x1000, 0x10),
        ("main", FUNC, GLOBAL, TEXT, 0x1010, 0x10),
    ]);
    let mut frames = Vec::new();
    assert!(table.frames(ElfAddress(0x1001), &mut frames));
    assert!(table.frames(ElfAddress(0x1011), &mut frames));
    assert!(!table.frames(ElfAddress(0x1021), &mut frames));
    let shown: Vec<_> = frames.iter().map(|f| (f.name.as_str(), f.system_name.as_str(), f.kind)).collect();
    let raw = "_ZN4core3ptr13drop_in_place17h0123456789abcdefE";
    assert_eq!(shown, [("core::ptr::drop_in_place", raw, FrameKind::Rust), ("main", "", FrameKind::Native)]);
}

#[test]
fn a_file_without_symbols_gives_an_empty_table() {
    assert!(table(&[]).is_empty());
    let mut stripped = file(62, &[], &[]);
    put(&mut stripped, 40, &[0; 8]);
    put(&mut stripped, 60, &[0; 4]);
    assert!(SymbolTable::from_elf(stripped.as_slice()).unwrap().is_empty());
}

#[test]
fn unusable_files_are_refused_with_the_reason() {
    let good = file(62, &[("f", FUNC, GLOBAL, TEXT, 0x1000, 0x10)], &[]);
    let check = |bytes: &[u8], limits: &Limits, want: &str| {
        let error = SymbolTable::from_elf_with(bytes, limits).unwrap_err();
        assert_eq!(error.to_string(), want);
    };
    let limits = Limits::default();
    check(b"#!/bin/sh", &limits, "no ELF file of version 1");
    let mut relocatable = good.clone();
    put(&mut relocatable, 16, &1u16.to_le_bytes());
    check(&relocatable, &limits, "relocatable object: its symbols have no addresses");
    let few = Limits { symbols_max: 1, ..limits };
    check(&good, &few, "number of symbols is 2; at most 1 are read");
    let short = Limits { names_bytes_max: 1, ..limits };
    check(&good, &short, "size in bytes of the names is 3; at most 1 are read");
    // Fields of the header of .symtab, section 4.
    let headers = good.len() - 9 * 64;
    let damaged = |field: usize, value: u64| {
        let mut bytes = good.clone();
        put(&mut bytes, headers + 4 * 64 + field, &value.to_le_bytes());
        bytes
    };
    check(&damaged(56, 16), &limits, "malformed .symtab: entries have another size than the file's class");
    check(&damaged(24, 1 << 40), &limits, "malformed .symtab: it exceeds the file");
    check(&damaged(40, 77), &limits, "malformed .symtab: its table of names does not exist");
}

#[test]
fn damaged_files_never_panic() {
    let symbols: Vec<_> = (0..20).map(|i| ("name", FUNC, GLOBAL, TEXT, 0x1000 + i * 8, i % 3 * 8)).collect();
    let good = file(62, &symbols, &symbols);
    for at in 0..good.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut damaged = good.clone();
            damaged[at] = value;
            if let Ok(table) = SymbolTable::from_elf(damaged.as_slice()) {
                for address in [0, 0x1000, 0x1010, 0x2000, u64::MAX] {
                    let _ = table.frames(ElfAddress(address), &mut Vec::new());
                }
            }
        }
        let _ = SymbolTable::from_elf(&good[..at]);
    }
}
