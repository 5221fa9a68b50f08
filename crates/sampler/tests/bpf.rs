//! Walks in the kernel find the callers that are known to be there.
//!
//! A C program builds stacks of known functions and runs the walk on itself (`BPF_PROG_TEST_RUN`), so nothing
//! is sampled and every run gives the same frames. This side prepares the rows of its files, as the sampler
//! would, and reads the record. `bpf/stacks.c` says which stacks there are.
//!
//! Needs root and a C compiler; says `skipped` without.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests; what is skipped is said")]

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use aya::maps::of_maps::ArrayOfMaps;
use aya::maps::{Array, HashMap as BpfHashMap, IterableMap as _, MapData};
use aya::programs::RawTracePoint;
use aya::{Ebpf, EbpfLoader};
use hearth_objfile::{ElfAddress, FileOffset, ObjectFile};
use hearth_symbolize::{FrameSource as _, SymbolTable};
use hearth_unwind::{Arch, Input, Limits, Section, StopReason};
use object::{Object as _, ObjectSection as _};

#[cfg(target_arch = "x86_64")]
static OBJECTS: [(&str, &[u8]); 2] = [
    ("5.15", aya::include_bytes_aligned!("../../../bpf/objects/sampler-x86_64-515.bpf.o")),
    ("5.10", aya::include_bytes_aligned!("../../../bpf/objects/sampler-x86_64-510.bpf.o")),
];
#[cfg(target_arch = "aarch64")]
static OBJECTS: [(&str, &[u8]); 2] = [
    ("5.15", aya::include_bytes_aligned!("../../../bpf/objects/sampler-aarch64-515.bpf.o")),
    ("5.10", aya::include_bytes_aligned!("../../../bpf/objects/sampler-aarch64-510.bpf.o")),
];

const PAGE_BYTES: usize = 4096;
const CHUNK_PAGES: u32 = 256;
const BPF_F_MMAPABLE: u32 = 1 << 10;
const ROWS_READY: u64 = 1;
const ROWS_NONE: u64 = 2;
/// Flags of a mapping that is told.
const EXECUTABLE: u64 = 1 << 32;
const ANONYMOUS: u64 = 2 << 32;

type Page = [u8; PAGE_BYTES];
type FileKey = [u64; 4];

/// Pages placed one behind the other.
struct Pages {
    outer: ArrayOfMaps<MapData>,
    chunks: Vec<Array<MapData, Page>>,
    next: u32,
}

impl Pages {
    fn take(&mut self, count: usize) -> Vec<u32> {
        let first = self.next;
        self.next += u32::try_from(count).unwrap();
        while self.chunks.len() <= (self.next / CHUNK_PAGES) as usize {
            let chunk = Array::create(CHUNK_PAGES, BPF_F_MMAPABLE).unwrap();
            self.outer.set(u32::try_from(self.chunks.len()).unwrap(), chunk.map(), 0).unwrap();
            self.chunks.push(chunk);
        }
        (first..self.next).collect()
    }

    fn put(&mut self, id: u32, page: &Page) {
        self.chunks[(id / CHUNK_PAGES) as usize].set(id % CHUNK_PAGES, page, 0).unwrap();
    }
}

/// A file of the program, by the id in its frames.
struct Code {
    name: String,
    object: ObjectFile,
    symbols: SymbolTable,
}

/// The C program, and the kernel side it talks to.
struct Stacks {
    _bpf: Ebpf,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    results: Array<MapData, [u64; 9]>,
    records: Array<MapData, Record>,
    files: BpfHashMap<MapData, FileKey, [u64; 5]>,
    mappings: BpfHashMap<MapData, u32, [u64; 3]>,
    pages: Pages,
    codes: HashMap<u32, Code>,
}

/// `struct record`: header, frames, tail.
type Record = [u8; 56 + 1151 * 8 + 296 + 16384];

/// What a walk found.
struct Walk {
    /// Function names of the program's own frames; other files' frames as `[name]`, once in a row.
    frames: Vec<String>,
    /// All frames.
    depth: usize,
    stop: StopReason,
    stack_bytes: Option<u32>,
}

