//! `perf record` on the same programs, as the yardstick for our stacks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::elf::Functions;
use crate::real::{is_present, output};
use crate::stacks::Stack;

/// Whole stacks of user frames, root first, as `file!start of function`, with how often.
pub type Counts = HashMap<String, i64>;

/// Makes frames of two profilers comparable: both become the file and the start of the function.
#[derive(Debug, Default)]
pub struct Comparable {
    files: HashMap<PathBuf, Functions>,
}

impl Comparable {
    fn functions(&mut self, path: &str) -> &Functions {
        let path = PathBuf::from(path);
        self.files.entry(path.clone()).or_insert_with(|| Functions::of_file(&path))
    }

    fn at_address(&mut self, path: &str, address: u64) -> String {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        // Code without a file has a random address; so has the vDSO, which perf finds in no file.
        if !path.starts_with('/') || path.starts_with("//anon") || path.contains("/perf-") {
            return if name == "[vdso]" { name } else { "[anonymous]".to_owned() };
        }
        format!("{name}!{:x}", self.functions(path).start(address))
    }

    fn at_offset(&mut self, path: &str, offset: u64) -> String {
        let address = self.functions(path).address(offset).unwrap_or(offset);
        self.at_address(path, address)
    }

    /// Our stacks; those that were only in the kernel are left out.
    pub fn ours(&mut self, stacks: &[Stack]) -> Counts {
        let mut counts = Counts::new();
        for stack in stacks {
            let frames = stack.user_frames().iter();
            let keys: Vec<String> =
                frames.map(|frame| self.at_address(&frame.binary, frame.address)).collect();
            if !keys.is_empty() {
                *counts.entry(keys.join(";")).or_default() += stack.count;
            }
        }
        counts
    }

    /// What `perf script -F pid,ip,dso` prints of a recording.
    pub fn perf(&mut self, script: &str) -> Counts {
        let mut counts = Counts::new();
        let mut frames: Vec<String> = Vec::new();
        for line in script.lines().chain([""]) {
            if let Some((offset, path)) = perf_frame(line) {
                frames.push(self.at_offset(path, offset));
            } else if line.is_empty() && !frames.is_empty() {
                frames.reverse();
                *counts.entry(frames.join(";")).or_default() += 1;
                frames.clear();
            }
        }
        counts
    }
}

/// File offset and file of a user frame: `ADDRESS (FILE)` after white space.
fn perf_frame(line: &str) -> Option<(u64, &str)> {
    let (address, path) = line.strip_prefix(|first: char| first.is_whitespace())?.trim().split_once(" (")?;
    let address = u64::from_str_radix(address, 16).ok()?;
    // Of kernel frames it is the address, in the upper half of the address space.
    (address < 1 << 63).then_some((address, path.trim_end_matches(')')))
}

/// Records `command` with its whole stacks and returns what `perf script` prints.
///
/// # Errors
///
/// That perf is absent, or what it says.
pub fn perf_record(command: &Command, frequency: u32, folder: &Path) -> Result<String, String> {
    if !is_present("perf") {
        return Err("perf is absent".into());
    }
    let data = folder.join("perf.data");
    let mut record = Command::new("perf");
    let frequency = frequency.to_string();
    record.args(["record", "-q", "-e", "cpu-clock", "-F", &frequency, "--call-graph", "dwarf,65528"]);
    record.args(["-m", "16M", "-o"]).arg(&data).arg("--").arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        value.map(|value| record.env(key, value));
    }
    let status = record.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
        return Err(format!("{record:?}: {status:?}"));
    }
    let script = ["script", "--no-inline", "-F", "pid,ip,dso", "-i"];
    output(Command::new("perf").args(script).arg(&data).stdin(Stdio::null()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_perf_become_file_and_function() {
        let script = "31507 \n\tffffffff813baa3b ([kernel.kallsyms])\n\t            11f7 (/no/file)\n\
                      \t    7f084f153013 (/tmp/perf-1.map)\n\t   12 (/no/other)\n\n31507 \n\t 12 (/no/other)\n";
        let counts = Comparable::default().perf(script);
        let mut found: Vec<_> = counts.into_iter().collect();
        found.sort();
        assert_eq!(found, [("other!12".into(), 1), ("other!12;[anonymous];file!11f7".into(), 1)]);
    }
}
