//! Thousands of short processes, and what the kernel says they used.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::programs::compile;
use crate::real::output;
use crate::stacks::Stack;

/// Programs that live for a given amount of CPU, and what starts them.
#[derive(Debug)]
pub struct ShortProcesses {
    folder: TempDir,
    programs: Vec<PathBuf>,
}

/// What one program's processes used together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShortUsage {
    /// The number in the service name `short-NUMBER`.
    pub index: usize,
    /// Processes.
    pub processes: u64,
    /// User and system time, microseconds.
    pub cpu_us: u64,
}

impl ShortProcesses {
    /// Compiles the programs: `copies` files, each with an inode and a build ID of its own.
    ///
    /// # Errors
    ///
    /// What does not compile.
    pub fn prepare(copies: usize, flags: &str) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("temporary folder: {error}"))?;
        compile("gcc", "-O2", "spawner.c", &folder.path().join("spawner"))?;
        let original = folder.path().join("original");
        compile(
            "gcc",
            &format!("-O2 -fomit-frame-pointer -Wl,--build-id=sha1 {flags}"),
            "short.c",
            &original,
        )?;
        let image = std::fs::read(&original).map_err(|error| format!("{}: {error}", original.display()))?;
        let programs = (0..copies)
            .map(|index| copy(&image, index, &folder.path().join(format!("short-{index}"))))
            .collect::<Result<_, _>>()?;
        Ok(Self { folder, programs })
    }

    /// Starts `processes` of them, `at_once` at a time, each using `cpu_us` of CPU; waits for all.
    ///
    /// # Errors
    ///
    /// What the spawner says.
    pub fn run(&self, processes: u32, at_once: u32, cpu_us: u32) -> Result<Vec<ShortUsage>, String> {
        let printed = output(&mut self.command(processes, at_once, cpu_us))?;
        let line = |line: &str| {
            let mut words = line.split(' ').map(str::parse::<u64>);
            let mut next = || words.next()?.ok();
            Some(ShortUsage { index: usize::try_from(next()?).ok()?, processes: next()?, cpu_us: next()? })
        };
        printed.lines().map(line).collect::<Option<_>>().ok_or(format!("the spawner printed {printed:?}"))
    }

    /// The command behind [`run`](Self::run), for those who start it themselves.
    pub fn command(&self, processes: u32, at_once: u32, cpu_us: u32) -> Command {
        let mut command = Command::new(self.folder.path().join("spawner"));
        command.args([processes, at_once, cpu_us].map(|number| number.to_string())).args(&self.programs);
        command
    }
}

/// Writes `image` with a build ID that holds `index`.
fn copy(image: &[u8], index: usize, to: &Path) -> Result<PathBuf, String> {
    // An ELF note: 4 bytes of name, 20 of SHA-1, type 3, "GNU".
    const NOTE: [u8; 16] = [4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0, b'G', b'N', b'U', 0];
    let mut image = image.to_vec();
    let at = image.windows(NOTE.len()).position(|window| window == NOTE).ok_or("no build ID")? + NOTE.len();
    let bytes = image.get_mut(at..at + 8).ok_or("no build ID")?;
    bytes.copy_from_slice(&(index as u64 + 1).to_be_bytes());
    let written = std::fs::write(to, image).and_then(|()| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o755))
    });
    written.map_err(|error| format!("{}: {error}", to.display()))?;
    Ok(to.to_path_buf())
}

/// How much of the CPU that short processes used was attributed, and to what.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Attribution {
    /// CPU of all processes as the kernel accounts it, seconds.
    pub used_seconds: f64,
    /// Samples of the right service whose leaf has a name.
    pub named: i64,
    /// Samples of the right service.
    pub of_service: i64,
    /// Samples of the right service whose chain is `main`, `middle`, …
    pub whole_chain: i64,
    /// Samples a clock of this frequency takes in [`used_seconds`](Self::used_seconds).
    pub expected: f64,
}

impl Attribution {
    /// Compares samples with what was used.
    pub fn of(usage: &[ShortUsage], stacks: &[Stack], samples_per_second: u32) -> Self {
        let used_seconds = usage.iter().map(|usage| usage.cpu_us as f64 / 1e6).sum::<f64>();
        let mut found =
            Self { used_seconds, expected: used_seconds * f64::from(samples_per_second), ..Self::default() };
        for stack in stacks.iter().filter(|stack| stack.service.starts_with("short-")) {
            found.of_service += stack.count;
            let has_name = stack.frames.last().is_some_and(|leaf| !leaf.function.is_empty());
            found.named += if has_name { stack.count } else { 0 };
            let names: Vec<&str> = stack.frames.iter().map(|frame| frame.function.as_str()).collect();
            let has_chain = names.windows(2).any(|pair| pair == ["main", "middle"]);
            found.whole_chain += if has_chain { stack.count } else { 0 };
        }
        found
    }

    /// Percent of the CPU used that has a named function of the right service.
    pub fn percent(&self) -> f64 {
        self.named as f64 * 100.0 / self.expected.max(1e-9)
    }

    /// Half the width of the 99 % interval of [`percent`](Self::percent), if samples were independent.
    pub fn interval(&self) -> f64 {
        2.58 * 100.0 / self.expected.max(1.0).sqrt()
    }
}