impl Drop for Stacks {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Compiles the program, or finds it in `$HEARTH_PROGRAMS` (guests have no compiler; `e2e/vm/programs/build.sh`
/// builds it for them); none if there is no such compiler.
fn compile(name: &str, compiler: &str, flags: &[&str]) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("HEARTH_PROGRAMS") {
        return Some(Path::new(&folder).join(format!("stacks-{name}")));
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bpf/stacks.c");
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stacks-{name}"));
    let status = Command::new(compiler)
        .args(["-O2", "-g", "-Wall", "-Wextra", "-Werror", "-fomit-frame-pointer"])
        .args(["-fno-optimize-sibling-calls", "-pthread"])
        .args(flags)
        .arg("-o")
        .args([&binary, &source])
        .status();
    match status {
        Ok(status) => {
            assert!(status.success(), "{compiler} cannot compile {}", source.display());
            Some(binary)
        }
        Err(error) => {
            println!("skipped: {compiler}: {error}");
            None
        }
    }
}

fn inherited(program: &mut RawTracePoint) -> OwnedFd {
    program.load().unwrap();
    let fd = program.fd().unwrap().as_fd().try_clone_to_owned().unwrap();
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::empty()).unwrap();
    fd
}

impl Stacks {
    /// Starts the program; none, having said why, where BPF programs cannot be loaded.
    fn start(binary: &Path, object: &[u8]) -> Option<Self> {
        Self::start_with(binary, object, false)
    }

    /// As [`start`](Self::start); if `told`, mappings are looked up in tables.
    fn start_with(binary: &Path, object: &[u8], told: bool) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: needs root to load BPF programs");
            return None;
        }
        let mut bpf = EbpfLoader::new()
            .override_global("numbered_mappings", &u32::from(told), true)
            .load(object)
            .unwrap();
        let lookup = inherited(bpf.program_mut("test_lookup").unwrap().try_into().unwrap());
        let walk = inherited(bpf.program_mut("test_walk").unwrap().try_into().unwrap());
        let mut child = Command::new(binary)
            .args([lookup.as_raw_fd().to_string(), walk.as_raw_fd().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stacks = Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            results: Array::try_from(bpf.take_map("test_results").unwrap()).unwrap(),
            records: Array::try_from(bpf.take_map("test_records").unwrap()).unwrap(),
            files: BpfHashMap::try_from(bpf.take_map("files").unwrap()).unwrap(),
            mappings: BpfHashMap::try_from(bpf.take_map("process_mappings").unwrap()).unwrap(),
            pages: Pages {
                outer: ArrayOfMaps::try_from(bpf.take_map("unwind_chunks").unwrap()).unwrap(),
                chunks: Vec::new(),
                next: 1,
            },
            codes: HashMap::new(),
            _bpf: bpf,
        };
        // Its loader has done its work when it answers.
        assert_eq!(stacks.command("walk none"), "nothing was walked");
        Some(stacks)
    }

