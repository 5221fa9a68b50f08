//! Hostile and odd processes: whatever one of them does, sampling ends in bounded time and memory, what
//! is missing is said, and the stacks of the others stay whole.

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;
#[expect(dead_code, reason = "each test program uses a part of it")]
mod programs;

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::can_sample;
use hearth_sampler::{Collection, Overrides, Sampler, Settings, Target};
use hearth_testkit::say;
use programs::{Running, Stacks, figure, program, run};

/// A generous bound on a collection: it may wait five seconds for files, and the machine may be busy.
const COLLECT_MAX: Duration = Duration::from_secs(20);
/// What a hostile process may make the sampler grow by.
const GROWTH_BYTES_MAX: u64 = 96 << 20;

/// A sampler, and a process that minds its own business.
struct Watch {
    sampler: Sampler,
    bystander: Running,
    anonymous_before: u64,
}

impl Watch {
    fn start(test: &str) -> Option<Self> {
        Self::start_with(test, Overrides::default())
    }

    fn start_with(test: &str, overrides: Overrides) -> Option<Self> {
        if !can_sample(test) {
            return None;
        }
        let sampler = Sampler::start_with(Settings::new(499, Target::Host), overrides);
        let sampler = sampler.unwrap_or_else(|error| panic!("{error}"));
        let bystander = run(&mut Command::new(program("shares-rows")));
        // The files that every process shares get known.
        sleep(Duration::from_millis(1500));
        sampler.collect();
        Some(Self { sampler, bystander, anonymous_before: anonymous_bytes() })
    }

    /// Samples for `time`, and checks that the bystander does not suffer.
    fn check(&self, what: &str, time: Duration) -> Collection {
        sleep(time);
        let began = Instant::now();
        let collection = self.sampler.collect();
        let took = began.elapsed();
        let mut stacks = Stacks::default();
        stacks.add(&collection.batch, self.bystander.id());
        let whole = stacks.weight(|path| path.contains("main;hearth_outer") && !path.contains("[stopped:"));
        let grown = anonymous_bytes().saturating_sub(self.anonymous_before);
        figure(&format!(
            "{what}: collected in {} ms, {} KiB more memory, {whole} of {} samples of a bystander whole, lost {:?}",
            took.as_millis(),
            grown / 1024,
            stacks.total(),
            collection.lost
        ));
        assert!(took < COLLECT_MAX, "{what}: collecting took {took:?}");
        assert!(grown < GROWTH_BYTES_MAX, "{what}: {grown} bytes more than before");
        assert!(stacks.total() > 0 && whole * 100 >= stacks.total() * 97, "{what}:\n{}", stacks.shown(12));
        collection
    }

    fn stacks_of(&self, what: &str, process: &Running, time: Duration) -> Stacks {
        let collection = self.check(what, time);
        let mut stacks = Stacks::default();
        stacks.add(&collection.batch, process.id());
        stacks
    }
}

/// Anonymous memory of this process, which the sampler runs in.
fn anonymous_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib: u64 = line.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
    kib * 1024
}

/// Other bytes at an offset of a file.
type Patch = (u64, Vec<u8>);

