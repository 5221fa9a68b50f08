//! Boots kernels of Debian under QEMU and runs the project's tests there (`e2e/vm`).
//!
//! A guest is an initramfs with busybox, the test executables and what they need, at the paths they
//! have here; results come over its serial console. Hardware virtualisation is not used, so this runs
//! anywhere, and two guests fit on two cores.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

const HELP: &str = "\
Usage: cargo xtask vm [OPTIONS] [KERNEL…] [-- PROGRAM [ARGUMENT…]]

Boots kernels of Debian under QEMU (software emulation) and runs the tests of kernels there, or PROGRAM.

  KERNEL        5.10, 6.1, 6.12, 6.18, 7 or arm64 (default: all; arm64 shows the objects to its verifier)
  PROGRAM       a file of this machine, copied into the guest with its libraries and run as root
  --swap        the long test of the walk's truth instead: ten million look-ups per kernel
  --file PATH   copy this file into the guest too, at the same path (repeatable)
  --guests N    guests at a time (default 2)
  --limit N     seconds a guest may take (default 600; with --swap 7200)
";

/// Kernels by default: `e2e/vm/kernels` says what they are.
const KERNELS: [&str; 6] = ["5.10", "6.1", "6.12", "6.18", "7", "arm64"];
/// Test targets that run in a guest: package, target.
const TESTS: [(&str, &str); 2] = [("hearth", "kernels"), ("hearth", "swap")];
/// A boot hangs or stumbles now and then: emulation is slow, and the machine may be busy.
const BOOTS_MAX: u32 = 3;
/// Seconds until a guest must have said GUEST-UP.
const UP_SECONDS_MAX: u64 = 120;

/// What was asked for.
struct Options {
    kernels: Vec<String>,
    program: Vec<String>,
    files: Vec<PathBuf>,
    swap: bool,
    guests: usize,
    limit: Duration,
}

/// How a guest ended.
enum End {
    /// Its job's exit code.
    Code(i32),
    /// It took too long: its job hangs, or the machine is too busy.
    TooLong,
    /// It did not get to the job's end.
    Stumbled(String),
}

/// Runs the task.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), String> {
    if arguments.iter().any(|argument| argument == "--help") {
        crate::say(HELP);
        return Ok(());
    }
    let options = parse(arguments)?;
    let cache = root.join("target/vm");
    let scripts = root.join("e2e/vm");
    crate::run(Command::new(scripts.join("fetch.sh")).arg(&cache).args(&options.kernels))?;
    let mut images = Vec::new();
    for (name, wanted) in [("x86_64", false), ("arm64", true)] {
        if options.kernels.iter().any(|kernel| is_arm64(kernel) == wanted) {
            let image = cache.join(format!("image-{name}-{}.cpio", std::process::id()));
            if wanted {
                crate::run(Command::new(scripts.join("arm64.sh")).arg(&cache).arg(&image))?;
            } else {
                make_image(root, &options, &image)?;
            }
            images.push((wanted, image));
        }
    }
    let outcome = boot_all(&scripts, &cache, &options, &images);
    for (_, image) in &images {
        fs::remove_file(image).ok();
    }
    outcome
}

fn is_arm64(kernel: &str) -> bool {
    kernel.starts_with("arm64")
}

fn parse(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options {
        kernels: Vec::new(),
        program: Vec::new(),
        files: Vec::new(),
        swap: false,
        guests: 2,
        limit: Duration::from_secs(600),
    };
    let mut limit = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut number = || {
            let text = rest.next().map(String::as_str).unwrap_or_default();
            text.parse::<u32>()
                .ok()
                .filter(|number| *number > 0)
                .ok_or(format!("{argument} {text:?}: expected a number from 1"))
        };
        match argument.as_str() {
            "--swap" => options.swap = true,
            "--guests" => options.guests = number()? as usize,
            "--limit" => limit = Some(number()?),
            "--file" => options.files.extend(rest.next().map(PathBuf::from)),
            "--" => options.program = rest.by_ref().cloned().collect(),
            other if other.starts_with('-') => return Err(format!("unknown option {other:?}\n\n{HELP}")),
            kernel => options.kernels.push(kernel.to_owned()),
        }
    }
    if options.kernels.is_empty() {
        let only_x86 = options.swap || !options.program.is_empty();
        options.kernels = KERNELS
            .iter()
            .filter(|name| !(only_x86 && is_arm64(name)))
            .map(|name| (*name).to_owned())
            .collect();
    }
    if options.swap {
        options.limit = Duration::from_secs(7200);
    }
    if let Some(seconds) = limit {
        options.limit = Duration::from_secs(seconds.into());
    }
    Ok(options)
}

