//! The self-test: does the kernel side find what /proc/self/maps says, and walk as it is told?
//!
//! The kernel side walks the kernel's tree of mappings without its locks and by its layout, which a new
//! kernel may change. So before anything is sampled, BPF programs look up addresses of this very process,
//! and walk a stack that is made up, by rows that are made up. On any difference mappings are told to the
//! kernel side by user space.

use std::fs;
use std::hint::black_box;

use aya::Ebpf;
use hearth_objfile::{ElfAddress, FileOffset, Segment};
use hearth_unwind::{Arch, Input, Limits, Section, StopReason};

use crate::abi::{FileKey, Frame, RECORD_BYTES, Rows, Sample, TestResult, file_entry, halves};
use crate::loader::{Loaded, run_test};
use crate::sys::Chunk;

/// Mappings tested; a process like ours has about forty.
const MAPPINGS_MAX: usize = 128;
/// Our own other threads may map memory meanwhile: a round in which the list changed is repeated.
const ROUNDS_MAX: usize = 5;
const KIND_FILE: u32 = 1;
const KIND_ANONYMOUS: u32 = 2;
/// `[vsyscall]` lies above all user memory and is in no tree.
const USER_END: u64 = 1 << 56;

/// A line of /proc/self/maps.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    start: u64,
    end: u64,
    offset: u64,
    executable: bool,
    file: bool,
}

/// Looks up and walks; says what differs from what is known.
pub(crate) fn run(loaded: &mut Loaded) -> Result<(), String> {
    look_up(&mut loaded.bpf)?;
    walk(loaded)
}

fn test_lookup(bpf: &mut Ebpf, address: u64) -> Result<TestResult, String> {
    run_test(bpf, "test_lookup", &[address], "test_results")
}

/// Compares look-ups for every mapping of this process.
fn look_up(bpf: &mut Ebpf) -> Result<(), String> {
    let mut difference = String::new();
    for _ in 0..ROUNDS_MAX {
        let before = own_mappings()?;
        match compare_all(bpf, &before) {
            Ok(()) => return Ok(()),
            Err(text) => difference = text,
        }
        if own_mappings()? == before {
            break;
        }
    }
    Err(difference)
}

fn own_mappings() -> Result<Vec<Line>, String> {
    let text = fs::read_to_string("/proc/self/maps")
        .map_err(|error| format!("cannot read /proc/self/maps: {error}"))?;
    Ok(text.lines().filter_map(parse).filter(|line| line.start < USER_END).collect())
}

fn parse(line: &str) -> Option<Line> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let permissions = fields.next()?;
    let offset = fields.next()?;
    let inode = fields.nth(1)?;
    let vdso = fields.next() == Some("[vdso]");
    Some(Line {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        offset: u64::from_str_radix(offset, 16).ok()?,
        executable: permissions.as_bytes().get(2) == Some(&b'x'),
        file: inode != "0" || vdso,
    })
}

fn compare_all(bpf: &mut Ebpf, lines: &[Line]) -> Result<(), String> {
    if lines.is_empty() {
        return Err("/proc/self/maps is empty".into());
    }
    for line in lines.iter().take(MAPPINGS_MAX) {
        for address in [line.start, line.start + (line.end - line.start) / 2, line.end - 1] {
            compare(bpf, address, Some(line))?;
        }
    }
    // Holes: below everything, and between two mappings.
    compare(bpf, 8, None)?;
    let hole = lines.windows(2).find(|pair| pair[0].end < pair[1].start);
    hole.map_or(Ok(()), |pair| compare(bpf, pair[0].end, None))
}

fn compare(bpf: &mut Ebpf, address: u64, want: Option<&Line>) -> Result<(), String> {
    let [start, end, offset, _, _, _, _, kind_executable, result] = test_lookup(bpf, address)?;
    let [kind, executable] = halves(kind_executable);
    let [result, _] = halves(result);
    let Some(line) = want else {
        let no_mapping = u32::from(StopReason::NoMapping.number());
        let right = result == no_mapping;
        return if right {
            Ok(())
        } else {
            Err(format!("{address:#x}: found a mapping where there is none"))
        };
    };
    let want_kind = if line.file { KIND_FILE } else { KIND_ANONYMOUS };
    let same = result == 0
        && start == line.start
        && end == line.end
        && kind == want_kind
        && (executable == 1) == line.executable
        && (!line.file || offset == line.offset);
    if same {
        return Ok(());
    }
    Err(format!(
        "{address:#x}: /proc/self/maps says {line:x?}; the kernel side says result {result}, {start:x}-{end:x}, \
         offset {offset:#x}, kind {kind}, executable {executable}"
    ))
}

