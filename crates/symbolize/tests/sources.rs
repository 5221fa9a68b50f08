//! Functions, inlined calls and lines of programs built here by several compilers, packed in all the ways
//! debug information is packed, against `addr2line -i`; and of the corpora, against LLVM and Go.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics to fail and says what it skips")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hearth_objfile::{ElfAddress, ObjectFile};
use hearth_profile::FrameKind;
use hearth_symbolize::index::{Found, Inputs, Limits, Reader, SplitUnit, build};
use hearth_symbolize::{ReadAt, SourceFrame, SymbolTable};

const C: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static inline int leaf(int x) { return x * 7 + (x >> 3); }
static inline int middle(int x) {
	int total = 0;
	for (int i = 0; i < x; i++)
		total += leaf(i) ^ leaf(total);
	return total;
}
__attribute__((noinline)) int work(int x) {
	if (x > 100)
		return middle(x) + middle(x / 2);
	return leaf(x);
}
__attribute__((noinline, cold)) void fail(const char *why) { fprintf(stderr, "%s\n", why); exit(1); }
int compare(const void *a, const void *b) { return leaf(*(const int *)a) - leaf(*(const int *)b); }
int main(int argc, char **argv) {
	int values[64];
	if (argc > 50)
		fail(argv[0]);
	for (int i = 0; i < 64; i++)
		values[i] = work(i * argc);
	qsort(values, 64, sizeof(int), compare);
	printf("%d %zu\n", values[3], strlen(argv[0]));
}
"#;

const CPP: &str = r#"
#include <algorithm>
#include <map>
#include <numeric>
#include <string>
#include <vector>
namespace shop {
template <typename T> struct Basket {
	std::vector<T> items;
	void put(T item) { items.push_back(item); }
	T total() const { return std::accumulate(items.begin(), items.end(), T{}); }
};
struct Clerk {
	virtual ~Clerk() {}
	virtual long serve(int n) {
		Basket<long> basket;
		for (int i = 0; i < n; i++)
			basket.put(i * n);
		std::sort(basket.items.begin(), basket.items.end(), [](long a, long b) { return a > b; });
		return basket.total();
	}
};
}
int main(int argc, char **argv) {
	std::map<std::string, long> ledger;
	shop::Clerk clerk;
	for (int i = 0; i < argc; i++)
		ledger[argv[i]] += clerk.serve(i);
	return static_cast<int>(ledger.size() + ledger[argv[0]]);
}
"#;

const RUST: &str = r#"
use std::collections::BTreeMap;
#[inline(always)]
fn weigh(word: &str) -> usize { word.bytes().map(usize::from).sum::<usize>() % 97 }
#[inline(never)]
fn count(words: &[String]) -> BTreeMap<usize, Vec<&str>> {
    let mut counts = BTreeMap::new();
    for word in words {
        counts.entry(weigh(word)).or_insert_with(Vec::new).push(word.as_str());
    }
    counts
}
fn main() {
    let words: Vec<String> = std::env::args().collect();
    println!("{:?}", count(&words));
}
"#;

struct File(std::fs::File, u64);

impl ReadAt for File {
    fn size(&self) -> u64 {
        self.1
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, buffer, offset)
    }
}

fn open(path: &Path) -> File {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let size = file.metadata().unwrap().len();
    File(file, size)
}

fn open_split(unit: &SplitUnit) -> Option<Box<dyn ReadAt>> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let path = Path::new(&text(&unit.directory)).join(text(&unit.path));
    path.is_file().then(|| Box::new(open(&path)) as Box<dyn ReadAt>)
}

fn index(binary: Option<&Path>, debug: Option<&Path>, package: Option<&Path>) -> Reader<Vec<u8>> {
    let files = [binary, debug, package].map(|path| path.map(open));
    let [binary, debug, package] = files.each_ref().map(|file| file.as_ref().map(|file| file as &dyn ReadAt));
    let inputs = Inputs { binary, debug, package, split: Some(&open_split), ..Inputs::default() };
    Reader::open(build(&inputs, &Limits::default(), Vec::new()).unwrap().1).unwrap()
}