/// Builds what the guest runs and packs it.
fn make_image(root: &Path, options: &Options, image: &Path) -> Result<(), String> {
    let folder = image.with_extension("root");
    let _ = fs::remove_dir_all(&folder);
    let mut run = String::from("export HEARTH_GUEST=1 HEARTH_PROGRAMS=/job/programs\nfailed=0\n");
    if let Some(program) = options.program.first() {
        copy(Path::new(program), &folder)?;
        let words: Vec<String> =
            options.program.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
        run += &format!("{} || failed=$?\n", words.join(" "));
    } else {
        for executable in build_tests(root, options.swap)? {
            copy(&executable, &folder)?;
            let shown = executable.display();
            let filter = if options.swap { "--ignored" } else { "" };
            run +=
                &format!("echo \"RUN {shown}\"\n{shown} --test-threads=1 --nocapture {filter} || failed=1\n");
        }
        copy(&build_binary(root)?, &folder)?;
    }
    crate::run(Command::new(root.join("e2e/vm/programs/build.sh")).arg(folder.join("job/programs")))?;
    for file in &options.files {
        copy(file, &folder)?;
    }
    run += "exit $failed\n";
    fs::create_dir_all(folder.join("job")).map_err(|error| format!("{}: {error}", folder.display()))?;
    fs::write(folder.join("job/run"), run).map_err(|error| format!("{}: {error}", folder.display()))?;
    let packed = crate::run(Command::new(root.join("e2e/vm/image.sh")).arg(&folder).arg(image));
    fs::remove_dir_all(&folder).ok();
    packed
}

/// Copies an executable or any other file to the same path below `folder`, without debug information.
fn copy(file: &Path, folder: &Path) -> Result<(), String> {
    let problem = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let file = file.canonicalize().map_err(|error| problem(&error))?;
    let target = folder.join(file.strip_prefix("/").unwrap_or(&file));
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(|error| problem(&error))?;
    }
    let mut strip = Command::new("strip");
    let strip = strip.arg("--strip-debug").arg("-o").arg(&target).arg(&file).stderr(Stdio::null());
    if !strip.status().is_ok_and(|status| status.success()) {
        fs::copy(&file, &target).map_err(|error| problem(&error))?;
    }
    Ok(())
}

/// The test executables that run in a guest.
fn build_tests(root: &Path, swap: bool) -> Result<Vec<PathBuf>, String> {
    let mut wanted: Vec<(String, String)> =
        TESTS.iter().map(|(package, test)| ((*package).to_owned(), (*test).to_owned())).collect();
    let of_sampler = fs::read_dir(root.join("crates/sampler/tests")).into_iter().flatten().flatten();
    for path in of_sampler.map(|entry| entry.path()) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("bpf") && path.extension().is_some_and(|extension| extension == "rs") {
            wanted.push(("hearth-sampler".to_owned(), name));
        }
    }
    if swap {
        wanted.retain(|(_, test)| test == "swap");
    }
    let mut arguments = vec!["test".to_owned(), "--no-run".to_owned()];
    for (package, test) in &wanted {
        arguments.extend(["--package".to_owned(), package.clone(), "--test".to_owned(), test.clone()]);
    }
    let found = cargo(root, &arguments)?;
    let executable = |test: &str| {
        let file = found.iter().find(|(name, _)| name == test).map(|(_, path)| path.clone());
        file.ok_or_else(|| format!("cargo built no executable of test {test}"))
    };
    wanted.iter().map(|(_, test)| executable(test)).collect()
}

fn build_binary(root: &Path) -> Result<PathBuf, String> {
    let arguments = ["build", "--package", "hearth"].map(str::to_owned);
    let found = cargo(root, &arguments)?;
    let binary = found.into_iter().find(|(name, _)| name == "hearth");
    binary.map(|(_, path)| path).ok_or_else(|| "cargo built no hearth".to_owned())
}

/// Runs cargo; name and path of each executable it made.
fn cargo(root: &Path, arguments: &[String]) -> Result<Vec<(String, PathBuf)>, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo {}: {}", arguments.join(" "), output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let artifacts = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    Ok(artifacts
        .filter_map(|artifact| {
            let path = artifact["executable"].as_str()?;
            Some((artifact["target"]["name"].as_str()?.to_owned(), PathBuf::from(path)))
        })
        .collect())
}

