//! Programs that burn CPU in known functions at known shares, compiled by the test that needs them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A compiled program in a folder of its own, which goes when the value is dropped.
#[derive(Debug)]
pub struct Workload {
    folder: TempDir,
    program: PathBuf,
}

impl Workload {
    /// A C program with frame pointers that spends 60 % of its time in `hearth_a`, 30 % in
    /// `hearth_b` and 10 % in `hearth_c`, each called by `hearth_outer` and calling `hearth_spin`.
    /// It runs for the number of seconds given as its argument.
    ///
    /// # Panics
    ///
    /// If there is no working C compiler: the tests need one, and say so.
    pub fn shares_in_c(name: &str) -> Self {
        let flags = ["-O1", "-g0", "-fno-omit-frame-pointer", "-fno-inline", "-fno-optimize-sibling-calls"];
        Self::compile(name, "c", C_SHARES, "cc", &flags)
    }

    /// A Rust program whose time goes to `hearth_workload::Engine<T>::grind`.
    ///
    /// # Panics
    ///
    /// If there is no working Rust compiler.
    pub fn generic_in_rust(name: &str) -> Self {
        let flags =
            ["--edition=2021", "--crate-name=hearth_workload", "-Copt-level=1", "-Cforce-frame-pointers=yes"];
        Self::compile(name, "rs", RUST_GENERIC, "rustc", &flags)
    }

    fn compile(name: &str, extension: &str, source: &str, compiler: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("temporary folder: {error}"));
        let code = folder.path().join(format!("source.{extension}"));
        let program = folder.path().join(name);
        fs::write(&code, source).unwrap_or_else(|error| panic!("{}: {error}", code.display()));
        let output = Command::new(compiler).args(flags).arg("-o").arg(&program).arg(&code).output();
        let output = output.unwrap_or_else(|error| panic!("{compiler}, which this test needs: {error}"));
        assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
        Self { folder, program }
    }

    /// The program's path.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A folder for further files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command that runs it for `seconds`.
    pub fn command(&self, seconds: u32) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(seconds.to_string());
        command
    }
}

/// Sums folded stacks (`root;…;leaf value` per line) by which of `functions` occurs in them, as
/// shares of the sum over all of them.
pub fn shares(folded: &str, functions: &[&str]) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, f64> = functions.iter().map(|name| ((*name).to_owned(), 0.0)).collect();
    for line in folded.lines() {
        let Some((path, value)) = line.rsplit_once(' ') else { continue };
        let found = functions.iter().find(|name| path.split(';').any(|frame| frame == **name));
        if let (Some(name), Ok(value)) = (found, value.parse::<f64>()) {
            *sums.entry((*name).to_owned()).or_default() += value;
        }
    }
    let total: f64 = sums.values().sum();
    sums.values_mut().for_each(|value| *value /= total.max(1.0));
    sums
}

const C_SHARES: &str = r#"
#include <stdlib.h>
#include <time.h>

volatile unsigned long sink;

void hearth_spin(unsigned long rounds)
{
    unsigned long value = sink;
    for (unsigned long i = 0; i < rounds * 20000; i++)
        value = value * 2862933555777941757UL + 3037000493UL;
    sink = value;
}

void hearth_a(void) { hearth_spin(6); sink++; }
void hearth_b(void) { hearth_spin(3); sink++; }
void hearth_c(void) { hearth_spin(1); sink++; }

void hearth_outer(void)
{
    hearth_a();
    hearth_b();
    hearth_c();
    sink++;
}

int main(int argc, char **argv)
{
    time_t end = time(0) + (argc > 1 ? atoi(argv[1]) : 1);

    while (time(0) < end)
        for (int i = 0; i < 50; i++)
            hearth_outer();
    return 0;
}
"#;

const RUST_GENERIC: &str = r#"
use std::time::{Duration, Instant};

pub struct Engine<T>(T);

impl<T: Into<u64> + Copy> Engine<T> {
    #[inline(never)]
    pub fn grind(&self, rounds: u64) -> u64 {
        let mut value: u64 = self.0.into();
        for round in 0..rounds {
            value = std::hint::black_box(value.wrapping_mul(2862933555777941757).wrapping_add(round));
        }
        value
    }
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1);
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        std::hint::black_box(Engine(7u32).grind(1_000_000));
    }
}
"#;