/// A copy of a program of ours with other bytes at some places.
fn patched(folder: &Path, name: &str, patches: &[Patch]) -> PathBuf {
    let path = folder.join(name);
    fs::copy(program("shares-rows"), &path).expect("a copy");
    let mut file = fs::OpenOptions::new().write(true).open(&path).expect("it opens");
    for (at, bytes) in patches {
        file.seek(SeekFrom::Start(*at)).and_then(|_| file.write_all(bytes)).expect("it is written");
    }
    path
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// File offset of the section header of `.eh_frame`, and offset and size of the section.
fn eh_frame(elf: &[u8]) -> (u64, u64, u64) {
    let table = usize::try_from(u64_at(elf, 40)).expect("a 64-bit machine");
    let count = usize::from(u16::from_le_bytes([elf[60], elf[61]]));
    let names = table + 64 * usize::from(u16::from_le_bytes([elf[62], elf[63]]));
    let names = usize::try_from(u64_at(elf, names + 24)).expect("a 64-bit machine");
    for header in (0..count).map(|index| table + 64 * index) {
        let name =
            names + u32::from_le_bytes(elf[header..header + 4].try_into().expect("four bytes")) as usize;
        if elf[name..].starts_with(b".eh_frame\0") {
            return (header as u64, u64_at(elf, header + 24), u64_at(elf, header + 32));
        }
    }
    panic!("no .eh_frame");
}

#[test]
fn files_that_lie_cost_little_and_harm_nobody() {
    let Some(watch) = Watch::start("files_that_lie_cost_little_and_harm_nobody") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let elf = fs::read(program("shares-rows")).expect("the program");
    let (header, offset, size) = eh_frame(&elf);
    let four_gb = (4u64 << 30).to_le_bytes().to_vec();
    let bytes = usize::try_from(size).expect("a small section");
    let lies: Vec<(&str, Vec<Patch>)> = vec![
        ("claims-4-gb", vec![(header + 32, four_gb.clone())]),
        ("starts-at-4-gb", vec![(header + 24, four_gb)]),
        ("sections-elsewhere", vec![(40, u64::MAX.to_le_bytes().to_vec())]),
        ("sections-of-itself", vec![(40, 0u64.to_le_bytes().to_vec())]),
        ("65535-sections", vec![(60, vec![0xff, 0xff])]),
        ("length-of-zero", vec![(offset, vec![0; 4])]),
        ("longest-length", vec![(offset, vec![0xff; bytes])]),
        // Entries that are their own CIE, one after another.
        ("loops", vec![(offset, [4u32.to_le_bytes(), 4u32.to_le_bytes()].concat().repeat(bytes / 8))]),
        ("noise", vec![(offset, (0..bytes).map(|index| (index * 131 % 251) as u8).collect())]),
    ];
    let liars: Vec<(&str, Running)> = lies
        .iter()
        .map(|(name, patches)| (*name, run(&mut Command::new(patched(folder.path(), name, patches)))))
        .collect();
    let collection = watch.check("files that lie", Duration::from_secs(6));
    for (name, liar) in &liars {
        let mut stacks = Stacks::default();
        stacks.add(&collection.batch, liar.id());
        let spins = stacks.weight(|path| path.contains("hearth_") || path.contains(name));
        assert!(stacks.total() > 0, "{name}: not sampled at all");
        assert!(spins * 10 >= stacks.total() * 9, "{name}: the leaf is not even named\n{}", stacks.shown(8));
    }
}

#[test]
fn a_process_that_remaps_all_the_time_harms_nobody() {
    for (what, force_fallback) in [("remapping", false), ("remapping, fallback", true)] {
        let overrides = Overrides { force_fallback, ..Overrides::default() };
        let Some(watch) = Watch::start_with("a_process_that_remaps_all_the_time_harms_nobody", overrides)
        else {
            return;
        };
        let process = run(Command::new(program("hostile")).arg("remap").arg(program("first.so")));
        let stacks = watch.stacks_of(what, &process, Duration::from_secs(4));
        let stopped = stacks.weight(|path| path.contains("[stopped:"));
        let named = stacks.weight(|path| path.contains("hearth_remap") || path.contains("hearth_in_first"));
        figure(&format!("{what}: {named} of {} samples named, {stopped} stopped", stacks.total()));
        assert!(stacks.total() > 50, "{}", stacks.shown(8));
        assert_eq!(stacks.weight(|path| path.contains("hearth_in_second")), 0);
    }
}

#[test]
fn a_hundred_thousand_mappings_harm_nobody() {
    let limit = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    let limit: u64 = limit.trim().parse().unwrap_or(65_530);
    // What the kernel allows; usually 65,530.
    let count = (limit - 500).min(100_000).to_string();
    for (what, force_fallback) in [("mappings", false), ("mappings, fallback", true)] {
        let overrides = Overrides { force_fallback, ..Overrides::default() };
        let Some(watch) = Watch::start_with("a_hundred_thousand_mappings_harm_nobody", overrides) else {
            return;
        };
        let process = run(Command::new(program("hostile")).args(["mappings", &count]));
        let stacks = watch.stacks_of(&format!("{count} {what}"), &process, Duration::from_secs(5));
        let whole = stacks.weight(|path| path.contains("main;hearth_mappings"));
        figure(&format!("{count} {what}: {whole} of {} samples whole", stacks.total()));
        assert!(stacks.total() > 50, "{}", stacks.shown(8));
        if !force_fallback {
            assert!(whole * 100 >= stacks.total() * 97, "{}", stacks.shown(8));
        }
    }
}

/// A cgroup (v1 or v2) that limits how many processes there are; kills them when dropped.
struct PidsLimit(PathBuf);

impl PidsLimit {
    fn new(count: u32) -> Option<Self> {
        let name = format!("hearth-test-{}", std::process::id());
        let parents = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];
        let parent =
            parents.into_iter().map(Path::new).find(|parent| parent.join("cgroup.procs").exists())?;
        if parent.ends_with("cgroup") {
            fs::write(parent.join("cgroup.subtree_control"), "+pids").ok()?;
        }
        let folder = parent.join(name);
        fs::create_dir_all(&folder).ok()?;
        fs::write(folder.join("pids.max"), count.to_string()).ok()?;
        Some(Self(folder))
    }
}

