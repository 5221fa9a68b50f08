//! What an index gives back is what was written, and damage is noticed.

use hearth_objfile::ElfAddress;
use hearth_profile::FrameKind;

use super::build::bare;
use super::*;
use crate::SourceFrame;

fn frames(reader: &mut Reader<Vec<u8>>, address: u64) -> (Found, Vec<SourceFrame>) {
    let mut out = Vec::new();
    let found = reader.frames(ElfAddress(address), &mut out).unwrap();
    (found, out)
}

fn shown(frames: &[SourceFrame]) -> Vec<String> {
    frames.iter().map(|f| format!("{} {}:{} {}", f.name, f.file, f.line, f.start_line)).collect()
}

/// One function with lines and two levels of inlined calls, one range without a name.
fn small() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    let rows = [(0x0f00, 1), (0x1000, 10), (0x1008, 20), (0x1010, 30), (0x1020, 0)]
        .map(|(address, line)| Row { address, file: u32::from(line == 20), line });
    let call = |depth, name: &str, call_line, ranges: &[(u64, u64)]| Inlined {
        depth,
        name: name.into(),
        start_line: 5,
        call_file: 0,
        call_line,
        ranges: ranges.to_vec(),
    };
    writer
        .add(&Function {
            kind: FrameKind::Native,
            start_line: 9,
            rows: &rows,
            files: &[b"/a.c".to_vec(), b"/b.h".to_vec()],
            inlined: &[
                call(0, "_Z5outerv", 11, &[(0x1004, 0x1010)]),
                call(1, "inner", 12, &[(0x1008, 0x1010)]),
                call(0, "other", 13, &[(0x1010, 0x1014), (0x1018, 0x101c)]),
            ],
            ..bare(0x1000, 0x1030, b"main", Source::Dwarf)
        })
        .unwrap();
    writer.add(&bare(0x2000, 0x2040, b"", Source::Unwind)).unwrap();
    writer.finish("abcd").unwrap().1
}

#[test]
#[rustfmt::skip]
fn inlined_calls_and_lines_are_found_by_address() {
    let mut reader = Reader::open(small()).unwrap();
    assert_eq!(reader.summary().build_id, "abcd");
    assert_eq!(reader.summary().ranges, [1, 0, 0, 1]);
    let cases: [(u64, &[&str]); 6] = [
        (0x1000, &["main /a.c:10 9"]),
        (0x1004, &["outer /a.c:10 5", "main /a.c:11 9"]),
        (0x1008, &["inner /b.h:20 5", "outer /a.c:12 5", "main /a.c:11 9"]),
        (0x1013, &["other /a.c:30 5", "main /a.c:13 9"]),
        (0x1014, &["main /a.c:30 9"]),
        (0x1020, &["main /a.c:0 9"]),
    ];
    for (address, want) in cases {
        let (found, frames) = frames(&mut reader, address);
        assert_eq!((found, shown(&frames)), (Found::Functions, want.iter().map(|s| (*s).into()).collect()), "{address:#x}");
    }
    assert_eq!(frames(&mut reader, 0x1004).1[0].system_name, "_Z5outerv");
    assert_eq!(frames(&mut reader, 0x2010), (Found::Unnamed { start: ElfAddress(0x2000) }, vec![]));
    for address in [0, 0xfff, 0x1030, 0x1fff, 0x2040, u64::MAX] {
        assert_eq!(frames(&mut reader, address), (Found::Nothing, vec![]), "{address:#x}");
    }
}

#[test]
fn a_large_index_is_read_by_page() {
    struct Counted(Vec<u8>, std::rc::Rc<std::cell::Cell<usize>>);
    impl crate::ReadAt for Counted {
        fn size(&self) -> u64 {
            self.0.size()
        }
        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
            self.1.set(self.1.get() + buffer.len());
            self.0.read_exact_at(buffer, offset)
        }
    }
    let mut writer = Writer::new(Vec::new());
    let count = 300_000;
    for index in (0..count).rev() {
        let name = format!("function_{index}");
        writer.add(&bare(index * 32, index * 32 + 16, name.as_bytes(), Source::Symbols)).unwrap();
    }
    let (summary, bytes) = writer.finish("").unwrap();
    assert_eq!(summary.bytes, bytes.len() as u64);
    let read = std::rc::Rc::new(std::cell::Cell::new(0));
    let mut reader = Reader::open(Counted(bytes, read.clone())).unwrap();
    for index in (0..count).step_by(7919) {
        let mut out = Vec::new();
        read.set(0);
        assert_eq!(reader.frames(ElfAddress(index * 32 + 15), &mut out).unwrap(), Found::Functions);
        assert_eq!(out[0].name, format!("function_{index}"));
        assert!(read.get() <= 8 * PAGE_BYTES, "{} bytes", read.get());
        assert_eq!(reader.frames(ElfAddress(index * 32 + 16), &mut out).unwrap(), Found::Nothing);
    }
}

#[test]
fn an_empty_index_knows_nothing() {
    let (summary, bytes) = Writer::new(Vec::new()).finish("").unwrap();
    assert!(!summary.has_names());
    assert_eq!(frames(&mut Reader::open(bytes).unwrap(), 0x1000), (Found::Nothing, vec![]));
}

#[test]
fn damage_is_noticed() {
    let good = small();
    for length in [0, 1, PAGE_BYTES, good.len() - PAGE_BYTES, good.len() - 1] {
        assert!(Reader::open(good[..length].to_vec()).is_err(), "{length}");
    }
    for at in (0..good.len()).step_by(13) {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        let Ok(mut reader) = Reader::open(bad) else { continue };
        let mut out = Vec::new();
        let found = reader.frames(ElfAddress(0x1008), &mut out);
        assert!(matches!(found, Err(Error::Damaged(_))) || out.len() == 3, "{at}: {found:?}");
    }
    let mut other = good;
    let page = other.len() - PAGE_BYTES;
    other[page + 8] = 9;
    let checksum = crc32fast::hash(&other[page..page + CONTENT_BYTES]);
    let length = other.len();
    other[length - 4..].copy_from_slice(&checksum.to_le_bytes());
    assert!(matches!(Reader::open(other), Err(Error::Version(9))));
}
