//! Broken and hostile call frame information costs bounded time and memory, and never a panic.

mod common;
mod random;

use hearth_objfile::{ElfAddress, FileOffset, Segment};
use hearth_unwind::{Arch, Input, Limits, Rule, Saved, Section, build, encode, rows};
use random::Random;

const ADDRESS: u64 = 0x10_0000;

fn segments() -> [Segment; 1] {
    [Segment {
        file_offset: FileOffset(0x1000),
        elf_address: ElfAddress(0x1000),
        file_size: 1 << 20,
        memory_size: 1 << 20,
        executable: true,
    }]
}

fn entry(body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
    bytes.extend(body);
    bytes
}

/// A section with one common entry (`zR`, absolute addresses) and a function of 256 bytes at 0x2000 with
/// these instructions.
fn section(instructions: &[u8]) -> Vec<u8> {
    let cie = [0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0, 0x0c, 7, 8, 0x90, 1, 0, 0];
    let mut bytes = entry(&cie);
    let mut fde = (bytes.len() as u32 + 4).to_le_bytes().to_vec();
    fde.extend(0x2000_u64.to_le_bytes());
    fde.extend(0x100_u64.to_le_bytes());
    fde.push(0);
    fde.extend(instructions);
    bytes.extend(entry(&fde));
    bytes
}

fn rows_of(bytes: &[u8]) -> Result<hearth_unwind::Rows, rows::Error> {
    let input = Input {
        arch: Arch::X86_64,
        segments: &segments(),
        eh_frame: Some(Section { address: ElfAddress(ADDRESS), bytes }),
        debug_frame: None,
        text: None,
    };
    build(&input, &Limits { section_bytes_max: 1 << 20, functions_max: 1000, rows_max: 100_000 })
}

/// A frame's register, offset, what is added after reading a word, index, and frame pointer.
type Found = (u8, i32, Option<i32>, Option<u8>, Saved);

/// The frame at an offset.
fn frame_at(instructions: &[u8], offset: u32) -> Option<Found> {
    match encode(&rows_of(&section(instructions)).ok()?).ok()?.find(offset) {
        Rule::Frame(frame) => Some((frame.register, frame.offset, frame.deref, frame.index, frame.fp)),
        _ => None,
    }
}

#[test]
#[rustfmt::skip]
fn instructions_found_in_real_binaries_mean_what_they_say() {
    let cases: &[(&str, &[u8], Option<Found>)] = &[
        ("nothing: the common entry's",      &[],                                   Some((7, 8, None, None, Saved::Same))),
        ("push %rbp",                        &[0x0e, 16, 0x86, 2],                  Some((7, 16, None, None, Saved::AtCfa(-16)))),
        ("mov %rsp,%rbp",                    &[0x0e, 16, 0x86, 2, 0x0d, 6],         Some((6, 16, None, None, Saved::AtCfa(-16)))),
        ("remember, change, restore",        &[0x0a, 0x0e, 64, 0x0b],               Some((7, 8, None, None, Saved::Same))),
        ("a stack in r10 (DRAP)",            &[0x0c, 10, 0],                        Some((10, 0, None, None, Saved::Same))),
        ("rbp by expression (DRAP)",         &[0x10, 6, 2, 0x76, 0],                Some((7, 8, None, None, Saved::AtFp(0)))),
        ("CFA in a word (DRAP)",             &[0x0f, 3, 0x76, 0x78, 6],             Some((6, -8, Some(0), None, Saved::Same))),
        ("CFA in a word, plus 8 (OpenSSL)",  &[0x0f, 5, 0x77, 40, 6, 0x23, 8],      Some((7, 40, Some(8), None, Saved::Same))),
        ("CFA in an array (OpenSSL)",        &[0x0f, 10, 0x77, 8, 0x79, 0, 0x38, 0x1e, 0x22, 6, 0x23, 8], Some((7, 8, Some(8), Some(9), Saved::Same))),
        ("val_offset",                       &[0x14, 6, 2],                         Some((7, 8, None, None, Saved::IsCfa(-16)))),
        ("GNU_args_size",                    &[0x2e, 16],                           Some((7, 8, None, None, Saved::Same))),
        ("a large frame",                    &[0x0e, 0x80, 0x80, 0x10],             Some((7, 1 << 18, None, None, Saved::Same))),
        ("def_cfa_offset after expression",  &[0x0f, 3, 0x77, 8, 6, 0x0e, 16],      None),
        ("return address undefined: root",   &[0x07, 16],                           None),
        ("an expression of another shape",   &[0x0f, 3, 0x77, 8, 0x19],             None),
        ("restore without remember",         &[0x0b],                               None),
        ("unknown instruction",              &[0x3f],                               None),
    ];
    for (case, instructions, want) in cases {
        assert_eq!(frame_at(instructions, 0x2080), *want, "{case}");
    }
}