impl Drop for PidsLimit {
    fn drop(&mut self) {
        // No more forks, then an end to all.
        fs::write(self.0.join("pids.max"), "0").ok();
        for _ in 0..100 {
            let text = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
            if text.trim().is_empty() {
                break;
            }
            Command::new("kill").arg("-9").args(text.split_whitespace()).output().ok();
            sleep(Duration::from_millis(50));
        }
        fs::remove_dir(&self.0).ok();
    }
}

#[test]
fn a_fork_bomb_within_limits_harms_nobody() {
    let Some(watch) = Watch::start("a_fork_bomb_within_limits_harms_nobody") else { return };
    let Some(limit) = PidsLimit::new(100) else {
        say("skipped: a_fork_bomb_within_limits_harms_nobody: no cgroup that limits processes: absent");
        return;
    };
    // Least in priority: what it takes from everybody by sheer number is not the question.
    let script = format!(
        "echo $$ > {}/cgroup.procs && exec nice -n 19 {} bomb",
        limit.0.display(),
        program("hostile").display()
    );
    let bomb = run(Command::new("sh").args(["-c", &script]));
    let collection = watch.check("a fork bomb", Duration::from_secs(5));
    let processes = collection.batch.resources.len();
    figure(&format!("a fork bomb: {} samples in {processes} processes", collection.samples));
    assert!(processes > 20, "{processes} processes were seen");
    drop(limit);
    drop(bomb);
    watch.check("after a fork bomb", Duration::from_secs(2));
}

/// Copies a program to a path of its own and runs it.
fn run_copy(name: &str, path: &Path) -> Running {
    fs::copy(program(name), path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it becomes executable");
    run(&mut Command::new(path))
}

#[test]
fn binaries_that_are_deleted_replaced_or_rewritten_keep_their_own_names() {
    let Some(watch) = Watch::start("binaries_that_are_deleted_replaced_or_rewritten") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);

    let deleted = run_copy("shares-rows", &path("deleted"));
    let blocked = run_copy("shares-frames", &path("blocked"));
    sleep(Duration::from_millis(50));
    fs::remove_file(path("deleted")).expect("it goes");
    // What is at the path now would block whoever opens it.
    fs::remove_file(path("blocked")).expect("it goes");
    assert!(Command::new("mkfifo").arg(path("blocked")).status().expect("mkfifo").success());
    let collection = watch.check("deleted and replaced by a FIFO", Duration::from_secs(3));
    for (what, process) in [("deleted", &deleted), ("replaced by a FIFO", &blocked)] {
        let mut stacks = Stacks::default();
        stacks.add(&collection.batch, process.id());
        let whole = stacks.weight(|path| path.contains("main;hearth_outer"));
        assert!(stacks.total() > 0 && whole * 100 >= stacks.total() * 97, "{what}:\n{}", stacks.shown(8));
    }
    drop((deleted, blocked));

    // The same inode with other content, twice.
    for (name, argument, chain) in [
        ("shares-rows", "", "main;hearth_outer"),
        ("deep", "20", "main;hearth_deeper"),
        ("shares-static", "", "main;hearth_outer"),
    ] {
        let bytes = fs::read(program(name)).expect("the program");
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.create(true).truncate(false).write(true).open(path("rewritten")).expect("it opens");
        file.write_all(&bytes).and_then(|()| file.set_len(bytes.len() as u64)).expect("it is rewritten");
        drop(file);
        fs::set_permissions(path("rewritten"), fs::Permissions::from_mode(0o755)).expect("executable");
        let process = run(Command::new(path("rewritten")).args(argument.split_whitespace()));
        let stacks = watch.stacks_of(&format!("rewritten as {name}"), &process, Duration::from_secs(2));
        let whole = stacks.weight(|path| path.contains(chain));
        assert!(stacks.total() > 0 && whole * 100 >= stacks.total() * 95, "as {name}:\n{}", stacks.shown(8));
    }
}

