//! Shows the functions at addresses of a file: `frames FILE [DEBUG] < ADDRESSES`, one address in hexadecimal a
//! line; prints what the index says about itself first.

use std::io::{BufRead as _, Write as _};
use std::time::Instant;

use hearth_objfile::ElfAddress;
use hearth_symbolize::ReadAt;
use hearth_symbolize::index::{Inputs, Limits, Reader, build};

struct File(std::fs::File, u64);

impl ReadAt for File {
    fn size(&self) -> u64 {
        self.1
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, buffer, offset)
    }
}

fn open(path: &std::ffi::OsStr) -> std::io::Result<File> {
    let file = std::fs::File::open(path)?;
    let size = file.metadata()?.len();
    Ok(File(file, size))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let paths: Vec<_> = std::env::args_os().skip(1).collect();
    let binary = open(paths.first().ok_or("no file")?)?;
    let debug = paths.get(1).map(|path| open(path)).transpose()?;
    let inputs = Inputs {
        binary: Some(&binary),
        debug: debug.as_ref().map(|file| file as &dyn ReadAt),
        ..Inputs::default()
    };
    let start = Instant::now();
    let (summary, bytes) = build(&inputs, &Limits::default(), Vec::new())?;
    writeln!(out, "{summary:?} in {:.1?}", start.elapsed())?;
    let mut reader = Reader::open(bytes)?;
    let start = Instant::now();
    let mut count = 0;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let address = u64::from_str_radix(line.trim().trim_start_matches("0x"), 16)?;
        let mut frames = Vec::new();
        reader.frames(ElfAddress(address), &mut frames)?;
        count += 1;
        writeln!(out, "{address:#x}")?;
        for frame in frames {
            let raw = if frame.system_name.is_empty() { &frame.name } else { &frame.system_name };
            writeln!(out, "  {} {raw} {}:{}", frame.name, frame.file, frame.line)?;
        }
    }
    writeln!(out, "{count} look-ups in {:.1?}", start.elapsed())?;
    out.flush()?;
    Ok(())
}