#[test]
fn rows_hold_in_their_function_only() {
    let rows = rows_of(&section(&[0x44, 0x0e, 16])).expect("there are rows");
    let table = encode(&rows).expect("there are rows");
    let cfa = |offset| match table.find(offset) {
        Rule::Frame(frame) => Some(frame.offset),
        _ => None,
    };
    let cases =
        [(0x1fff, None), (0x2000, Some(8)), (0x2003, Some(8)), (0x2004, Some(16)), (0x20ff, Some(16))];
    for (offset, want) in cases {
        assert_eq!(cfa(offset), want, "{offset:#x}");
    }
    assert_eq!(table.find(0x2100), Rule::None);
    assert_eq!(rows.functions(), std::slice::from_ref(&(0x2000..0x2100)));
}

#[test]
fn deep_remembering_is_bounded() {
    let nested = |count: usize| [vec![0x0a; count], vec![0x0e, 64], vec![0x0b; count]].concat();
    assert!(frame_at(&nested(1000), 0x2080).is_some());
    assert!(frame_at(&nested(1025), 0x2080).is_none());
}

#[test]
fn more_than_the_limits_is_refused_by_name() {
    let one = section(&[]);
    let cie_bytes = 24;
    let mut many = one[..cie_bytes].to_vec();
    for number in 0..1001_u64 {
        let mut fde = (many.len() as u32 + 4).to_le_bytes().to_vec();
        fde.extend((0x2000 + 0x100 * number).to_le_bytes());
        fde.extend(0x100_u64.to_le_bytes());
        fde.push(0);
        many.extend(entry(&fde));
    }
    let error = rows_of(&many).expect_err("too many functions").to_string();
    assert!(error.contains("functions") && error.contains("1000"), "{error}");
    let error = rows_of(&vec![0; (1 << 20) + 1]).expect_err("too many bytes").to_string();
    assert!(error.contains("1048576"), "{error}");
    assert_eq!(rows_of(&[]).err(), Some(rows::Error::Absent));
}

#[test]
fn mutated_sections_never_panic() {
    let path = common::executables().remove(0);
    let data = std::fs::read(path).expect("it can be read");
    let object = hearth_objfile::ObjectFile::parse(&data[..]).expect("it is an ELF file");
    let section = common::section(&object, &data, ".eh_frame").expect("it has one");
    assert!(common::rows(&object, &data).is_some());
    let bytes = &section.bytes[..section.bytes.len().min(60_000)];
    let mut random = Random(11);
    for _ in 0..200 {
        let mut bytes = bytes.to_vec();
        for _ in 0..1 + random.below(40) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.next() as u8;
        }
        let input = Input {
            arch: if random.below(2) == 0 { Arch::X86_64 } else { Arch::Arm64 },
            segments: &object.segments,
            eh_frame: Some(Section { address: section.address, bytes: &bytes }),
            debug_frame: Some(Section { address: section.address, bytes: &bytes }),
            text: Some(ElfAddress(0)),
        };
        let Ok(rows) = build(&input, &Limits::default()) else { continue };
        let Ok(table) = encode(&rows) else { continue };
        for (offset, rule) in rows.iter() {
            assert_eq!(table.find(offset), rule);
        }
    }
}

#[test]
fn a_header_tells_where_the_section_is() {
    let header = |bytes| hearth_unwind::eh_frame_address(Section { address: ElfAddress(0x1000), bytes });
    assert_eq!(header(&[1, 0x1b, 3, 0x3b, 0x3c, 0, 0, 0]), Some(ElfAddress(0x1040)));
    assert_eq!(header(&[1, 0x3b, 3, 0x3b, 0xf0, 0xff, 0xff, 0xff]), Some(ElfAddress(0x0ff0)));
    assert_eq!(header(&[2, 0x1b, 3, 0x3b, 0x3c, 0, 0, 0]), None);
    assert_eq!(header(&[1, 0x1b, 3]), None);
}
