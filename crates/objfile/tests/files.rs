//! Real files against `readelf`, and files made to do harm.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics to fail and says what it skips")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use hearth_objfile::{
    ElfAddress, Error, FileOffset, Kind, Machine, ObjectFile, ProcessAddress, Segment, limits,
};
use object::ReadCache;

/// Files every Linux machine with a Rust toolchain has, and this test itself.
fn real_files() -> Vec<PathBuf> {
    let mut files = vec![std::env::current_exe().unwrap()];
    files.extend(["/bin/true", "/usr/bin/node", "/usr/bin/gcc"].map(PathBuf::from));
    files.extend(["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6"].map(PathBuf::from));
    files.extend(corpus());
    files.retain(|file| file.is_file());
    files
}

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora/elf/symblib");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: {} is absent", folder.display());
        return Vec::new();
    };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_none_or(|extension| extension != "symbfile"));
    files.sort();
    files
}

fn parse(path: &Path) -> ObjectFile {
    ObjectFile::parse(std::fs::read(path).unwrap().as_slice())
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// What `readelf` prints; none if there is no readelf.
fn readelf(options: &str, path: &Path) -> Option<String> {
    let output = Command::new("readelf").arg(options).arg(path).env("LC_ALL", "C").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn hex(word: &str) -> u64 {
    u64::from_str_radix(word.trim_start_matches("0x"), 16).unwrap()
}

#[test]
fn segments_and_build_id_are_those_readelf_shows() {
    for path in real_files() {
        let object = parse(&path);
        let Some(text) = readelf("-lnW", &path) else {
            println!("skipped: no readelf");
            return;
        };
        let want: Vec<Segment> = text
            .lines()
            .filter(|line| line.trim_start().starts_with("LOAD "))
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                Segment {
                    file_offset: FileOffset(hex(words[1])),
                    elf_address: ElfAddress(hex(words[2])),
                    file_size: hex(words[4]),
                    memory_size: hex(words[5]),
                    executable: words[6..words.len() - 1].concat().contains('E'),
                }
            })
            .collect();
        assert_eq!(object.segments, want, "{}", path.display());
        let build_id =
            text.lines().find_map(|line| line.split_once("Build ID: ")).map(|(_, id)| id.to_owned());
        assert_eq!(object.build_id, build_id, "{}", path.display());
    }
}

#[test]
fn sections_are_those_readelf_shows() {
    for path in real_files() {
        let object = parse(&path);
        let Some(text) = readelf("-SW", &path) else {
            println!("skipped: no readelf");
            return;
        };
        // "  [ 1] .interp PROGBITS 0000000000000318 000318 00001c 00   A  0   0  1"
        // The first two lines are the table's head and the null section.
        let lines: Vec<&str> =
            text.lines().filter(|line| line.trim_start().starts_with('[')).skip(2).collect();
        assert_eq!(object.sections.len(), lines.len(), "{}", path.display());
        for (section, line) in object.sections.iter().zip(lines) {
            let words: Vec<&str> = line.split_once(']').unwrap().1.split_whitespace().collect();
            let flags = if words.len() == 10 { words[6] } else { "" };
            assert_eq!(section.name, words[0], "{}", path.display());
            assert_eq!(
                (section.elf_address.0, section.file_offset.0),
                (hex(words[2]), hex(words[3])),
                "{line}"
            );
            assert_eq!(section.size, hex(words[4]), "{line}");
            assert_eq!(section.file_size == 0, words[1] == "NOBITS" || section.size == 0, "{line}");
            assert_eq!(section.executable, flags.contains('X'), "{line}");
            assert_eq!(section.allocated, flags.contains('A'), "{line}");
            assert_eq!(section.compressed, flags.contains('C'), "{line}");
        }
    }
}

#[test]
fn a_file_read_in_ranges_gives_the_same_as_one_in_memory() {
    for path in real_files() {
        let cache = ReadCache::new(File::open(&path).unwrap());
        assert_eq!(ObjectFile::parse(&cache), Ok(parse(&path)), "{}", path.display());
    }
}

