//! The self-test: does the kernel side find what /proc/self/maps says?
//!
//! The kernel side walks the kernel's tree of mappings without its locks and by its layout, which a new
//! kernel may change. So before anything is sampled, a BPF program looks up addresses of this very
//! process, and each answer is compared. On any difference addresses are looked up in user space.

use std::fs;

use aya::Ebpf;
use hearth_unwind::StopReason;

use crate::abi::halves;
use crate::loader::test_lookup;

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

/// Compares look-ups for every mapping of this process; says what differs.
pub(crate) fn run(bpf: &mut Ebpf) -> Result<(), String> {
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
