//! Programs that state the grammar of their calls, compiled in every way that changes how stacks look,
//! run while they are sampled, and judged.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hearth_profile::ProfileBatch;
use tempfile::TempDir;

use crate::grammar::{Grammar, Shape};
use crate::process::Child;
use crate::real::{is_present, output, program_source};
use crate::stacks::{Completeness, Stack, StackFrame, stacks};

/// One way to build and run a program.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// What it is called in tables; also the name of its executable.
    pub name: &'static str,
    compiler: &'static str,
    flags: &'static str,
    /// Files in `e2e/workloads/programs`; the first states the grammar.
    sources: &'static str,
    /// Arguments after the number of seconds.
    arguments: &'static str,
    /// Percent of samples that should reach the root.
    pub complete_min: f64,
    /// What cannot be reached yet, and why.
    pub limit: Option<Limit>,
    /// A function and how often it stands in each whole stack that has the leaf `burn`.
    depth: Option<(&'static str, usize)>,
}

/// How far a program is from what it should show; tests hold it to this.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Percent of samples that reach the root, at least.
    pub complete_min: f64,
    /// Percent of samples whose stack breaks the grammar, at most.
    pub wrong_max: f64,
    /// Why.
    pub why: &'static str,
}

/// Programs with coroutines of makecontext(3).
const COROUTINES: Option<Limit> = Some(Limit {
    complete_min: 88.0,
    wrong_max: 0.0,
    why: "a coroutine's return address is the first byte of the C library's start code, and is looked up one byte before",
});
const FRAMELESS_LEAVES: Option<Limit> = Some(Limit {
    complete_min: 88.0,
    wrong_max: 30.0,
    why: "compilers give leaves no frame even where they keep frame pointers, and nothing in the file says so",
});
const NO_TABLES_NO_POINTERS: Option<Limit> = Some(Limit {
    complete_min: 70.0,
    wrong_max: 15.0,
    why: "musl's own code has neither call frame information nor frame pointers",
});
const OTHER_REGISTERS: Option<Limit> = Some(Limit {
    complete_min: 60.0,
    wrong_max: 0.0,
    why: "a leaf whose frame is counted from a register that is not followed",
});

const fn grammar(name: &'static str, compiler: &'static str, flags: &'static str) -> Program {
    Program {
        name,
        compiler,
        flags,
        sources: "grammar.c",
        arguments: "1",
        complete_min: 99.5,
        limit: COROUTINES,
        depth: None,
    }
}

const fn recursion(name: &'static str, arguments: &'static str, depth: usize) -> Program {
    Program {
        name,
        compiler: "gcc",
        flags: "-O2 -fomit-frame-pointer",
        sources: "recursion.c",
        arguments,
        complete_min: 99.0,
        limit: None,
        depth: Some(("descend", depth)),
    }
}

const fn other(
    name: &'static str,
    compiler: &'static str,
    flags: &'static str,
    sources: &'static str,
) -> Program {
    Program { name, compiler, flags, sources, arguments: "", complete_min: 99.5, limit: None, depth: None }
}

const NO_CFI: &str = "-O2 -pthread -fno-omit-frame-pointer -fno-optimize-sibling-calls \
    -fno-asynchronous-unwind-tables -fno-unwind-tables";

/// Every program.
pub const PROGRAMS: [Program; 22] = [
    grammar("plain", "gcc", "-O2 -fomit-frame-pointer -pthread"),
    Program {
        arguments: "1 onstack",
        ..grammar("signal-stack", "gcc", "-O2 -fomit-frame-pointer -pthread -Wl,-z,lazy")
    },
    grammar("size", "gcc", "-Os -fomit-frame-pointer -pthread"),
    grammar("pushes", "gcc", "-O2 -fomit-frame-pointer -mno-accumulate-outgoing-args -mpush-args -pthread"),
    grammar("unoptimised", "gcc", "-O0 -pthread"),
    grammar("frame-pointers", "gcc", "-O2 -fno-omit-frame-pointer -pthread"),
    Program { limit: FRAMELESS_LEAVES, ..grammar("no-cfi", "gcc", NO_CFI) },
    grammar("no-header", "gcc", "-O2 -fomit-frame-pointer -pthread -Wl,--no-eh-frame-hdr"),
    Program { limit: None, ..grammar("static", "gcc", "-O2 -fomit-frame-pointer -static -pthread") },
    Program {
        limit: None,
        ..grammar("static-pie", "gcc", "-O2 -fomit-frame-pointer -static-pie -fPIE -pthread")
    },
    Program { limit: NO_TABLES_NO_POINTERS, ..grammar("musl", "musl-gcc", "-O2 -fomit-frame-pointer") },
    Program {
        limit: NO_TABLES_NO_POINTERS,
        ..grammar("musl-static", "musl-gcc", "-O2 -fomit-frame-pointer -static")
    },
    grammar("clang", "clang-14", "-O2 -fomit-frame-pointer -pthread"),
    recursion("recursion-100", "100", 100),
    recursion("recursion-500", "500", 500),
    recursion("recursion-1000", "1000", 1000),
    other("exceptions", "g++", "-O2 -fomit-frame-pointer -pthread", "exceptions.cc"),
    other("exceptions-static", "g++", "-O2 -fomit-frame-pointer -static -pthread", "exceptions.cc"),
    other("panic-abort", "rustc", "--edition=2024 -Copt-level=3 -Cpanic=abort", "abort.rs"),
    other("panic-unwind", "rustc", "--edition=2024 -Copt-level=2", "abort.rs"),
    other("jit", "gcc", "-O2 -fomit-frame-pointer", "jit.c"),
    Program {
        limit: OTHER_REGISTERS,
        ..other("assembly", "gcc", "-O2 -fomit-frame-pointer", "assembly.c handwritten.S")
    },
];