fn frames(reader: &mut Reader<Vec<u8>>, address: u64) -> Vec<SourceFrame> {
    let mut frames = Vec::new();
    reader.frames(ElfAddress(address), &mut frames).unwrap();
    frames
}

/// Raw name, last component of the path and line of each frame.
type Chain = Vec<(String, String, u32)>;

fn chain(frames: &[SourceFrame]) -> Chain {
    let raw = |frame: &SourceFrame| {
        if frame.system_name.is_empty() { frame.name.clone() } else { frame.system_name.clone() }
    };
    frames.iter().map(|frame| (raw(frame), last(&frame.file), frame.line)).collect()
}

fn last(path: &str) -> String {
    path.rsplit('/').next().unwrap_or("").to_owned()
}

/// What `addr2line -i` says; none if there is no such tool.
///
/// Of clang's version 5, binutils 2.40 misses inlined calls with several ranges: LLVM's own tool does not.
fn addr2line(compiler: &str, file: &Path, addresses: &[u64]) -> Option<Vec<Chain>> {
    let tool = if compiler.starts_with("clang") { "llvm-addr2line-14" } else { "addr2line" };
    let mut child = Command::new(tool)
        .args(["-a", "-i", "-f", "-e"])
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().unwrap();
    let text: String = addresses.iter().map(|address| format!("{address:#x}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let mut chains: Vec<Chain> = Vec::new();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("0x") {
            chains.push(Vec::new());
            continue;
        }
        let (path, number) = lines.next().unwrap().rsplit_once(':').unwrap();
        let number = number.split(' ').next().unwrap().parse().unwrap_or(0);
        let name = if line == "??" { "" } else { line };
        chains.last_mut().unwrap().push((name.to_owned(), last(path).replace("??", ""), number));
    }
    assert_eq!(chains.len(), addresses.len());
    Some(chains)
}

/// Addresses spread over the functions of a file. Nothing is executed in the padding between them.
fn addresses(file: &Path, count: u64) -> Vec<u64> {
    let bytes = std::fs::read(file).unwrap();
    let object = ObjectFile::parse(bytes.as_slice()).unwrap();
    let text = object.section(".text").unwrap();
    let step = (text.size / count).max(1);
    let functions = SymbolTable::from_elf(bytes.as_slice()).unwrap();
    (0..text.size / step)
        .map(|index| text.elf_address.0 + index * step)
        .filter(|address| functions.lookup(ElfAddress(*address)).is_some())
        .collect()
}

/// Compares chains where debug information has a line; names without debug information come from symbol
/// tables, where tools choose differently among aliases.
fn check(case: &str, reader: &mut Reader<Vec<u8>>, addresses: &[u64], wanted: &[Chain]) {
    let (mut known, mut same, mut inlined, mut shown) = (0, 0, 0, 0);
    for (address, wanted) in addresses.iter().zip(wanted) {
        if wanted.iter().all(|(_, _, line)| *line == 0) {
            continue;
        }
        let mut found = chain(&frames(reader, *address));
        let mut wanted = wanted.clone();
        if case.contains("-flto") {
            // Binutils 2.40 shows the first file of GCC's link-time units as <artificial>.
            found.iter_mut().chain(&mut wanted).for_each(|frame| frame.1.clear());
        }
        // LLVM prefers the symbol's name to that of the function it is a part of.
        for frame in &mut wanted {
            frame.0.truncate(frame.0.trim_end_matches(".cold").len());
        }
        known += 1;
        inlined += usize::from(wanted.len() > 1);
        same += usize::from(found == wanted);
        if found != wanted && shown < 4 {
            shown += 1;
            println!("{case} {address:#x}\n  ours   {found:?}\n  theirs {wanted:?}");
        }
    }
    println!("{case}: {same} of {known} equal, {inlined} with inlined calls");
    assert!(known > 100 && inlined > 10, "{case}: {known} {inlined}");
    assert!(same * 100 >= known * 99, "{case}: {same} of {known}");
}

