//! As much of ELF files as is needed to compare stacks of two profilers: from file offsets to ELF
//! addresses, and from those to the start of their function.

use std::path::Path;

/// A file's segments and where its functions start, by `.eh_frame_hdr`.
#[derive(Clone, Debug, Default)]
pub struct Functions {
    /// File offset, ELF address, size in the file.
    segments: Vec<(u64, u64, u64)>,
    starts: Vec<u64>,
}

const PT_LOAD: u32 = 1;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;

impl Functions {
    /// Reads a 64-bit little-endian file; empty if it is none.
    pub fn of_file(path: &Path) -> Self {
        std::fs::read(path).ok().and_then(|data| Self::parse(&data)).unwrap_or_default()
    }

    fn parse(data: &[u8]) -> Option<Self> {
        if data.get(..6)? != b"\x7fELF\x02\x01" {
            return None;
        }
        let (table, size, count) = (number(data, 32, 8)?, number(data, 54, 2)?, number(data, 56, 2)?);
        let mut functions = Self::default();
        for index in 0..count {
            let header = data.get(usize::try_from(table + index * size).ok()?..)?;
            let (kind, offset) = (number(header, 0, 4)? as u32, number(header, 8, 8)?);
            let (address, file_size) = (number(header, 16, 8)?, number(header, 32, 8)?);
            match kind {
                PT_LOAD => functions.segments.push((offset, address, file_size)),
                PT_GNU_EH_FRAME => {
                    let section = data.get(usize::try_from(offset).ok()?..)?;
                    functions.starts = starts(section, address).unwrap_or_default();
                }
                _ => {}
            }
        }
        Some(functions)
    }

    /// The ELF address of a file offset.
    pub fn address(&self, offset: u64) -> Option<u64> {
        let found = self.segments.iter().find(|(start, _, size)| offset >= *start && offset - start < *size);
        found.map(|(start, address, _)| offset - start + address)
    }

    /// The start of the function an ELF address lies in; the address itself if nothing is known of it.
    pub fn start(&self, address: u64) -> u64 {
        let after = self.starts.partition_point(|start| *start <= address);
        after.checked_sub(1).and_then(|at| self.starts.get(at)).copied().unwrap_or(address)
    }
}

/// The sorted table of `.eh_frame_hdr` in the only form linkers write (LSB 5.0, 10.6.2).
fn starts(section: &[u8], address: u64) -> Option<Vec<u64>> {
    // Version 1, pointer to .eh_frame as sdata4, count as udata4, table as datarel sdata4.
    if section.get(..4)? != [1, 0x1b, 0x03, 0x3b] {
        return None;
    }
    let count = usize::try_from(number(section, 8, 4)?).ok()?;
    let entries = section.get(12..count.checked_mul(8)?.checked_add(12)?)?;
    let entry = |entry: &[u8]| Some(address.wrapping_add_signed((number(entry, 0, 4)? as u32 as i32).into()));
    entries.chunks_exact(8).map(entry).collect()
}

fn number(data: &[u8], at: usize, bytes: usize) -> Option<u64> {
    let bytes = data.get(at..at + bytes)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_this_program() {
        let path = std::env::current_exe().unwrap();
        let functions = Functions::of_file(&path);
        assert!(functions.starts.len() > 100, "{} functions", functions.starts.len());
        let second = functions.starts[1];
        assert_eq!(functions.start(second), second);
        assert_eq!(functions.start(functions.starts[2] - 1), second);
        let (offset, address, _) = functions.segments[1];
        assert_eq!(functions.address(offset + 5), Some(address + 5));
        assert_eq!(functions.address(u64::MAX), None);
    }
}