#[test]
fn our_own_code_is_found_at_its_elf_address() {
    // From /proc/self/maps to the file and on to the address in the file: the three kinds meet.
    let here = our_own_code_is_found_at_its_elf_address as *const () as u64;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let (start, offset) = maps
        .lines()
        .find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (start, end) = words[0].split_once('-').unwrap();
            (hex(start)..hex(end)).contains(&here).then(|| (hex(start), hex(words[2])))
        })
        .unwrap();
    let offset = ProcessAddress(here).file_offset(ProcessAddress(start), FileOffset(offset)).unwrap();
    let path = std::env::current_exe().unwrap();
    let object = parse(&path);
    let address = object.elf_address(offset).unwrap();
    assert_eq!(object.file_offset(address), Some(offset));
    let Ok(nm) = Command::new("nm").arg(&path).output() else {
        println!("skipped: no nm");
        return;
    };
    let symbols = String::from_utf8_lossy(&nm.stdout).into_owned();
    let line = symbols.lines().find(|line| {
        line.contains("our_own_code_is_found") && hex(line.split(' ').next().unwrap()) == address.0
    });
    assert!(line.is_some(), "no symbol of this test at {address}");
}

#[test]
#[rustfmt::skip]
fn addresses_are_translated_within_segments_only() {
    let segment = |file_offset, elf_address, file_size, memory_size, executable| Segment {
        file_offset: FileOffset(file_offset), elf_address: ElfAddress(elf_address), file_size, memory_size, executable,
    };
    let object = ObjectFile {
        segments: vec![
            segment(0x0, 0x40_0000, 0x1000, 0x1000, false),
            segment(0x800, 0x50_0000, 0x800, 0x800, true),
            segment(0x1000, 0x60_0000, 0x100, 0x4000, false),
            segment(0x2000, u64::MAX - 0xff, 0x1000, 0x1000, false),
        ],
        ..ObjectFile::parse(elf().as_slice()).unwrap()
    };
    let cases = [
        ("first byte", 0x0, Some(0x40_0000)),
        ("overlap goes to code", 0x800, Some(0x50_0000)),
        ("last byte of code", 0xfff, Some(0x50_07ff)),
        ("next segment", 0x1000, Some(0x60_0000)),
        ("beyond the bytes in the file", 0x1100, None),
        ("no segment", 0x5000, None),
        ("the address would overflow", 0x2fff, None),
        ("far away", u64::MAX, None),
    ];
    for (case, offset, want) in cases {
        assert_eq!(object.elf_address(FileOffset(offset)).map(|address| address.0), want, "{case}");
    }
    assert_eq!(object.file_offset(ElfAddress(0x60_00ff)), Some(FileOffset(0x10ff)));
    assert_eq!(object.file_offset(ElfAddress(0x60_0100)), None, "zeros have no place in the file");
    assert_eq!(ProcessAddress(0x10).file_offset(ProcessAddress(0x20), FileOffset(0)), None);
    assert_eq!(ProcessAddress(0x30).file_offset(ProcessAddress(0x20), FileOffset(5)), Some(FileOffset(0x15)));
}

#[test]
fn go_binaries_are_known() {
    for path in corpus() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let object = parse(&path);
        assert_eq!(object.is_go(), name.starts_with("go-"), "{name}");
        assert_eq!(object.go_build_id.is_some(), name.starts_with("go-"), "{name}");
    }
}

/// A minimal ELF64 file: header, one executable segment, one note segment with a build ID.
fn elf() -> Vec<u8> {
    let mut file = vec![0; 0x200];
    file[..16].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    put(&mut file, 16, &2u16.to_le_bytes()); // ET_EXEC
    put(&mut file, 18, &62u16.to_le_bytes()); // EM_X86_64
    put(&mut file, 20, &1u32.to_le_bytes());
    put(&mut file, 32, &64u64.to_le_bytes()); // e_phoff
    put(&mut file, 52, &64u16.to_le_bytes());
    put(&mut file, 54, &56u16.to_le_bytes());
    put(&mut file, 56, &2u16.to_le_bytes()); // e_phnum
    put(&mut file, 58, &64u16.to_le_bytes());
    program_header(&mut file, 64, 1, 5, 0, 0x40_0000, 0x200);
    program_header(&mut file, 120, 4, 4, 0x100, 0x40_0100, 0x18);
    put(&mut file, 0x100, &4u32.to_le_bytes());
    put(&mut file, 0x104, &8u32.to_le_bytes());
    put(&mut file, 0x108, &3u32.to_le_bytes());
    put(&mut file, 0x10c, b"GNU\0\x01\x23\x45\x67\x89\xab\xcd\xef");
    file
}