fn run(command: &mut Command) -> bool {
    match command.output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            println!("skipped: absent: {command:?}: {}", String::from_utf8_lossy(&output.stderr));
            false
        }
        Err(error) => {
            println!("skipped: absent: {command:?}: {error}");
            false
        }
    }
}

/// Compiles `source` in `folder`; none where the compiler or an option is missing.
fn compile(folder: &Path, compiler: &str, options: &[&str]) -> Option<PathBuf> {
    let (name, text) = match compiler {
        "rustc" => ("program.rs", RUST),
        "g++" | "clang++-14" => ("program.cc", CPP),
        _ => ("program.c", C),
    };
    std::fs::write(folder.join(name), text).unwrap();
    let output = folder.join("program");
    run(Command::new(compiler).args(options).arg("-o").arg(&output).arg(name).current_dir(folder))
        .then_some(output)
}

#[test]
fn chains_are_those_addr2line_finds() {
    let builds: [(&str, &[&str]); 11] = [
        ("gcc", &["-O2", "-g"]),
        ("gcc", &["-O2", "-gdwarf-4"]),
        ("gcc", &["-O3", "-g", "-flto", "-ffunction-sections", "-Wl,--gc-sections"]),
        ("gcc", &["-O2", "-g", "-gz=zlib"]),
        ("gcc", &["-O2", "-g", "-gz=zstd"]),
        ("gcc", &["-O2", "-g", "-gdwarf64"]),
        ("g++", &["-O2", "-g"]),
        ("clang-14", &["-O2", "-g"]),
        ("clang++-14", &["-O2", "-gdwarf-4"]),
        ("rustc", &["-O", "-g"]),
        ("rustc", &["-O", "-Cdebuginfo=1"]),
    ];
    for (compiler, options) in builds {
        let folder = tempfile::tempdir().unwrap();
        let Some(program) = compile(folder.path(), compiler, options) else { continue };
        let addresses = addresses(&program, 2000);
        // Nor does binutils 2.40 read lines of units of 64 bits.
        let reads = if options.contains(&"-gdwarf64") { "clang" } else { compiler };
        let Some(wanted) = addr2line(reads, &program, &addresses) else {
            println!("skipped: absent: addr2line");
            return;
        };
        check(
            &format!("{compiler} {}", options.join(" ")),
            &mut index(Some(&program), None, None),
            &addresses,
            &wanted,
        );
    }
}

