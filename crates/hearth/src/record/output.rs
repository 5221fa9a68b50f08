//! The files a recording is written to; the extension says in which format.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use hearth_codec::svg::amount;
use hearth_codec::{folded, pprof, svg};
use hearth_profile::ValueType;

use super::recording::Recording;

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Output {
    path: PathBuf,
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Folded,
    Pprof,
    Svg,
}

/// Extensions and what they stand for.
const FORMATS: [(&str, Format); 3] =
    [(".folded", Format::Folded), (".pb.gz", Format::Pprof), (".svg", Format::Svg)];

impl Output {
    /// Reads the format off a file's name.
    pub(super) fn parse(path: &str) -> Result<Self, String> {
        let found = FORMATS.iter().find(|(extension, _)| path.ends_with(extension));
        let (_, format) = found.ok_or("unknown extension; expected .folded, .pb.gz or .svg")?;
        Ok(Self { path: path.into(), format: *format })
    }

    /// Says what would keep the file from being written, before anything is recorded.
    pub(super) fn check(&self) -> Result<(), String> {
        let folder = self.path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let problem = match folder.metadata() {
            Err(error) => Some(format!("folder {}: {error}", folder.display())),
            Ok(folder_facts) if !folder_facts.is_dir() => Some(format!("{} is no folder", folder.display())),
            Ok(_) if self.path.is_dir() => Some("it is a folder".into()),
            Ok(_) => None,
        };
        problem.map_or(Ok(()), |problem| Err(format!("cannot write {}: {problem}", self.path.display())))
    }

    /// Writes a recording and returns a line that says so.
    pub(super) fn write(&self, recording: &Recording) -> Result<String, String> {
        let bytes = self.format.encode(recording);
        let shown = self.path.display();
        write_file(&self.path, &bytes).map_err(|error| format!("cannot write {shown}: {error}"))?;
        let size = amount(i64::try_from(bytes.len()).unwrap_or(i64::MAX), "bytes");
        Ok(format!("wrote {shown} ({size})\n"))
    }
}

impl Format {
    fn encode(self, recording: &Recording) -> Vec<u8> {
        match self {
            Self::Folded => folded::write(&recording.tree(1)).into_bytes(),
            Self::Pprof => pprof::gzip(&pprof::encode(&recording.batch())),
            Self::Svg => {
                let tree = recording.tree(recording.period_ns());
                let title = format!(
                    "CPU time in {}, {} samples per second",
                    amount(i64::try_from(recording.elapsed.as_nanos()).unwrap_or(i64::MAX), "nanoseconds"),
                    recording.samples_per_second
                );
                svg::write(&tree, &title, &ValueType::new("cpu", "nanoseconds")).into_bytes()
            }
        }
    }
}

/// Writes beside the target and renames, so that a reader never sees half a file. Under sudo the
/// file belongs to whoever called sudo.
fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Special files (/dev/stdout) and links are written to, not replaced.
    if fs::symlink_metadata(path).is_ok_and(|file| !file.is_file()) {
        return fs::write(path, bytes);
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let result = write_part(&part, bytes).and_then(|()| fs::rename(&part, path));
    if result.is_err() {
        // What remains of the attempt is of no use; the error that matters is the first.
        let _ = fs::remove_file(&part);
    }
    result
}

fn write_part(part: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(part)?;
    file.write_all(bytes)?;
    let id = |name| std::env::var(name).ok().and_then(|id| id.parse::<u32>().ok());
    match (rustix::process::geteuid().is_root(), id("SUDO_UID"), id("SUDO_GID")) {
        (true, Some(user), Some(group)) => fchown(&file, Some(user), Some(group)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::recording::tests::collection;
    use super::*;

    #[test]
    fn every_format_is_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut recording = Recording::new(1_000);
        recording.add(collection("app/1 main;work 30\napp/1 main;idle 10"));
        for (extension, format) in FORMATS {
            let path = folder.path().join(format!("out{extension}"));
            let output = Output::parse(path.to_str().unwrap()).unwrap();
            assert_eq!((output.format, output.check()), (format, Ok(())));
            for _ in 0..2 {
                assert!(output.write(&recording).unwrap().starts_with("wrote "));
            }
            let bytes = fs::read(&path).unwrap();
            match format {
                Format::Folded => assert_eq!(bytes, b"main;idle 10\nmain;work 30\n"),
                Format::Pprof => {
                    let batch = pprof::decode(&bytes, &hearth_codec::Limits::default()).unwrap();
                    assert_eq!(
                        batch.profiles().map(|profile| profile.total()).collect::<Vec<_>>(),
                        [40, 40_000_000]
                    );
                }
                Format::Svg => assert!(String::from_utf8(bytes).unwrap().contains("total 30 ms (75.00 %)")),
            }
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), FORMATS.len(), "nothing else is left");
    }

    #[test]
    fn what_cannot_be_written_is_told_before_recording() {
        let folder = tempfile::tempdir().unwrap();
        let problem = |path: PathBuf| Output::parse(path.to_str().unwrap()).unwrap().check().unwrap_err();
        assert!(problem(folder.path().join("absent/out.svg")).contains("absent: No such file"));
        fs::create_dir(folder.path().join("dir.svg")).unwrap();
        assert!(problem(folder.path().join("dir.svg")).ends_with("it is a folder"));
        assert_eq!(Output::parse("out.svg").unwrap().check(), Ok(()));
    }
}