fn program_header(file: &mut [u8], at: usize, kind: u32, flags: u32, offset: u64, address: u64, size: u64) {
    put(file, at, &kind.to_le_bytes());
    put(file, at + 4, &flags.to_le_bytes());
    for (index, value) in [offset, address, address, size, size, 4].into_iter().enumerate() {
        put(file, at + 8 + index * 8, &value.to_le_bytes());
    }
}

fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

#[test]
fn a_minimal_file_is_read() {
    let object = ObjectFile::parse(elf().as_slice()).unwrap();
    assert_eq!(object.build_id.as_deref(), Some("0123456789abcdef"));
    assert_eq!((object.machine, object.kind, object.class64), (Machine::X86_64, Kind::Executable, true));
    assert_eq!(object.elf_address(FileOffset(0x10)), Some(ElfAddress(0x40_0010)));
    assert_eq!((object.sections.len(), object.sections_error), (0, None));
}

#[test]
fn what_is_no_elf_file_is_refused() {
    let mut other_class = elf();
    other_class[4] = 3;
    let mut other_version = elf();
    other_version[6] = 2;
    let mut truncated = elf();
    truncated.truncate(63);
    for file in [&b""[..], b"#!/bin/sh\n", b"\x7fELF", &other_class, &other_version, &truncated] {
        assert_eq!(ObjectFile::parse(file), Err(Error::NotElf));
    }
}

#[test]
fn counts_beyond_the_limits_are_refused_by_name() {
    // PN_XNUM: the number of program headers is in the null section's sh_info.
    let mut file = elf();
    put(&mut file, 56, &0xffff_u16.to_le_bytes());
    put(&mut file, 40, &0x140_u64.to_le_bytes());
    put(&mut file, 0x140 + 44, &u32::MAX.to_le_bytes());
    let error = ObjectFile::parse(file.as_slice()).unwrap_err();
    assert_eq!(error.to_string(), "number of program headers is 4294967295; at most 4096 are read");

    // Sections are only lost, the segments stay.
    let mut file = elf();
    put(&mut file, 40, &0x140_u64.to_le_bytes());
    put(&mut file, 0x140 + 32, &u64::from(limits::SECTIONS_MAX + 1).to_le_bytes());
    let object = ObjectFile::parse(file.as_slice()).unwrap();
    let error = object.sections_error.unwrap();
    assert_eq!(error.to_string(), "number of sections is 16385; at most 16384 are read");
    assert_eq!(object.segments.len(), 1);
}

#[test]
fn odd_notes_give_no_build_id() {
    let sizes: [u32; 4] = [0, 65, u32::MAX, 0xffff_fff0];
    for size in sizes {
        let mut file = elf();
        put(&mut file, 0x104, &size.to_le_bytes());
        assert_eq!(ObjectFile::parse(file.as_slice()).unwrap().build_id, None, "{size}");
    }
    let mut huge = elf();
    program_header(&mut huge, 120, 4, 4, 0, 0, u64::MAX);
    assert_eq!(ObjectFile::parse(huge.as_slice()).unwrap().build_id, None);
}

#[test]
fn damaged_files_never_panic() {
    let file = std::fs::read("/bin/true").unwrap();
    let tables = ObjectFile::parse(file.as_slice()).unwrap();
    assert!(!tables.sections.is_empty());
    for length in (0..file.len()).step_by(97).chain(0..256) {
        let _ = ObjectFile::parse(&file[..length]);
    }
    // Each byte of the file header, the program headers and the section headers, set to extremes.
    let section_headers = file.len().saturating_sub(64 * (tables.sections.len() + 1));
    for at in (0..64 + 56 * 16).chain(section_headers..file.len()) {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut damaged = file.clone();
            damaged[at] = value;
            if let Ok(object) = ObjectFile::parse(damaged.as_slice()) {
                let _ = (
                    object.elf_address(FileOffset(0x1000)),
                    object.file_offset(ElfAddress(0x1000)),
                    object.is_go(),
                );
            }
        }
    }
}

#[test]
fn misaligned_bytes_are_read() {
    let mut bytes = vec![0; 3];
    bytes.extend(elf());
    assert_eq!(ObjectFile::parse(&bytes[3..]), ObjectFile::parse(elf().as_slice()));
}