#[test]
fn split_units_are_read_from_their_files_and_from_a_package() {
    for (compiler, options) in [
        ("gcc", ["-O2", "-g", "-gsplit-dwarf"]),
        ("gcc", ["-O2", "-gdwarf-4", "-gsplit-dwarf"]),
        ("clang-14", ["-O2", "-g", "-gsplit-dwarf"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let plain: Vec<&str> = options[..2].to_vec();
        let Some(whole) = compile(folder.path(), compiler, &plain) else { continue };
        let whole_path = folder.path().join("whole");
        std::fs::rename(whole, &whole_path).unwrap();
        let object = folder.path().join("program.o");
        run(Command::new(compiler)
            .args(options)
            .args(["-c", "-o", "program.o", "program.c"])
            .current_dir(folder.path()));
        let program = folder.path().join("program");
        run(Command::new(compiler).arg("-o").arg(&program).arg(&object));
        let addresses = addresses(&program, 2000);
        let Some(wanted) = addr2line(compiler, &whole_path, &addresses) else { return };
        let case = format!("{compiler} {}", options.join(" "));
        check(&format!("{case}, own files"), &mut index(Some(&program), None, None), &addresses, &wanted);
        let package = folder.path().join("program.dwp");
        let dwp = if compiler == "gcc" { "dwp" } else { "llvm-dwp-14" };
        if !run(Command::new(dwp).arg("-e").arg(&program).arg("-o").arg(&package).current_dir(folder.path()))
        {
            continue;
        }
        for file in std::fs::read_dir(folder.path()).unwrap().flatten() {
            if file.path().extension().is_some_and(|extension| extension == "dwo") {
                std::fs::remove_file(file.path()).unwrap();
            }
        }
        let mut reader = index(Some(&program), None, Some(&package));
        check(&format!("{case}, package"), &mut reader, &addresses, &wanted);
    }
}

#[test]
fn a_stripped_program_is_named_by_its_separate_debug_information() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = compile(folder.path(), "g++", &["-O2", "-g"]) else { return };
    let addresses = addresses(&program, 2000);
    let Some(wanted) = addr2line("g++", &program, &addresses) else { return };
    let debug = folder.path().join("program.debug");
    let stripped = folder.path().join("stripped");
    for compress in ["--compress-debug-sections=none", "--compress-debug-sections=zlib"] {
        assert!(run(Command::new("objcopy").args(["--only-keep-debug", compress]).arg(&program).arg(&debug)));
        assert!(run(Command::new("strip").arg("-o").arg(&stripped).arg(&program)));
        let mut without = index(Some(&stripped), None, None);
        assert!(!without.summary().has_lines());
        let main = wanted.iter().position(|chain| chain.last().is_some_and(|frame| frame.0 == "main"));
        assert!(frames(&mut without, addresses[main.unwrap()]).is_empty());
        let case = format!("strip and objcopy {compress}");
        check(&case, &mut index(Some(&stripped), Some(&debug), None), &addresses, &wanted);
        check(&case, &mut index(None, Some(&debug), None), &addresses, &wanted);
    }
}

#[test]
fn a_few_addresses_are_named_without_reading_the_other_units() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = compile(folder.path(), "rustc", &["-O", "-g"]) else { return };
    let file = open(&program);
    let mut all = index(Some(&program), None, None);
    let wanted = addresses(&program, 4);
    let wanted: Vec<ElfAddress> = wanted.into_iter().map(ElfAddress).collect();
    let inputs = Inputs { binary: Some(&file), addresses: Some(&wanted), ..Inputs::default() };
    let (summary, bytes) = build(&inputs, &Limits::default(), Vec::new()).unwrap();
    assert!(summary.ranges[0] < all.summary().ranges[0], "{summary:?} {:?}", all.summary());
    let mut part = Reader::open(bytes).unwrap();
    for address in wanted {
        assert_eq!(frames(&mut part, address.0), frames(&mut all, address.0), "{address}");
    }
}

#[test]
fn functions_without_names_are_known_by_their_start() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = compile(folder.path(), "gcc", &["-O2", "-s"]) else { return };
    let file = open(&program);
    let ranges = [(ElfAddress(0x1100), ElfAddress(0x1180))];
    let inputs = Inputs { binary: Some(&file), function_ranges: &ranges, ..Inputs::default() };
    let (summary, bytes) = build(&inputs, &Limits::default(), Vec::new()).unwrap();
    assert_eq!(summary.ranges[3], 1);
    let found = Reader::open(bytes).unwrap().frames(ElfAddress(0x1150), &mut Vec::new()).unwrap();
    assert_eq!(found, Found::Unnamed { start: ElfAddress(0x1100) });
}

fn corpora() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora");
    if !folder.is_dir() {
        println!("skipped: {} is absent", folder.display());
        return None;
    }
    Some(folder)
}