/// Boots each kernel, several at a time, and reports.
fn boot_all(
    scripts: &Path,
    cache: &Path,
    options: &Options,
    images: &[(bool, PathBuf)],
) -> Result<(), String> {
    let queue = Mutex::new(options.kernels.iter());
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..options.guests.min(options.kernels.len()) {
            scope.spawn(|| {
                while let Some(kernel) = queue.lock().ok().and_then(|mut queue| queue.next()) {
                    let image = images.iter().find(|(arm64, _)| *arm64 == is_arm64(kernel));
                    let Some((_, image)) = image else { continue };
                    if !boot(scripts, cache, kernel, image, options)
                        && let Ok(mut failed) = failed.lock()
                    {
                        failed.push(kernel.clone());
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().map_err(|error| error.to_string())?;
    if failed.is_empty() { Ok(()) } else { Err(format!("vm: failed on {}", failed.join(", "))) }
}

/// Boots one kernel until it gets to the job's end, and shows what it found; whether all is well.
fn boot(scripts: &Path, cache: &Path, kernel: &str, image: &Path, options: &Options) -> bool {
    let folder = cache.join("kernels").join(kernel);
    let log = cache.join(format!("{kernel}-{}.log", std::process::id()));
    for attempt in 1..=BOOTS_MAX {
        let began = Instant::now();
        let end = boot_once(scripts, &folder, image, &log, options.limit);
        let text = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).replace('\r', "");
        let seconds = began.elapsed().as_secs();
        match end {
            Ok(End::Code(code)) => {
                let skipped = text.contains("skipped:");
                let good = code == 0 && !skipped;
                show(kernel, &text, good && options.program.is_empty());
                let verdict = if good { "PASS" } else { "FAIL" };
                let note = if skipped { ", skipped something" } else { "" };
                crate::say(&format!("vm {kernel}: {verdict} in {seconds} s (exit code {code}{note})\n"));
                fs::remove_file(&log).ok();
                return good;
            }
            Ok(End::TooLong) => {
                show(kernel, &text, false);
                crate::say(&format!("vm {kernel}: FAIL: not done after {seconds} s\n"));
                return false;
            }
            Ok(End::Stumbled(why)) | Err(why) => {
                show(kernel, &text, false);
                crate::say(&format!("vm {kernel}: {why} after {seconds} s, boot {attempt} of {BOOTS_MAX}\n"));
            }
        }
    }
    false
}

/// Prints a guest's log: all of it, or the figures alone.
fn show(kernel: &str, text: &str, figures_only: bool) {
    let mut shown = String::new();
    for line in text.lines() {
        let figure = line.split_once("figure: ").map(|(_, figure)| figure);
        match (figures_only, figure) {
            (true, Some(figure)) => shown += &format!("vm {kernel}: {figure}\n"),
            (true, None) if line.starts_with("GUEST-") => shown += &format!("vm {kernel}: {line}\n"),
            (true, None) => {}
            (false, _) => shown += &format!("vm {kernel}| {line}\n"),
        }
    }
    crate::say(&shown);
}

fn boot_once(
    scripts: &Path,
    kernel: &Path,
    image: &Path,
    log: &Path,
    limit: Duration,
) -> Result<End, String> {
    let problem = |error: std::io::Error| format!("{}: {error}", log.display());
    let file = fs::File::create(log).map_err(problem)?;
    let mut child = Command::new(scripts.join("boot.sh"))
        .arg(kernel)
        .arg(image)
        .stdin(Stdio::null())
        .stderr(file.try_clone().map_err(problem)?)
        .stdout(file)
        .spawn()
        .map_err(|error| format!("boot.sh: {error}"))?;
    let began = Instant::now();
    let mut up = false;
    let why = loop {
        if let Some(status) = child.try_wait().map_err(problem)? {
            break format!("the guest ended without GUEST-END ({status})");
        }
        up = up || fs::read(log).is_ok_and(|text| String::from_utf8_lossy(&text).contains("GUEST-UP"));
        if !up && began.elapsed() > Duration::from_secs(UP_SECONDS_MAX) {
            break "the guest did not come up".to_owned();
        }
        if began.elapsed() > limit {
            break String::new();
        }
        thread::sleep(Duration::from_millis(200));
    };
    child.kill().ok();
    child.wait().map_err(problem)?;
    let text = fs::read(log).map_err(problem)?;
    let text = String::from_utf8_lossy(&text);
    let end = text.lines().find_map(|line| line.strip_prefix("GUEST-END ")?.split(' ').next()?.parse().ok());
    Ok(match end {
        Some(code) => End::Code(code),
        None if why.is_empty() => End::TooLong,
        None => End::Stumbled(why),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Options, String> {
        parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn all_kernels_are_booted_unless_some_are_named() {
        assert_eq!(options("").unwrap().kernels, KERNELS);
        assert_eq!(options("6.1 7").unwrap().kernels, ["6.1", "7"]);
        assert_eq!(options("--swap").unwrap().kernels, ["5.10", "6.1", "6.12", "6.18", "7"]);
        let options = options("--limit 9 5.10 -- /bin/ls --swap").unwrap();
        assert_eq!(options.program, ["/bin/ls", "--swap"]);
        assert_eq!((options.limit.as_secs(), options.swap), (9, false));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (text, want) in
            [("--boot", "unknown option"), ("--guests 0", "expected a number"), ("--limit", "expected")]
        {
            let error = options(text).err().unwrap_or_default();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