/// Compiles sources of `e2e/workloads/programs` to `to`.
///
/// # Errors
///
/// That the compiler is absent, or what it says.
pub fn compile(compiler: &str, flags: &str, sources: &str, to: &Path) -> Result<(), String> {
    if !is_present(compiler) {
        return Err(format!("{compiler} is absent"));
    }
    let sources = sources.split(' ').map(program_source);
    output(Command::new(compiler).args(flags.split_whitespace()).arg("-o").arg(to).args(sources)).map(drop)
}

/// Samples with a frame without a name, in percent: static programs have code without symbols, and names of
/// large ones may come after their window.
const UNNAMED_PERCENT_MAX: i64 = 30;

/// What sampling showed of one program.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// The program's name.
    pub name: &'static str,
    /// Why it did not run; nothing else is known then.
    pub absent: Option<String>,
    /// Samples of it, and how many were whole.
    pub completeness: Completeness,
    /// Samples with only start or end code in them.
    pub library_only: i64,
    /// Samples with an address of the program instead of a name, which no grammar can judge.
    pub unnamed: i64,
    /// Stacks which break the grammar, with how often; at most 20 of them.
    pub errors: BTreeMap<String, i64>,
    /// Samples whose stack breaks the grammar.
    pub wrong: i64,
}

impl Verdict {
    /// One line for people, and the first errors below it.
    pub fn line(&self) -> String {
        if let Some(reason) = &self.absent {
            return format!("{:<18} skipped: {reason}", self.name);
        }
        let (whole, depth) =
            (&self.completeness, self.completeness.frames / self.completeness.samples.max(1));
        let mut text = format!(
            "{:<18} {:>7} samples {:>5} frames {:>7.2} % complete {:>5} wrong {:>5} outside main {:>5} unnamed  {}",
            self.name,
            whole.samples,
            depth,
            whole.percent(),
            self.wrong,
            self.library_only,
            self.unnamed,
            whole.reasons()
        );
        for (error, count) in self.errors.iter().take(5) {
            text.push_str(&format!("\n    {count} × {error}"));
        }
        text
    }

    /// What is worse than the program's limit, or than its target if it has none.
    pub fn problems(&self, program: &Program) -> Vec<String> {
        if self.absent.is_some() {
            return Vec::new();
        }
        let (complete_min, wrong_max) = (program.complete_min, 0.0);
        let limit = program.limit.unwrap_or(Limit { complete_min, wrong_max, why: "" });
        let (whole, mut problems) = (&self.completeness, Vec::new());
        let wrong = self.wrong as f64 * 100.0 / whole.samples.max(1) as f64;
        if wrong > limit.wrong_max {
            problems.push(format!("{}: {wrong:.2} % of the samples break the grammar", self.name));
        }
        if self.unnamed * 100 > whole.samples * UNNAMED_PERCENT_MAX {
            problems
                .push(format!("{}: {} of {} samples are unnamed", self.name, self.unnamed, whole.samples));
        }
        if whole.samples < 50 {
            problems.push(format!("{}: only {} samples", self.name, whole.samples));
        }
        // Three more are chance where there are few samples.
        let missing = (whole.samples - whole.complete) as f64;
        if missing > whole.samples as f64 * (100.0 - limit.complete_min) / 100.0 + 3.0 {
            problems.push(format!("{}: {:.2} % are whole: {}", self.name, whole.percent(), whole.reasons()));
        }
        problems
    }