fn oracle(folder: &Path, name: &str) -> String {
    let path = folder.join("oracle").join(name);
    let output = Command::new("gzip").arg("-dc").arg(&path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The chains LLVM found, by address.
fn llvm_chains(folder: &Path, name: &str) -> Vec<(u64, Chain)> {
    let text = oracle(folder, &format!("elf_symblib_{name}.symbolizer.json.gz"));
    let oracle: serde_json::Value = serde_json::from_str(&text).unwrap();
    let chain = |frames: &serde_json::Value| {
        let frame = |frame: &serde_json::Value| {
            let line = u32::try_from(frame[2].as_u64().unwrap()).unwrap();
            (frame[0].as_str().unwrap().to_owned(), last(frame[1].as_str().unwrap()), line)
        };
        frames.as_array().unwrap().iter().map(frame).collect()
    };
    let row = |row: &serde_json::Value| {
        let address = row[0].as_str().unwrap().trim_start_matches("0x");
        (u64::from_str_radix(address, 16).unwrap(), chain(&row[1]))
    };
    oracle["rows"].as_array().unwrap().iter().map(row).collect()
}

#[test]
fn packings_of_one_program_give_the_chains_llvm_finds() {
    let Some(folder) = corpora() else { return };
    let elf = folder.join("elf/symblib");
    let cases = [
        ("inline", "inline", None),
        ("inline-compressed-dwarf", "inline-compressed-dwarf", None),
        ("inline-compressed-dwarf-zstd", "inline", None),
        ("inline-no-tco", "inline-no-tco", None),
        // What it shares with others was moved to another file by dwz.
        ("inline-split-dwarf", "inline", Some("inline-split-dwarf.dwp")),
    ];
    for (file, oracle, supplementary) in cases {
        let supplementary = supplementary.map(|name| open(&elf.join(name)));
        let binary = open(&elf.join(file));
        let inputs = Inputs {
            binary: Some(&binary),
            supplementary: supplementary.as_ref().map(|file| file as &dyn ReadAt),
            ..Inputs::default()
        };
        let (_, bytes) = build(&inputs, &Limits::default(), Vec::new()).unwrap();
        let mut reader = Reader::open(bytes).unwrap();
        for (address, wanted) in llvm_chains(&folder, oracle) {
            let found = chain(&frames(&mut reader, address));
            // Padding has lines but is in no function.
            if !wanted[0].0.is_empty() && wanted[0].2 > 0 {
                assert_eq!(found, wanted, "{file} {address:#x}");
            }
        }
    }
    // A section that claims to be huge once it is decompressed is refused; the rest is used.
    let bomb = open(&elf.join("inline-big-fake-compressed-dwarf"));
    let limits = Limits { decompressed_bytes_max: 64 << 20, ..Limits::default() };
    let inputs = Inputs { binary: Some(&bomb), ..Inputs::default() };
    let (summary, _) = build(&inputs, &limits, Vec::new()).unwrap();
    assert_eq!((summary.has_names(), summary.has_lines()), (true, false));
}

#[test]
fn go_programs_are_named_by_their_own_table() {
    let Some(folder) = corpora() else { return };
    for version in ["go-1.20.14", "go-1.24.0"] {
        let mut reader = index(Some(&folder.join("elf/symblib").join(version)), None, None);
        let (mut same, mut known) = (0, 0);
        for (address, wanted) in llvm_chains(&folder, version) {
            let found = frames(&mut reader, address);
            if wanted[0].0.is_empty() {
                continue;
            }
            assert!(found.iter().all(|frame| frame.kind == FrameKind::Go), "{address:#x} {found:?}");
            // The symbol table tells assembly apart by a suffix, Go's own table does not.
            let wanted: Chain = wanted
                .into_iter()
                .map(|(name, file, line)| (name.trim_end_matches(".abi0").to_owned(), file, line))
                .collect();
            known += 1;
            same += usize::from(chain(&found) == wanted);
            if chain(&found) != wanted && known - same < 5 {
                println!("{version} {address:#x}\n  ours   {:?}\n  theirs {wanted:?}", chain(&found));
            }
        }
        println!("{version}: {same} of {known} equal");
        assert!(same * 100 >= known * 98, "{version}: {same} of {known}");
    }
}
