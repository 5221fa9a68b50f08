//! What runs in the kernel (`bpf/rows.h`), compiled for this host, finds the rules of real executables in
//! their pages and applies rules as the reference does.

mod common;
mod random;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hearth_objfile::ObjectFile;
use hearth_unwind::{Arch, Frame, Memory, Outcome, Registers, Rule, Saved, Table, apply, encode};
use random::Random;

const FIRST_PAGE: u32 = 301;
const STAMP: u32 = 0x5151;
const OFFSETS_MAX: usize = 60_000;
const CASES: usize = 20_000;
const BASE: u64 = 0x7f00_0000_1000;

/// The harness as an executable; none if there is no C compiler.
fn compiled(arch: Arch) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bpf/tests/rows_host.c");
    let (name, define) = match arch {
        Arch::X86_64 => ("rows_host_x86", "-D__TARGET_ARCH_x86"),
        Arch::Arm64 => ("rows_host_arm64", "-D__TARGET_ARCH_arm64"),
    };
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}_{}", std::process::id()));
    let flags = ["-O1", "-Wall", "-Werror", "-Wno-unknown-pragmas", define, "-o"];
    let status = Command::new("cc").args(flags).arg(&binary).arg(source).status().ok()?;
    assert!(status.success(), "bpf/rows.h does not compile for the host");
    Some(binary)
}

fn run(binary: &Path, input: Vec<u8>) -> Vec<u64> {
    let mut child =
        Command::new(binary).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("it is piped");
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("all is read");
    assert!(output.status.success());
    output.stdout.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes"))).collect()
}