    fn judge(&mut self, program: &Program, grammar: &Grammar, stack: &Stack) {
        self.completeness.add(stack);
        let frames = stack.user_frames();
        let is_unnamed = |frame: &StackFrame| frame.function.is_empty() && frame.file_name() == self.name;
        if frames.iter().any(is_unnamed) {
            self.unnamed += stack.count;
            return;
        }
        let judged = grammar.check(frames, stack.stop.is_some());
        let judged = judged.and_then(|shape| program.check_depth(stack).map(|()| shape));
        match judged {
            Ok(Shape::Whole | Shape::Inexact) => {}
            Ok(Shape::Library) => self.library_only += stack.count,
            Err(error) => {
                self.wrong += stack.count;
                if self.errors.len() < 20 {
                    *self.errors.entry(format!("{error}: {}", shortened(&stack.folded()))).or_default() +=
                        stack.count;
                }
            }
        }
    }
}

impl Program {
    fn check_depth(&self, stack: &Stack) -> Result<(), String> {
        let Some((function, depth)) = self.depth else { return Ok(()) };
        let frames = stack.user_frames();
        let in_burn = frames.last().is_some_and(|leaf| leaf.function == "burn");
        let found = frames.iter().filter(|frame| frame.function == function).count();
        match found == depth || !in_burn || stack.stop.is_some() {
            true => Ok(()),
            false => Err(format!("{found} frames of {function} instead of {depth}")),
        }
    }
}

/// The first and last 300 bytes of what is longer.
fn shortened(text: &str) -> String {
    let (first, last) = (text.get(..300), text.len().checked_sub(300).and_then(|at| text.get(at..)));
    match (first, last) {
        (Some(first), Some(last)) if text.len() > 700 => format!("{first} … {last}"),
        _ => text.to_owned(),
    }
}

/// Programs that run, by process ID.
struct Running {
    verdicts: Vec<Verdict>,
    /// Which element of `verdicts`, and what it must obey.
    by_pid: HashMap<i64, (usize, Program, Grammar)>,
    children: Vec<Child>,
    _folder: TempDir,
}

impl Running {
    fn start(programs: &[Program], seconds: u32) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("temporary folder: {error}"))?;
        let mut paths: Vec<(usize, PathBuf)> = Vec::new();
        let mut verdicts = Vec::new();
        for (index, program) in programs.iter().enumerate() {
            let path = folder.path().join(program.name);
            let compiled = compile(program.compiler, program.flags, program.sources, &path);
            let absent = match compiled {
                Err(reason) if !reason.ends_with("absent") => return Err(reason),
                other => other.err(),
            };
            if absent.is_none() {
                paths.push((index, path));
            }
            verdicts.push(Verdict { name: program.name, absent, ..Verdict::default() });
        }
        let mut running = Self { verdicts, by_pid: HashMap::new(), children: Vec::new(), _folder: folder };
        for (index, path) in paths {
            let program = programs[index];
            let source = program_source(program.sources.split(' ').next().unwrap_or_default());
            let text =
                fs::read_to_string(&source).map_err(|error| format!("{}: {error}", source.display()))?;
            let mut command = Command::new(path);
            command.arg(seconds.to_string()).args(program.arguments.split_whitespace());
            let child = Child::spawn(&mut command);
            running.by_pid.insert(child.id().into(), (index, program, Grammar::parse(&text)));
            running.children.push(child);
        }
        Ok(running)
    }

    fn judge(&mut self, batch: &ProfileBatch) {
        for stack in stacks(batch) {
            if let Some((index, program, grammar)) = self.by_pid.get(&stack.pid) {
                self.verdicts[*index].judge(program, grammar, &stack);
            }
        }
    }
}

/// Compiles `programs`, runs all of them at once for `seconds`, and judges every stack that `collect`
/// returns. What is collected in the first fifth counts for correctness, but not for completeness.
///
/// # Errors
///
/// What does not compile or run.
pub fn run_programs(
    programs: &[Program],
    seconds: u32,
    mut collect: impl FnMut() -> ProfileBatch,
) -> Result<Vec<Verdict>, String> {
    let mut running = Running::start(programs, seconds)?;
    let start = Instant::now();
    let warm = Duration::from_secs(seconds.into()) / 5;
    std::thread::sleep(warm);
    running.judge(&collect());
    for verdict in &mut running.verdicts {
        verdict.completeness = Completeness::default();
    }
    while running.children.iter_mut().any(Child::is_running) {
        if start.elapsed() > warm * 50 {
            return Err("a program runs ten times longer than it was told to".into());
        }
        std::thread::sleep(Duration::from_secs(2));
        running.judge(&collect());
    }
    running.judge(&collect());
    Ok(running.verdicts)
}
