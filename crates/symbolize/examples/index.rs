//! Measures symbol indexes: `index FILE…` prints for each file the time to build its index, the
//! memory it takes and look-ups per second, with and without demangling.

use std::fs::File;
use std::io::Write as _;
use std::time::Instant;

use hearth_objfile::ElfAddress;
use hearth_symbolize::{FrameSource, KernelSymbols, SymbolTable};
use object::ReadCache;

/// Addresses looked up in each file.
const LOOKUPS: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout();
    for path in std::env::args_os().skip(1) {
        let start = Instant::now();
        let cache = ReadCache::new(File::open(&path)?);
        let table = SymbolTable::from_elf(&cache)?;
        let built = start.elapsed();
        let name = std::path::Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (Some(first), Some(last)) = (table.iter().next(), table.iter().last()) else {
            writeln!(out, "{name}: no symbols, {built:.1?}")?;
            continue;
        };
        let span = (last.start.0 - first.start.0).max(1);
        // A walk through the whole range in an order that no cache likes.
        let address = |i: u64| ElfAddress(first.start.0 + i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % span);
        let start = Instant::now();
        let found = (0..LOOKUPS).filter(|i| table.lookup(address(*i)).is_some()).count();
        let looked_up = start.elapsed();
        let start = Instant::now();
        let mut frames = Vec::new();
        let demangled = LOOKUPS / 20;
        for i in 0..demangled {
            frames.clear();
            table.frames(address(i), &mut frames);
        }
        let named = start.elapsed();
        writeln!(
            out,
            "{name}: {} functions, built in {built:.1?}, {:.1} MB ({:.1} B each); {:.1} M look-ups/s ({:.0} % found), {:.0} k frames/s",
            table.len(),
            table.memory_bytes() as f64 / 1e6,
            table.memory_bytes() as f64 / table.len() as f64,
            LOOKUPS as f64 / looked_up.as_secs_f64() / 1e6,
            found as f64 * 100.0 / LOOKUPS as f64,
            demangled as f64 / named.as_secs_f64() / 1e3,
        )?;
    }
    let text = std::fs::read("/proc/kallsyms")?;
    let start = Instant::now();
    let kernel = KernelSymbols::parse(&text)?;
    writeln!(
        out,
        "kallsyms: {} functions, parsed in {:.1?}, {:.1} MB",
        kernel.len(),
        start.elapsed(),
        kernel.memory_bytes() as f64 / 1e6
    )?;
    Ok(())
}