fn bytes_of(words: impl IntoIterator<Item = u64>) -> Vec<u8> {
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

/// A rule as three words of 64 bits.
fn rule_words(rule: Rule) -> [u64; 3] {
    let words = rule.wide().map(u64::from);
    [0, 2, 4].map(|at| words[at] | words[at + 1] << 32)
}

fn placed(table: &Table) -> Vec<u8> {
    let ids: Vec<u32> = (0..table.pages().len() as u32).map(|number| FIRST_PAGE + 2 * number).collect();
    let mut pages = vec![0; table.pages().len() * 4096];
    table.place(STAMP, &ids, |id, page| {
        let at = (id - FIRST_PAGE) as usize / 2 * 4096;
        pages[at..at + 4096].copy_from_slice(page);
    });
    let mut input = bytes_of([table.pages().len() as u64, FIRST_PAGE.into(), STAMP.into()]);
    input.extend(pages);
    input
}

#[test]
fn c_and_rust_find_in_pages_what_the_rows_say() {
    let Some(binary) = compiled(Arch::X86_64) else {
        println!("skipped: no C compiler (cc)");
        return;
    };
    let mut random = Random(7);
    for path in common::executables() {
        let data = std::fs::read(&path).unwrap();
        let object = ObjectFile::parse(&data[..]).unwrap();
        let Some(rows) = common::rows(&object, &data) else { continue };
        if Arch::of(object.machine) != Some(Arch::X86_64) {
            continue;
        }
        let table = encode(&rows).unwrap();
        let all: Vec<(u32, Rule)> = rows.iter().collect();
        let step = all.len().div_ceil(OFFSETS_MAX / 3);
        let mut want = vec![(all[0].0.saturating_sub(1), Rule::None), (u32::MAX, Rule::None)];
        for pair in all.windows(2).step_by(step) {
            let ((at, rule), (end, _)) = (pair[0], pair[1]);
            let inside = at + random.below(u64::from(end - at)) as u32;
            want.extend([at, end - 1, inside].map(|offset| (offset, rule)));
        }
        let mut input = placed(&table);
        input.extend(bytes_of([want.len() as u64]));
        input.extend(bytes_of(want.iter().map(|(offset, _)| u64::from(*offset))));
        let got = run(&binary, input);
        assert_eq!(got.len(), 4 * want.len(), "{path:?}");
        for ((offset, rule), got) in want.iter().zip(got.chunks_exact(4)) {
            assert_eq!(table.find(*offset), *rule, "{path:?} {offset:#x}");
            assert_eq!(
                (got[0], &got[1..]),
                (u64::MAX, &rule_words(*rule)[..]),
                "{path:?} {offset:#x} {rule:?}"
            );
        }
        println!("{}: {} rows, {} looked up", path.display(), all.len(), want.len());
    }
}

struct Case {
    rule: Rule,
    registers: Registers,
    memory: Vec<u8>,
}

impl Memory for Case {
    fn read(&self, address: u64, to: &mut [u8]) -> bool {
        let from = address.checked_sub(BASE).and_then(|at| usize::try_from(at).ok());
        let bytes = from.and_then(|at| self.memory.get(at..)?.get(..to.len()));
        bytes.inspect(|bytes| to.copy_from_slice(bytes)).is_some()
    }
}

fn saved(random: &mut Random) -> Saved {
    let at = 8 * (random.below(12) as i32 - 8);
    match random.below(9) {
        0 | 1 => Saved::Same,
        2 => Saved::IsCfa(at),
        3 => Saved::AtFp(at),
        4 => Saved::AtSp(at),
        5 => Saved::Register(random.below(16) as u8),
        6 => Saved::Unknown,
        _ => Saved::AtCfa(at),
    }
}

fn case(arch: Arch, random: &mut Random) -> Case {
    let words = 90;
    let memory = bytes_of((0..words).map(|_| match random.below(3) {
        0 => 0,
        1 => BASE + 8 * random.below(words),
        _ => random.next(),
    }));
    let near = |random: &mut Random| match random.below(6) {
        0 => random.next(),
        1 => 1,
        _ => BASE + 8 * random.below(words),
    };
    let register = |random: &mut Random| match random.below(3) {
        0 => arch.sp(),
        1 => arch.fp(),
        _ => random.below(u64::from(arch.registers())) as u8,
    };
    let deref = (random.below(3) == 0).then(|| 8 * (random.below(4) as i32));
    let frame = Frame {
        register: register(random),
        offset: 8 * (random.below(16) as i32 - 2),
        deref,
        index: deref.filter(|_| random.below(2) == 0).map(|_| random.below(16) as u8),
        fp: saved(random),
        ra: if random.below(3) > 0 { Saved::AtCfa(-8) } else { saved(random) },
        bx: match random.below(3) {
            0 => Saved::Same,
            1 => Saved::AtCfa(-8 * (1 + random.below(6) as i32)),
            _ => Saved::Unknown,
        },
    };
    let mut registers = Registers {
        ip: near(random),
        sp: BASE + 8 * random.below(words / 2),
        fp: near(random),
        lr: near(random),
        leaf: random.below(2) == 0,
        known: match random.below(3) {
            0 => 0,
            1 if arch == Arch::X86_64 => 1 << 7,
            _ => arch.known(),
        },
        ..Registers::default()
    };
    for other in &mut registers.other[..usize::from(arch.registers())] {
        *other = if random.below(4) == 0 { random.below(4) } else { near(random) };
    }
    let rule = match random.below(12) {
        0 => Rule::None,
        1 => Rule::Root,
        2 => Rule::Unsupported,
        3 => Rule::Signal,
        4 => Rule::Plt(random.below(16) as u8),
        _ => Rule::Frame(frame),
    };
    let mut case = Case { rule, registers, memory };
    if rule == Rule::None && random.below(2) == 0 {
        // The return code of musl's signal handlers, and arm64's.
        let code: &[u8] = match (arch, random.below(2)) {
            (Arch::X86_64, 0) => &[0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05],
            (Arch::X86_64, _) => &[0xb8, 15, 0, 0, 0, 0x0f, 0x05],
            (Arch::Arm64, _) => &[0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4],
        };
        case.memory[..code.len()].copy_from_slice(code);
        case.registers.ip = BASE;
    }
    case
}

#[test]
fn c_and_rust_apply_rules_alike() {
    for arch in [Arch::X86_64, Arch::Arm64] {
        let Some(binary) = compiled(arch) else {
            println!("skipped: no C compiler (cc)");
            return;
        };
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let cases: Vec<Case> = (0..CASES).map(|_| case(arch, &mut random)).collect();
        let mut input = bytes_of([0, 1, 0, 0]);
        let others = usize::from(arch.registers());
        for Case { rule, registers, memory } in &cases {
            let Registers { ip, sp, fp, lr, leaf, known, other, .. } = registers;
            input.extend(bytes_of(rule_words(*rule)));
            input.extend(bytes_of([*ip, *sp, *fp, *lr, u64::from(*leaf), u64::from(*known)]));
            input.extend(bytes_of(other[..others].iter().copied()));
            input.extend(bytes_of([BASE, memory.len() as u64]));
            input.extend(memory);
        }
        let got = run(&binary, input);
        assert_eq!(got.len(), (6 + others) * CASES);
        let mut callers = 0;
        for (case, got) in cases.iter().zip(got.chunks_exact(6 + others)) {
            let outcome = apply(arch, &case.rule, &case.registers, case);
            match outcome {
                None => assert_eq!(got[0] as i64, -2, "{:?}", case.rule),
                Some(Outcome::Stop(reason)) => {
                    assert_eq!(got[0], reason.number().into(), "{:?} {:x?}", case.rule, case.registers);
                }
                Some(Outcome::Caller(to)) => {
                    let want = [u64::MAX, to.ip, to.sp, to.fp, to.leaf.into(), to.known.into()];
                    assert_eq!(got[..6], want, "{:?} {:x?}", case.rule, case.registers);
                    assert_eq!(&got[6..], &to.other[..others], "{:?}", case.rule);
                    callers += 1;
                }
            }
        }
        assert!(callers > CASES / 5, "unbalanced cases: {callers} have a caller");
    }
}