    fn command(&mut self, command: &str) -> String {
        writeln!(self.input, "{command}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        answer.trim().to_owned()
    }

    /// Executable mappings of the program: start, end, file offset and path.
    fn mappings(&self) -> Vec<(u64, u64, u64, String)> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.child.id())).unwrap();
        let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
        maps.lines()
            .filter_map(|line| {
                let fields: Vec<&str> = line.split_ascii_whitespace().collect();
                let (start, end) = fields[0].split_once('-')?;
                let path = fields.get(5).filter(|_| fields[1].contains('x'))?;
                Some((number(start), number(end), number(fields[2]), (*path).to_owned()))
            })
            .filter(|(.., path)| path.starts_with('/') || path == "[vdso]")
            .collect()
    }

    /// Gives the kernel side the rows of each file of the program, under the key that a look-up finds.
    fn prepare(&mut self) {
        for (start, end, _, path) in self.mappings() {
            assert_eq!(self.command(&format!("lookup {start:x}")), "ok");
            let found = self.results.get(&0, 0).unwrap();
            assert_eq!((found[0], found[1]), (start, end), "{path}");
            self.add_file(start, end, &path, found[3..7].try_into().unwrap());
        }
    }

    /// Tells the kernel side the mappings of the program, and the rows of each file under its number.
    ///
    /// `fillers` mappings lie below, so that the table has as many levels as that takes.
    fn tell(&mut self, fillers: u64) {
        let mut entries: Vec<[u64; 4]> =
            (0..fillers).map(|at| [at * 0x1000, at * 0x1000 + 0x800, 0, ANONYMOUS]).collect();
        for (start, end, offset, path) in self.mappings() {
            let id = u64::try_from(self.codes.len()).unwrap() + 1;
            self.add_file(start, end, &path, [id, 0, 0xffff_fffe << 32, 0]);
            let offset = if path == "[vdso]" { 0 } else { offset };
            entries.push([start, end, offset, id | EXECUTABLE]);
        }
        let (root, levels) = self.place_mappings(&entries);
        let pid = self.child.id();
        let start_ns = self.mappings.get(&pid, 0).unwrap()[0];
        self.mappings.insert(pid, [start_ns, 0, u64::from(root) | levels << 32], 0).unwrap();
    }

    /// Places the table of mappings; returns its root page and how many levels it has above the leaves.
    fn place_mappings(&mut self, entries: &[[u64; 4]]) -> (u32, u64) {
        let mut below: Vec<(u64, u32)> = Vec::new();
        for leaf in entries.chunks(128) {
            let id = self.pages.take(1)[0];
            let mut page = [0xff; PAGE_BYTES];
            for (to, word) in page.as_chunks_mut::<8>().0.iter_mut().zip(leaf.as_flattened()) {
                *to = word.to_ne_bytes();
            }
            self.pages.put(id, &page);
            below.push((leaf[0][0], id));
        }
        let mut levels = 0;
        while below.len() > 1 {
            levels += 1;
            let mut nodes = Vec::new();
            for node in below.chunks(256) {
                let id = self.pages.take(1)[0];
                let mut page = [0xff; PAGE_BYTES];
                for (at, (start, child)) in node.iter().enumerate() {
                    page[at * 8..at * 8 + 8].copy_from_slice(&start.to_ne_bytes());
                    page[2048 + at * 4..2052 + at * 4].copy_from_slice(&child.to_ne_bytes());
                }
                self.pages.put(id, &page);
                nodes.push((node[0].0, id));
            }
            below = nodes;
        }
        (below[0].1, levels)
    }

    fn add_file(&mut self, start: u64, end: u64, path: &str, key: FileKey) {
        let bytes = if path == "[vdso]" {
            let mut image = vec![0; usize::try_from(end - start).unwrap()];
            let memory = File::open(format!("/proc/{}/mem", self.child.id())).unwrap();
            memory.read_exact_at(&mut image, start).unwrap();
            image
        } else {
            fs::read(path).unwrap()
        };
        let id = u32::try_from(self.codes.len()).unwrap() + 1;
        let entry = match self.place(&bytes, id) {
            Some(root) => [u64::from(id) | 1 << 32, 0, root.into(), ROWS_READY | u64::from(id) << 32, 0],
            None => [u64::from(id) | 1 << 32, 0, 0, ROWS_NONE, 0],
        };
        self.files.insert(key, entry, 0).unwrap();
        let name = path.rsplit('/').next().unwrap().to_owned();
        let object = ObjectFile::parse(bytes.as_slice()).unwrap();
        let symbols = SymbolTable::from_elf(bytes.as_slice()).unwrap();
        self.codes.insert(id, Code { name, object, symbols });
    }

    /// Builds and places a file's table; returns its root page.
    fn place(&mut self, bytes: &[u8], stamp: u32) -> Option<u32> {
        let file = object::File::parse(bytes).unwrap();
        let object = ObjectFile::parse(bytes).unwrap();
        let section = |name| {
            let section = file.section_by_name(name)?;
            Some(Section { address: ElfAddress(section.address()), bytes: section.data().ok()? })
        };
        let input = Input {
            arch: Arch::of(object.machine).unwrap(),
            segments: &object.segments,
            eh_frame: section(".eh_frame"),
            debug_frame: section(".debug_frame"),
            text: section(".text").map(|section| section.address),
        };
        let rows = hearth_unwind::build(&input, &Limits::default()).ok()?;
        let table = hearth_unwind::encode(&rows).unwrap();
        let ids = self.pages.take(table.pages().len());
        table.place(stamp, &ids, |id, page| self.pages.put(id, page));
        Some(ids[0])
    }

    fn walk(&mut self, command: &str) -> Walk {
        assert_eq!(self.command(command), "ok", "{command}");
        let record = self.records.get(&0, 0).unwrap();
        let half = |at: usize| usize::from(u16::from_ne_bytes([record[at], record[at + 1]]));
        assert_eq!(half(50), 0, "no kernel frames are asked for");
        let depth = half(52);
        let mut frames: Vec<String> = Vec::new();
        for word in record[56..56 + depth * 8].as_chunks::<8>().0 {
            let name = self.name(u64::from_ne_bytes(*word));
            if !name.starts_with('[') || frames.last() != Some(&name) {
                frames.push(name);
            }
        }
        let tail = 56 + depth * 8 + 33 * 8 + 24;
        let stack_bytes = u32::from_ne_bytes(record[tail..tail + 4].try_into().unwrap());
        Walk {
            frames,
            depth,
            stop: StopReason::from_number(record[54].into()).unwrap(),
            stack_bytes: (record[55] == 1).then_some(stack_bytes),
        }
    }

    fn name(&self, frame: u64) -> String {
        let (id, offset) = (u32::try_from(frame >> 40).unwrap(), frame & ((1 << 40) - 1));
        let Some(code) = self.codes.get(&id) else { return format!("{frame:#x}") };
        if !code.name.starts_with("stacks-") {
            return format!("[{}]", code.name);
        }
        let mut frames = Vec::new();
        let address = code.object.elf_address(FileOffset(offset)).unwrap();
        code.symbols.frames(address, &mut frames);
        frames.first().map_or_else(|| format!("{offset:#x}"), |frame| frame.name.to_string())
    }

    /// The address in the process of a byte of a mapped file.
    fn address(&self, name: &str, offset: u64) -> u64 {
        let mappings = self.mappings();
        let (start, _, from, _) = mappings
            .iter()
            .find(|(start, end, from, path)| {
                path.ends_with(name) && (*from..from + (end - start)).contains(&offset)
            })
            .unwrap();
        start + (offset - from)
    }
}

