//! Go's table of functions in real programs, against Go's own readers of it.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics to fail and says what it skips")]

use std::path::{Path, PathBuf};
use std::process::Command;

use hearth_objfile::pclntab::{Table, locate};
use hearth_objfile::{ElfAddress, ObjectFile};

/// Runs `check` on the table of a file.
fn with_table(bytes: &[u8], check: impl FnOnce(&ObjectFile, Table<'_>)) {
    let object = ObjectFile::parse(bytes).unwrap();
    let located = locate(&object, bytes).unwrap();
    assert!(located.function_data.is_some(), "inlined calls are not known");
    check(&object, located.read(bytes).unwrap());
}

fn frames(table: &Table<'_>, address: u64) -> Vec<(String, String, u32)> {
    let mut found = Vec::new();
    table.frames(ElfAddress(address), |frame| {
        found.push((frame.name.to_owned(), frame.file.to_owned(), frame.line));
    });
    found
}

#[test]
fn functions_and_lines_are_those_gos_reader_finds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora");
    if !folder.is_dir() {
        println!("skipped: {} is absent", folder.display());
        return;
    }
    for version in ["go-1.20.14", "go-1.24.0"] {
        let oracle = folder.join(format!("oracle/elf_symblib_{version}.gosym.txt.gz"));
        let text = Command::new("gzip").arg("-dc").arg(&oracle).output().unwrap();
        let bytes = std::fs::read(folder.join("elf/symblib").join(version)).unwrap();
        with_table(&bytes, |_, table| {
            let mut checked = 0;
            // "START END NAME FILE:LINE mid=ADDRESS FILE:LINE": lines are those of the innermost call.
            for line in String::from_utf8(text.stdout).unwrap().lines() {
                let (head, middle) = line.split_once(" mid=").unwrap();
                let mut words = head.splitn(3, ' ');
                let mut hex =
                    || u64::from_str_radix(words.next().unwrap().trim_start_matches("0x"), 16).unwrap();
                let (start, end) = (hex(), hex());
                let (name, place) = words.next().unwrap().rsplit_once(' ').unwrap();
                let function = table.find(ElfAddress(start)).unwrap();
                assert_eq!((function.start.0, function.end.0), (start, end), "{line}");
                assert_eq!(table.name(&function), Some(name), "{line}");
                let (address, middle) = middle.split_once(' ').unwrap();
                let address = u64::from_str_radix(address.trim_start_matches("0x"), 16).unwrap();
                for (address, place) in [(start, place), (address, middle)] {
                    let found = frames(&table, address);
                    assert_eq!(found.last().map(|frame| frame.0.as_str()), Some(name), "{line}");
                    if place != ":-1" {
                        assert_eq!(format!("{}:{}", found[0].1, found[0].2), place, "{line}");
                    }
                }
                checked += 1;
            }
            assert!(checked > 1000, "{checked}");
        });
    }
}

/// A program that asks Go's runtime for the frames of addresses given as offsets from one function.
const PROGRAM: &str = r#"package main

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"sort"
	"strings"
	_ "unsafe"
)

// What runtime/pprof calls to turn an address into the calls inlined there.
//
//go:linkname expand runtime/pprof.runtime_expandFinalInlineFrame
func expand(stack []uintptr) []uintptr

type number interface{ ~int | ~float64 }

func sum[T number](values []T) (total T) {
	for _, value := range values {
		total += double(value)
	}
	return total
}

func double[T number](value T) T { return value + value }

type shape interface{ area() float64 }
type square struct{ side float64 }

func (s square) area() float64 { return s.side * s.side }

func report(words []string) string {
	sort.Strings(words)
	return strings.ToUpper(strings.Join(words, ","))
}

