//! The walker that runs in the kernel (`bpf/walk.h`), compiled for this host, says what the reference
//! walker says.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use hearth_unwind::{Memory, Outcome, Registers, walk_step};

const CASES: usize = 40_000;
const CALLS: u64 = 8;
const BASE: u64 = 0x7f00_0000_1000;

struct Case {
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

/// xorshift64*: the same cases every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Instructions around which the leaf's caller is found without a frame pointer, and some others.
const CODE: [&[u8]; 9] = [
    &[0x90, 0xc3],
    &[0x90, 0xf3, 0xc3],
    &[0x90, 0x55, 0x48, 0x89, 0xe5],
    &[0x90, 0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5],
    &[0x55, 0x48, 0x89, 0xe5],
    &[0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0x77, 0x10, 0xc3],
    &[0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0x77, 0x10, 0xc2],
    &[0x54, 0x48, 0x89, 0xe5],
    &[0x90, 0x48, 0x8b, 0x07],
];

/// A stack of random words with a plausible chain in it, and code above.
fn case(random: &mut Random) -> Case {
    let words = 8 + random.below(56);
    let mut memory = Vec::new();
    // Code with calls of what lies around it comes after the stack and the leaf's own code.
    let calls = BASE + 8 * words + 32;
    for _ in 0..words {
        let word = match random.below(5) {
            0 => 0,
            4 => calls + 5 * (1 + random.below(CALLS)),
            1 => BASE + 8 * random.below(words + 4),
            2 => BASE + random.below(8 * words),
            _ => random.next(),
        };
        memory.extend(word.to_le_bytes());
    }
    let code_at = BASE + memory.len() as u64;
    let code = CODE[random.below(CODE.len() as u64) as usize];
    memory.extend(code);
    if random.below(8) > 0 {
        memory.resize((calls - BASE) as usize, 0x90);
        for _ in 0..CALLS {
            let distance = random.below(4 * 32) as i32 - 64;
            memory.push(if random.below(8) == 0 { 0x90 } else { 0xe8 });
            memory.extend(distance.to_le_bytes());
        }
    } else {
        memory.resize(memory.len() + random.below(12) as usize, 0x90);
    }
    let sp = BASE + 8 * random.below(words);
    let fp = match random.below(6) {
        0 => 0,
        1 => sp + random.below(64),
        _ => sp.wrapping_add(8 * random.below(16)).wrapping_sub(16),
    };
    let registers = Registers {
        ip: match random.below(8) {
            0 => random.next(),
            1..4 => calls + random.below(5 * CALLS),
            _ => code_at + 1,
        },
        sp,
        fp,
        stack_top: if random.below(2) == 0 { 0 } else { sp + random.below(1024) },
        start_bytes: if random.below(2) == 0 { 512 } else { 4096 },
        leaf: random.below(2) == 0,
        ..Registers::default()
    };
    Case { registers, memory }
}

fn input(cases: &[Case]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Case { registers, memory } in cases {
        let Registers { ip, sp, fp, stack_top, start_bytes, leaf, .. } = *registers;
        let words = [ip, sp, fp, stack_top, start_bytes.into(), leaf.into(), BASE, memory.len() as u64];
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(memory);
    }
    bytes
}

/// The harness as an executable; none if there is no C compiler.
fn compiled(out: &Path) -> Option<std::path::PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bpf/tests/walk_host.c");
    let binary = out.join("walk_host");
    let status = Command::new("cc").args(["-O1", "-Wall", "-Werror", "-o"]).arg(&binary).arg(source).status();
    match status {
        Ok(status) => {
            assert!(status.success(), "bpf/walk.h does not compile for the host");
            Some(binary)
        }
        Err(_) => None,
    }
}

#[test]
fn the_c_walker_agrees_with_the_reference_walker() {
    if !cfg!(target_arch = "x86_64") {
        println!("skipped: the reference walker knows x86-64's instructions");
        return;
    }
    let out = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let Some(binary) = compiled(out) else {
        println!("skipped: no C compiler (cc)");
        return;
    };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let cases: Vec<Case> = (0..CASES).map(|_| case(&mut random)).collect();
    let mut child = Command::new(binary).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = input(&cases);
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let words: Vec<u64> =
        output.stdout.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    assert_eq!(words.len(), 5 * CASES);
    let mut callers = 0;
    for (case, got) in cases.iter().zip(words.chunks_exact(5)) {
        let (want, registers) = match walk_step(&case.registers, case) {
            Outcome::Caller(registers) => (u64::MAX, registers),
            Outcome::Stop(reason) => (reason.number().into(), case.registers),
        };
        let Registers { ip, sp, fp, leaf, .. } = registers;
        assert_eq!(got, [want, ip, sp, fp, leaf.into()], "{:x?}", case.registers);
        callers += usize::from(want == u64::MAX);
    }
    assert!(callers > CASES / 10 && callers < CASES * 9 / 10, "unbalanced cases: {callers} have a caller");
}