/// Says what differs: the innermost frames, then whether the walk reached the root.
fn assert_chain(walk: &Walk, case: &str, innermost: &[&str]) {
    let found: Vec<&str> = walk.frames.iter().map(String::as_str).collect();
    assert!(found.starts_with(innermost), "{case}: {found:?} does not begin with {innermost:?}");
    assert!(walk.stop.is_complete(), "{case}: {found:?} ended: {}", walk.stop.name());
    assert_eq!(walk.stack_bytes, None, "{case}: all files are known");
}

const CASES: [(&str, &[&str]); 7] = [
    ("chain", &["innermost", "third", "second", "first", "command", "main"]),
    ("alloca", &["innermost", "dynamic", "command", "main"]),
    ("aligned", &["innermost", "aligned", "command", "main"]),
    ("signal", &["innermost", "handler", "[libc.so.6]", "signalled", "command", "main"]),
    ("callback", &["innermost", "compare", "[libc.so.6]", "sort", "command", "main"]),
    ("thread", &["innermost", "third", "second", "first", "thread", "[libc.so.6]"]),
    ("chain", &["innermost", "third", "second", "first", "command", "main", "[libc.so.6]", "_start"]),
];

#[test]
fn stacks_without_frame_pointers_are_walked_to_their_root() {
    let Some(binary) = compile("dynamic", "gcc", &[]) else { return };
    for (level, object) in OBJECTS {
        let Some(mut stacks) = Stacks::start(&binary, object) else { return };
        stacks.prepare();
        for (case, frames) in CASES {
            let walk = stacks.walk(&format!("walk {case}"));
            assert_chain(&walk, &format!("{case}, programs for {level}"), frames);
            assert_eq!(walk.stop, StopReason::Root, "{case}: rows lead to the root");
        }
    }
}

#[test]
fn a_thousand_frames_are_walked_and_no_more_than_1024() {
    let Some(binary) = compile("deep", "gcc", &[]) else { return };
    let Some(mut stacks) = Stacks::start(&binary, OBJECTS[0].1) else { return };
    stacks.prepare();
    let walk = stacks.walk("walk recursion");
    assert_eq!(walk.frames.iter().filter(|name| *name == "recurse").count(), 1000);
    assert_eq!(walk.stop, StopReason::Root);
    assert!(walk.frames.contains(&"main".to_owned()));
    let walk = stacks.walk("walk deeper");
    assert_eq!(walk.depth, 1024);
    assert_eq!(walk.stop, StopReason::Depth);
}