func main() {
	base := uint64(reflect.ValueOf(main).Pointer())
	if len(os.Args) > 1 {
		var s shape = square{3}
		fmt.Println(sum([]int{1, 2}), sum([]float64{1, 2}), s.area(), report(os.Args))
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var offset int64
		fmt.Sscanf(in.Text(), "%d", &offset)
		frames := runtime.CallersFrames(expand([]uintptr{uintptr(base+uint64(offset)) + 1}))
		for {
			frame, more := frames.Next()
			fmt.Fprintf(out, "%s\t%s\t%d;", frame.Function, frame.File, frame.Line)
			if !more {
				break
			}
		}
		fmt.Fprintln(out)
	}
}
"#;

/// A name as Go's runtime shows it: type arguments are left out.
fn plain(name: &str) -> String {
    match (name.find('['), name.rfind(']')) {
        (Some(start), Some(end)) => format!("{}[...]{}", &name[..start], &name[end + 1..]),
        _ => name.to_owned(),
    }
}

fn go_build(folder: &Path, name: &str, arguments: &[&str]) -> Option<PathBuf> {
    std::fs::write(folder.join("main.go"), PROGRAM).unwrap();
    // Functions without a body are only allowed beside assembly.
    std::fs::write(folder.join("none.s"), "").unwrap();
    let output = folder.join(name);
    let built = Command::new("go")
        .arg("build")
        .args(arguments)
        .arg("-o")
        .arg(&output)
        .arg(".")
        .env("GO111MODULE", "off")
        .env("GOFLAGS", "")
        .current_dir(folder)
        .output();
    match built {
        Ok(built) if built.status.success() => Some(output),
        Ok(built) => panic!("go build: {}", String::from_utf8_lossy(&built.stderr)),
        Err(error) => {
            println!("skipped: no Go compiler: {error}");
            None
        }
    }
}

/// What Go's runtime says in the running program about addresses given relative to `main.main`.
fn ask(program: &Path, offsets: &[i64]) -> Vec<String> {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text: String = offsets.iter().map(|offset| format!("{offset}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn frames_are_those_gos_runtime_reports() {
    let folder = tempfile::tempdir().unwrap();
    let builds: [(&str, &[&str]); 3] = [
        ("plain", &["-ldflags=-checklinkname=0"]),
        ("stripped", &["-ldflags=-checklinkname=0 -s -w"]),
        ("pie", &["-buildmode=pie", "-ldflags=-checklinkname=0 -s -w"]),
    ];
    for (name, arguments) in builds {
        let Some(program) = go_build(folder.path(), name, arguments) else { return };
        let bytes = std::fs::read(&program).unwrap();
        with_table(&bytes, |_, table| {
            let main = table.iter().find(|function| table.name(function) == Some("main.main")).unwrap();
            let mut addresses = Vec::new();
            for function in table.iter() {
                let in_main = table.name(&function).unwrap().starts_with("main.");
                let ranges = table.lines(&function).chain(table.inline_indices(&function));
                addresses.extend(ranges.step_by(if in_main { 1 } else { 37 }).map(|range| range.start.0));
            }
            let offsets: Vec<i64> =
                addresses.iter().map(|address| *address as i64 - main.start.0 as i64).collect();
            let answers = ask(&program, &offsets);
            assert_eq!(answers.len(), addresses.len());
            let (mut same, mut inlined) = (0, 0);
            for (address, answer) in addresses.iter().zip(&answers) {
                let found = frames(&table, *address);
                let shown: String = found
                    .iter()
                    .map(|(name, file, line)| format!("{}\t{file}\t{line};", plain(name)))
                    .collect();
                inlined += usize::from(found.len() > 1);
                same += usize::from(shown == *answer);
                if shown != *answer && name == "plain" {
                    println!("{address:#x}\n  ours {shown}\n  Go's {answer}");
                }
            }
            println!("{name}: {same} of {} equal, {inlined} with inlined calls", addresses.len());
            assert!(inlined > 500, "{inlined}");
            assert!(same * 1000 >= addresses.len() * 995, "{name}: {same} of {}", addresses.len());
        });
    }
}