/// A mount that goes when dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(arguments: &[&str], at: &Path) -> Option<Self> {
        fs::create_dir_all(at).ok()?;
        let status = Command::new("mount").args(arguments).arg(at).output().ok()?.status;
        status.success().then(|| Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).output().ok();
    }
}

#[test]
fn files_of_other_file_systems_and_namespaces_are_found() {
    let Some(watch) = Watch::start("files_of_other_file_systems_and_namespaces_are_found") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let check = |what: &str, process: &Running| {
        let stacks = watch.stacks_of(what, process, Duration::from_secs(2));
        let whole = stacks.weight(|path| path.contains("main;hearth_outer"));
        assert!(stacks.total() > 0 && whole * 100 >= stacks.total() * 95, "{what}:\n{}", stacks.shown(8));
    };

    for part in ["lower", "upper", "work"] {
        fs::create_dir(path(part)).expect("a folder");
    }
    drop(run_copy("shares-rows", &path("lower/program")));
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        path("lower").display(),
        path("upper").display(),
        path("work").display()
    );
    match Mount::new(&["-t", "overlay", "overlay", "-o", &options], &path("overlay")) {
        Some(overlay) => {
            check("overlayfs, lower layer", &run(&mut Command::new(overlay.0.join("program"))));
            check("overlayfs, upper layer", &run_copy("shares-rows", &overlay.0.join("upper-program")));
        }
        None => say("skipped: overlayfs: absent"),
    }

    let image = path("btrfs.image");
    let made = fs::File::create(&image).and_then(|file| file.set_len(128 << 20)).is_ok()
        && Command::new("mkfs.btrfs")
            .arg("-q")
            .arg(&image)
            .output()
            .is_ok_and(|output| output.status.success());
    match made.then(|| Mount::new(&["-o", "loop", &image.display().to_string()], &path("btrfs"))).flatten() {
        Some(btrfs) => check("btrfs", &run_copy("shares-rows", &btrfs.0.join("program"))),
        None => say("skipped: btrfs: absent"),
    }

    // Its own mount namespace and root: the path it has there leads nowhere here.
    let root = path("root");
    fs::create_dir_all(root.join("inside")).expect("a folder");
    fs::copy(program("shares-static"), root.join("inside/program")).expect("a copy");
    let script = format!(
        "mount -t tmpfs tmp {0} && mkdir {0}/inside && cp {1} {0}/inside/program && exec chroot {0} /inside/program",
        root.display(),
        program("shares-static").display()
    );
    let hidden = run(Command::new("unshare").args(["-m", "--propagation", "private", "sh", "-c", &script]));
    sleep(Duration::from_millis(300));
    check("another mount namespace and root", &hidden);
}

#[test]
fn a_process_id_that_is_used_again_is_another_process() {
    const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";
    let Some(watch) = Watch::start("a_process_id_that_is_used_again_is_another_process") else { return };
    for _ in 0..30 {
        let first = run(&mut Command::new(program("shares-rows")));
        let pid = first.id();
        sleep(Duration::from_millis(200));
        drop(first);
        if fs::write(LAST_PID, (pid - 1).to_string()).is_err() {
            say("skipped: ns_last_pid: absent");
            return;
        }
        let second = run(Command::new(program("deep")).arg("20"));
        if second.id() != pid {
            continue;
        }
        let collection = watch.check("a process id used again", Duration::from_secs(1));
        let number = pid.to_string();
        let mut seen = Vec::new();
        for resource in &collection.batch.resources {
            let attributes = &resource.resource;
            if attributes.get("process.pid").is_none_or(|value| value.to_string() != number) {
                continue;
            }
            let mut stacks = Stacks::default();
            stacks.add_resource(&collection.batch, resource);
            let name = attributes.get_str("process.executable.name").unwrap_or("?").to_owned();
            // Between fork and exec each of them still runs this test's program.
            if !["deep", "shares-rows"].contains(&name.as_str()) {
                continue;
            }
            let foreign = stacks.weight(|path| match name.as_str() {
                "shares-rows" => path.contains("hearth_deeper"),
                _ => path.contains("hearth_outer"),
            });
            assert_eq!(foreign, 0, "{name} has stacks of the other:\n{}", stacks.shown(8));
            seen.push(name);
        }
        seen.sort();
        assert_eq!(seen, ["deep", "shares-rows"], "process id {pid}");
        return;
    }
    say("skipped: no process id was used again: absent luck");
}
