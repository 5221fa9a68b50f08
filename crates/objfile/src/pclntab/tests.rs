//! Rules of pc-value tables, and what broken tables do.

use super::*;

/// A table of one function of 0x20 bytes in the layout of Go 1.20, as its linker writes it.
fn table() -> Vec<u8> {
    let mut bytes = vec![0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
    let names = b"main.outer\0main.inner\0";
    let files = b"/src/main.go\0";
    // Line: 10 for 8 bytes, then 20. File: 0. Height: 0 for 4 bytes, then 24. Inlined: none for 8, then call 0.
    let values = [0, 22, 8, 20, 24, 0, 2, 32, 0, 2, 4, 48, 28, 0, 0, 8, 2, 24, 0];
    let (lines, file, height, inline) = (1_u32, 6_u32, 9_u32, 14_u32);
    let words = |parts: [u64; 8]| parts.into_iter().flat_map(u64::to_le_bytes).collect::<Vec<u8>>();
    let header = 8 + 8 * 8;
    let unit = header + names.len() as u64;
    let file_table = unit + 4;
    let value_table = file_table + files.len() as u64;
    let functions = value_table + values.len() as u64;
    bytes.extend(words([1, 1, 0, header, unit, file_table, value_table, functions]));
    bytes.extend(names);
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend(files);
    bytes.extend(values);
    for number in [0_u32, 12, 0x20] {
        bytes.extend(number.to_le_bytes());
    }
    // entry, name, args, deferreturn, pcsp, pcfile, pcln, npcdata, cuOffset, startLine
    for number in [0, 0, 0, 0, height, file, lines, 3, 0, 9] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([0, 0, 0, 4]);
    for number in [0, 0, inline, u32::MAX, u32::MAX, u32::MAX, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes
}

/// The tree of its one inlined call: main.inner, called at offset 0 of the function.
fn tree() -> Vec<u8> {
    [0_u32, 11, 0, 19].into_iter().flat_map(u32::to_le_bytes).collect()
}

#[test]
fn a_function_knows_its_name_lines_heights_and_inlined_calls() {
    let (bytes, tree) = (table(), tree());
    let table = Table::parse(&bytes, Some(ElfAddress(0x1000))).unwrap();
    let table = table.with_function_data(ElfAddress(0x8000), ElfAddress(0x8000), &tree);
    assert_eq!((table.len(), table.version()), (1, Version::Go120));
    let function = table.get(0).unwrap();
    assert_eq!((function.start, function.end), (ElfAddress(0x1000), ElfAddress(0x1020)));
    assert_eq!(table.name(&function), Some("main.outer"));
    let heights: Vec<_> = table.stack_heights(&function).map(|v| (v.start.0, v.end.0, v.value)).collect();
    assert_eq!(heights, [(0x1000, 0x1004, 0), (0x1004, 0x1020, 24)]);
    let frames = |address| {
        let mut found = Vec::new();
        table.frames(ElfAddress(address), |frame| {
            found.push((frame.name, frame.file, frame.line, frame.start_line));
        });
        found
    };
    assert_eq!(frames(0x1003), [("main.outer", "/src/main.go", 10, 9)]);
    assert_eq!(
        frames(0x1010),
        [("main.inner", "/src/main.go", 20, 19), ("main.outer", "/src/main.go", 10, 9)]
    );
    assert!(frames(0xfff).is_empty() && frames(0x1020).is_empty());
}

#[test]
fn an_inlined_call_that_calls_itself_ends() {
    let (bytes, mut tree) = (table(), tree());
    // Its caller is an instruction of its own.
    tree[8] = 0x10;
    let table = Table::parse(&bytes, Some(ElfAddress(0x1000))).unwrap();
    let table = table.with_function_data(ElfAddress(0x8000), ElfAddress(0x8000), &tree);
    let mut count = 0;
    table.frames(ElfAddress(0x1010), |_| count += 1);
    assert_eq!(count, INLINE_DEPTH_MAX);
}

#[test]
fn a_broken_table_is_refused_or_says_nothing() {
    let bytes = table();
    for length in 0..bytes.len() {
        let Ok(table) = Table::parse(&bytes[..length], None) else { continue };
        for function in table.iter() {
            table.name(&function);
            table.lines(&function).count();
            table.frames(function.start, |_| {});
        }
    }
    for at in 0..bytes.len() {
        for value in [0, 0x7f, 0x80, 0xff] {
            let mut broken = bytes.clone();
            broken[at] = value;
            let Ok(table) = Table::parse(&broken, None) else { continue };
            for function in table.iter().take(10) {
                table.frames(function.start, |_| {});
                assert!(table.stack_heights(&function).count() <= broken.len());
            }
        }
    }
    let mut many = bytes;
    many[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(Table::parse(&many, None), Err(Error::TooLarge { .. })));
    assert!(Table::parse(b"\xfb\xff\xff\xff\0\0\x01\x08", None).is_err());
}