/// Inside an entry of the procedure linkage table, and at the entry of a function of the vDSO.
#[cfg(target_arch = "x86_64")]
#[test]
fn code_of_the_linker_and_of_the_kernel_is_left_for_its_caller() {
    let Some(binary) = compile("plt", "gcc", &[]) else { return };
    let Some(mut stacks) = Stacks::start(&binary, OBJECTS[0].1) else { return };
    stacks.prepare();
    let bytes = fs::read(&binary).unwrap();
    let file = object::File::parse(bytes.as_slice()).unwrap();
    for name in [".plt", ".plt.sec", ".plt.got"] {
        let Some((offset, size)) = file.section_by_name(name).and_then(|section| section.file_range()) else {
            continue;
        };
        // The first entry of .plt is entered only by jumps from the others.
        let first = if name == ".plt" { 16 } else { 0 };
        for entry in (first..size).step_by(16) {
            let address = stacks.address("stacks-plt", offset + entry);
            let walk = stacks.walk(&format!("at {address:x}"));
            let found: Vec<&str> = walk.frames.iter().skip(1).map(String::as_str).collect();
            assert!(found.starts_with(&["entered", "command", "main"]), "{name}+{entry:#x}: {found:?}");
            assert_eq!(walk.stop, StopReason::Root, "{name}+{entry:#x}");
        }
    }
    let (start, ..) = stacks.mappings().into_iter().find(|(.., path)| path == "[vdso]").unwrap();
    let vdso = stacks.codes.values().find(|code| code.name == "[vdso]").unwrap();
    let entry = (0..0x2000)
        .find(|offset| {
            let address = vdso.object.elf_address(FileOffset(*offset));
            let symbol =
                address.and_then(|address| vdso.symbols.lookup(address).map(|at| (at.start, address)));
            symbol.is_some_and(|(start, address)| start == address)
        })
        .unwrap();
    let walk = stacks.walk(&format!("at {:x}", start + entry));
    assert_chain(&walk, "vDSO", &["[[vdso]]", "entered", "command", "main"]);
}

#[test]
fn static_programs_are_walked_to_their_root() {
    let static_cases: [(&str, &[&str]); 4] = [CASES[0], CASES[1], CASES[2], ("recursion", &["innermost"])];
    for (name, compiler, flags) in [
        ("static", "gcc", ["-static", "-no-pie"].as_slice()),
        ("static-pie", "gcc", &["-static-pie"]),
        ("musl", "musl-gcc", &["-static", "-no-pie"]),
    ] {
        let Some(binary) = compile(name, compiler, flags) else { continue };
        let Some(mut stacks) = Stacks::start(&binary, OBJECTS[0].1) else { return };
        stacks.prepare();
        for (case, frames) in static_cases {
            let walk = stacks.walk(&format!("walk {case}"));
            assert_chain(&walk, &format!("{case}, {name}"), frames);
        }
    }
}

#[test]
fn a_file_without_rows_sends_registers_and_stack() {
    let Some(binary) = compile("unknown", "gcc", &[]) else { return };
    let Some(mut stacks) = Stacks::start(&binary, OBJECTS[0].1) else { return };
    let walk = stacks.walk("walk chain");
    assert_eq!(walk.depth, 1, "the leaf is known to be in the file");
    assert_eq!(walk.stop, StopReason::UnknownFile);
    let bytes = walk.stack_bytes.unwrap();
    assert!((256..=16384).contains(&bytes), "{bytes} bytes of stack");
    stacks.prepare();
    assert_eq!(stacks.walk("walk chain").stack_bytes, None);
}

/// Where mappings are told, walks are the same; what is not told yet sends registers and stack.
#[test]
fn told_mappings_lead_to_the_same_chains() {
    let Some(binary) = compile("told", "gcc", &[]) else { return };
    for (level, object) in OBJECTS {
        // One leaf, one level of nodes, and two.
        for fillers in [0, 1_000, 40_000] {
            let Some(mut stacks) = Stacks::start_with(&binary, object, true) else { return };
            let walk = stacks.walk("walk chain");
            assert_eq!((walk.depth, walk.stop), (1, StopReason::UnknownFile), "not told yet");
            assert!(walk.stack_bytes.is_some());
            stacks.tell(fillers);
            for (case, frames) in CASES {
                let walk = stacks.walk(&format!("walk {case}"));
                assert_chain(
                    &walk,
                    &format!("{case}, {fillers} other mappings, programs for {level}"),
                    frames,
                );
            }
        }
    }
}