/// Call frame information of one function of `size` bytes at `start`: whatever its instructions are, the
/// return address is the second word of the stack.
fn made_up_frames(start: u64, size: u64) -> Vec<u8> {
    let [stack_pointer, return_address] = if cfg!(target_arch = "aarch64") { [31, 30] } else { [7, 16] };
    let mut cie = vec![0, 0, 0, 0, 1, 0, 1, 0x78, return_address];
    cie.extend([0x0c, stack_pointer, 16, 0x80 | return_address, 1, 0, 0]);
    let mut bytes = 16_u32.to_ne_bytes().to_vec();
    bytes.append(&mut cie);
    bytes.extend(20_u32.to_ne_bytes());
    bytes.extend(24_u32.to_ne_bytes());
    bytes.extend(start.to_ne_bytes());
    bytes.extend(size.to_ne_bytes());
    bytes
}

/// Walks a made-up stack of three frames in our own executable, by a made-up table.
fn walk(loaded: &mut Loaded) -> Result<(), String> {
    const RANGE: u64 = 64;
    const STAMP: u32 = 0x7e57_7e57;
    let code = (walk as *const ()).addr() as u64;
    let found = test_lookup(&mut loaded.bpf, code)?;
    let key: FileKey = [found[3], found[4], found[5], found[6]];
    let offset = code.wrapping_sub(found[0]).wrapping_add(found[2]);
    let segment = Segment {
        file_offset: FileOffset(0),
        elf_address: ElfAddress(0),
        file_size: u64::from(u32::MAX),
        memory_size: u64::from(u32::MAX),
        executable: true,
    };
    let frames = made_up_frames(offset, RANGE);
    let input = Input {
        arch: if cfg!(target_arch = "aarch64") { Arch::Arm64 } else { Arch::X86_64 },
        segments: &[segment],
        eh_frame: Some(Section { address: ElfAddress(1 << 40), bytes: &frames }),
        debug_frame: None,
        text: None,
    };
    let rows = hearth_unwind::build(&input, &Limits::default()).map_err(|error| error.to_string())?;
    let table = hearth_unwind::encode(&rows).map_err(|error| error.to_string())?;
    // The chunk that is put into this place when sampling begins takes the place of this one.
    let chunk = Chunk::create().map_err(|error| format!("cannot create a chunk: {error}"))?;
    loaded.chunks.set(0, chunk.map(), 0).map_err(|error| error.to_string())?;
    let ids: Vec<u32> = (1..).take(table.pages().len()).collect();
    let mut fits = true;
    table.place(STAMP, &ids, |id, page| fits &= chunk.write(id, page));
    if !fits {
        return Err("a table of one row takes more than a chunk".into());
    }
    let ready = Rows::Ready { root: 1, levels: table.levels(), generation: STAMP };
    loaded.files.insert(key, file_entry(1, ready), 0).map_err(|error| error.to_string())?;
    let stack = black_box([0, code + 16, 0, code + 32, 0, 0]);
    let arguments = [code, stack.as_ptr().addr() as u64, 0];
    let record = run_test::<[u8; RECORD_BYTES]>(&mut loaded.bpf, "test_walk", &arguments, "test_records");
    black_box(&stack);
    loaded.files.remove(&key).map_err(|error| error.to_string())?;
    let record = record?;
    let sample = Sample::parse(&record).ok_or("the record of a walk cannot be read")?;
    let found: Vec<Frame> = sample.user_frames().collect();
    let frame = |offset| Frame::File { id: 1, offset };
    let want = [frame(offset), frame(offset + 15), frame(offset + 31)];
    if found == want && sample.stop == StopReason::Root.number() {
        return Ok(());
    }
    Err(format!("walked {found:x?}, stop reason {}, instead of {want:x?} to the root", sample.stop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_maps_are_parsed() {
        let text = "55a000-55b000 r-xp 00002000 fe:01 131 /bin/a b\n7f0000-7f1000 rw-p 00000000 00:00 0\n\
                    7ff000-7ff800 r-xp 00000000 00:00 0 [vdso]";
        let lines: Vec<_> = text.lines().filter_map(parse).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!((lines[0].start, lines[0].end, lines[0].offset), (0x55a000, 0x55b000, 0x2000));
        assert_eq!(lines.iter().map(|line| line.file).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(lines.iter().map(|line| line.executable).collect::<Vec<_>>(), [true, false, true]);
    }
}
