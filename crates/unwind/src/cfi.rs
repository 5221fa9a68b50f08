//! Call frame information: `.eh_frame` and `.debug_frame` → rows.
//!
//! Only what finds a caller is tracked: the CFA, the frame pointer and the return address. Entries that
//! contradict the format are left out and counted; the next entry is found by its length. Each byte is
//! read at most once, so that no input takes more than linear time.

use std::collections::HashMap;

use hearth_objfile::{ElfAddress, Segment};

use crate::expression::{self, Bytes};
use crate::rows::{Error, Input, Limits, Rows, Section};
use crate::rule::{Arch, Frame, NONE, Rule, Saved, UNSUPPORTED, WIDE, WIDE_MIN, WIDE_RULES_MAX};

/// Gaps between functions shorter than this are padding, which is never executed.
const PADDING_BYTES_MAX: u32 = 15;
/// Nested `DW_CFA_remember_state`. Compilers nest one; a bound keeps hostile input from filling memory.
const REMEMBERED_MAX: usize = 1024;
const ABSENT: u8 = 0xff;

/// How a CFA is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cfa {
    Register { register: u8, offset: i32 },
    Deref { register: u8, offset: i32, add: i32, index: Option<u8> },
    Plt(u8),
    Unsupported,
}

/// The rules at one instruction.
#[derive(Clone, Copy, Debug)]
struct State {
    cfa: Cfa,
    fp: Saved,
    ra: Saved,
    bx: Saved,
}

const UNKNOWN: State = State { cfa: Cfa::Unsupported, fp: Saved::Same, ra: Saved::Same, bx: Saved::Same };

/// DWARF's number of rbx on x86-64.
const RBX: u64 = 3;

/// A common information entry: what the entries of many functions share.
#[derive(Clone, Debug)]
struct Cie {
    code_align: u64,
    data_align: i64,
    pointers: u8,
    augmented: bool,
    signal: bool,
    ra: u64,
    init: State,
}

/// A function's entry. Positions are those of its instructions in its section.
#[derive(Clone, Copy, Debug)]
struct Fde {
    offset: u32,
    bytes: u32,
    code: u32,
    code_end: u32,
    cie: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Eh,
    Debug,
}

/// Executable segments; more than any linker makes.
const SEGMENTS_MAX: usize = 64;

/// Addresses → file offsets, by executable segments.
struct Map {
    segments: Vec<Segment>,
    last: usize,
}

impl Map {
    fn new(segments: &[Segment]) -> Self {
        let executable = segments.iter().filter(|segment| segment.executable);
        Self { segments: executable.take(SEGMENTS_MAX).copied().collect(), last: 0 }
    }

    /// The file offset of an address, and of its segment's end.
    fn offset(&mut self, address: u64) -> Option<(u32, u32)> {
        let holds = |segment: &Segment| {
            address.checked_sub(segment.elf_address.0).is_some_and(|delta| delta < segment.file_size)
        };
        if !self.segments.get(self.last).is_some_and(holds) {
            self.last = self.segments.iter().position(holds)?;
        }
        let segment = self.segments.get(self.last)?;
        let offset = segment.file_offset.0.checked_add(address - segment.elf_address.0)?;
        let end = segment.file_offset.0.saturating_add(segment.file_size);
        Some((u32::try_from(offset).ok()?, u32::try_from(end).unwrap_or(u32::MAX)))
    }
}

/// One section being read.
struct Source<'a> {
    section: Section<'a>,
    kind: Kind,
    arch: Arch,
    text: Option<ElfAddress>,
    cies: Vec<Cie>,
    /// Position of an entry → its index in `cies`.
    cie_at: HashMap<usize, u32>,
    /// The one that was looked up last.
    last_cie: (usize, u32),
}

/// The rows of all functions, from both sections.
pub(crate) fn build(input: &Input<'_>, limits: &Limits) -> Result<Rows, Error> {
    let mut rows = Rows::new(input.arch);
    let sections = [(input.eh_frame, Kind::Eh), (input.debug_frame, Kind::Debug)];
    let mut map = Map::new(input.segments);
    let mut sources = Vec::new();
    let mut fdes: Vec<(Fde, u8)> = Vec::new();
    for (section, kind) in sections {
        let Some(section) = section else { continue };
        if section.bytes.len() > limits.section_bytes_max {
            let (count, limit) = (section.bytes.len(), limits.section_bytes_max);
            return Err(Error::TooLarge { what: "bytes of call frame information", count, limit });
        }
        let mut source = Source {
            section,
            kind,
            arch: input.arch,
            text: input.text,
            cies: Vec::new(),
            cie_at: HashMap::new(),
            last_cie: (usize::MAX, 0),
        };
        let number = sources.len() as u8;
        source.collect(&mut map, limits, &mut rows, |fde| fdes.push((fde, number)))?;
        sources.push(source);
    }
    // The order is that of the linker: nearly always sorted. What comes first wins among equals.
    if !fdes.is_sorted_by_key(|(fde, _)| fde.offset) {
        fdes.sort_by_key(|(fde, _)| fde.offset);
    }
    fdes.dedup_by_key(|(fde, _)| fde.offset);
    let mut writer = Writer::new(&mut rows, limits.rows_max);
    let mut remembered = Vec::new();
    for (index, (fde, source)) in fdes.iter().enumerate() {
        let next = fdes.get(index + 1).map_or(u32::MAX, |(next, _)| next.offset);
        let end = fde.offset.saturating_add(fde.bytes).min(next);
        writer.function(fde.offset, end);
        if let Some(source) = sources.get(usize::from(*source)) {
            source.run_fde(fde, end, &mut map, &mut remembered, &mut writer);
        }
        writer.check()?;
    }
    writer.finish();
    Ok(rows)
}

/// Why an entry is not used.
enum Left {
    /// The linker dropped its function.
    Discarded,
    /// Its function is in no segment, or beyond what rows can tell.
    Unreachable,
    Malformed,
}

/// The head of an entry: where it begins and ends, where its id is, and the id's size.
struct Head {
    at: usize,
    id_at: usize,
    id_bytes: usize,
    end: usize,
}

impl Source<'_> {
    /// Reads the entries' heads.
    fn collect(
        &mut self,
        map: &mut Map,
        limits: &Limits,
        rows: &mut Rows,
        mut found: impl FnMut(Fde),
    ) -> Result<(), Error> {
        let mut at = 0;
        let mut count = 0;
        while let Some(head) = self.head(at) {
            at = head.end;
            // A terminator; linkers leave some in the middle.
            if head.id_at == head.end {
                continue;
            }
            match self.entry(&head, map) {
                Ok(None) | Err(Left::Discarded) => {}
                Ok(Some(fde)) => {
                    count += 1;
                    found(fde);
                }
                Err(Left::Unreachable) => rows.statistics.unreachable += 1,
                Err(Left::Malformed) => rows.statistics.malformed += 1,
            }
            if count > limits.functions_max {
                return Err(Error::TooLarge { what: "functions", count, limit: limits.functions_max });
            }
        }
        Ok(())
    }

    fn head(&self, at: usize) -> Option<Head> {
        let mut bytes = Bytes::new(self.section.bytes, at);
        let length = bytes.u32()?;
        let (length, id_bytes) = match (length, self.kind) {
            (u32::MAX, Kind::Debug) => (bytes.u64()?, 8),
            (u32::MAX, Kind::Eh) => (bytes.u64()?, 4),
            _ => (length.into(), 4),
        };
        let id_at = bytes.at();
        let end = id_at.checked_add(usize::try_from(length).ok()?)?;
        (end <= self.section.bytes.len()).then_some(Head { at, id_at, id_bytes, end })
    }

    /// Reads an entry: a common one is kept, a function's is returned.
    fn entry(&mut self, head: &Head, map: &mut Map) -> Result<Option<Fde>, Left> {
        let mut bytes = Bytes::new(self.section.bytes.get(..head.end).unwrap_or_default(), head.id_at);
        let id = match head.id_bytes {
            8 => bytes.u64(),
            _ => bytes.u32().map(u64::from),
        };
        let id = id.ok_or(Left::Malformed)?;
        let is_cie = match self.kind {
            Kind::Eh => id == 0,
            Kind::Debug => id == if head.id_bytes == 8 { u64::MAX } else { u32::MAX.into() },
        };
        if is_cie {
            let cie = self.cie(bytes).ok_or(Left::Malformed)?;
            self.cie_at.insert(head.at, self.cies.len() as u32);
            self.cies.push(cie);
            return Ok(None);
        }
        let cie_at = match self.kind {
            Kind::Eh => (head.id_at as u64).checked_sub(id),
            Kind::Debug => Some(id),
        };
        let cie_at = cie_at.and_then(|at| usize::try_from(at).ok()).ok_or(Left::Malformed)?;
        let cie = match self.last_cie {
            (at, cie) if at == cie_at => cie,
            _ => *self.cie_at.get(&cie_at).ok_or(Left::Malformed)?,
        };
        self.last_cie = (cie_at, cie);
        self.fde(bytes, cie, head.end, map).map(Some)
    }

    /// An address as its encoding tells; none if it is not supported.
    fn pointer(&self, bytes: &mut Bytes<'_>, encoding: u8) -> Option<u64> {
        let at = self.section.address.0.wrapping_add(bytes.at() as u64);
        let value = bytes.pointer(encoding & 0x0f)?;
        match encoding & 0xf0 {
            0x00 => Some(value),
            0x10 => Some(value.wrapping_add(at)),
            0x20 => Some(value.wrapping_add(self.text?.0)),
            _ => None,
        }
    }

    fn cie(&self, mut bytes: Bytes<'_>) -> Option<Cie> {
        let version = bytes.u8()?;
        if !matches!(version, 1 | 3 | 4) {
            return None;
        }
        let augmentation = bytes.text()?;
        if version == 4 && (bytes.u8()?, bytes.u8()?) != (8, 0) {
            return None;
        }
        let (code_align, data_align) = (bytes.uleb()?, bytes.sleb()?);
        let ra = if version == 1 { bytes.u8()?.into() } else { bytes.uleb()? };
        let mut cie = Cie {
            code_align,
            data_align,
            pointers: 0,
            augmented: augmentation.first() == Some(&b'z'),
            signal: false,
            ra,
            init: UNKNOWN,
        };
        if cie.augmented {
            let size = bytes.uleb()?;
            let mut data = bytes.split(size)?;
            for letter in &augmentation[1..] {
                match letter {
                    b'R' => cie.pointers = data.u8()?,
                    b'P' => {
                        let encoding = data.u8()?;
                        if encoding != ABSENT {
                            data.pointer(encoding & 0x0f)?;
                        }
                    }
                    b'L' => drop(data.u8()?),
                    b'S' => cie.signal = true,
                    // B: return addresses are signed with the second key; G: memory is tagged.
                    b'B' | b'G' => {}
                    _ => break,
                }
            }
        } else if !augmentation.is_empty() {
            return None;
        }
        let mut machine = Machine { state: UNKNOWN, source: self, cie: &cie };
        let init = machine.run(&mut bytes, &mut Vec::new(), |_, _| true).map_or(UNKNOWN, |()| machine.state);
        cie.init = init;
        Some(cie)
    }

    fn fde(&self, mut bytes: Bytes<'_>, number: u32, end: usize, map: &mut Map) -> Result<Fde, Left> {
        let cie = self.cies.get(number as usize).ok_or(Left::Malformed)?;
        let pc = self.pointer(&mut bytes, cie.pointers).ok_or(Left::Malformed)?;
        let size = bytes.pointer(cie.pointers & 0x0f).ok_or(Left::Malformed)?;
        if cie.augmented {
            let skipped = bytes.uleb().ok_or(Left::Malformed)?;
            bytes.split(skipped).ok_or(Left::Malformed)?;
        }
        if pc == 0 || size == 0 {
            return Err(Left::Discarded);
        }
        let (offset, segment_end) = map.offset(pc).ok_or(Left::Unreachable)?;
        let bytes_max = segment_end.saturating_sub(offset);
        let position = |at| u32::try_from(at).map_err(|_| Left::Malformed);
        Ok(Fde {
            offset,
            bytes: u32::try_from(size).map_or(bytes_max, |size| size.min(bytes_max)),
            code: position(bytes.at())?,
            code_end: position(end)?,
            cie: number,
        })
    }

    /// Writes the rows of a function that ends at `end`.
    fn run_fde(
        &self,
        fde: &Fde,
        end: u32,
        map: &mut Map,
        remembered: &mut Vec<State>,
        writer: &mut Writer<'_>,
    ) {
        let Some(cie) = self.cies.get(fde.cie as usize) else { return };
        let section = self.section.bytes.get(..fde.code_end as usize).unwrap_or_default();
        let mut bytes = Bytes::new(section, fde.code as usize);
        let mut machine = Machine { state: cie.init, source: self, cie };
        let mut at = fde.offset;
        remembered.clear();
        let result = machine.run(&mut bytes, remembered, |state, advance| {
            writer.row(at, self.rule(cie, state));
            let next = match advance {
                Advance::By(bytes) => u64::from(at).saturating_add(bytes),
                Advance::To(address) => map.offset(address).map_or(at, |(to, _)| to.max(at)).into(),
            };
            at = u32::try_from(next).unwrap_or(u32::MAX);
            at < end
        });
        match result {
            Some(()) if at < end => writer.row(at, self.rule(cie, &machine.state)),
            Some(()) => {}
            None => {
                writer.rows.statistics.malformed += 1;
                writer.row(at, Rule::Unsupported);
            }
        }
    }

    fn rule(&self, cie: &Cie, state: &State) -> Rule {
        if cie.signal {
            return Rule::Signal;
        }
        if state.ra == Saved::Unknown {
            return Rule::Root;
        }
        if self.arch == Arch::X86_64 && state.ra == Saved::Same {
            return Rule::Unsupported;
        }
        let (register, offset, deref, index) = match state.cfa {
            Cfa::Register { register, offset } => (register, offset, None, None),
            Cfa::Deref { register, offset, add, index } => (register, offset, Some(add), index),
            Cfa::Plt(from) => return Rule::Plt(from),
            Cfa::Unsupported => return Rule::Unsupported,
        };
        if register >= self.arch.registers() {
            return Rule::Unsupported;
        }
        let bx = match state.bx {
            Saved::Same => Saved::Same,
            Saved::AtCfa(at) if (i32::from(i16::MIN)..0).contains(&at) => Saved::AtCfa(at),
            _ => Saved::Unknown,
        };
        Rule::Frame(Frame { register, offset, deref, index, fp: state.fp, ra: state.ra, bx })
    }
}

/// A move to a later instruction.
enum Advance {
    By(u64),
    To(u64),
}

/// The machine which runs the instructions of an entry.
struct Machine<'a, 'd> {
    state: State,
    source: &'a Source<'d>,
    cie: &'a Cie,
}

/// A register that is tracked.
enum Tracked {
    Fp,
    Ra,
    Bx,
}

impl Machine<'_, '_> {
    fn tracked(&self, register: u64) -> Option<Tracked> {
        if register == self.source.arch.fp().into() {
            return Some(Tracked::Fp);
        }
        if register == self.cie.ra {
            return Some(Tracked::Ra);
        }
        (register == RBX && self.source.arch == Arch::X86_64).then_some(Tracked::Bx)
    }

    fn set(&mut self, register: u64, saved: Saved) {
        match self.tracked(register) {
            Some(Tracked::Fp) => self.state.fp = saved,
            Some(Tracked::Ra) => self.state.ra = saved,
            Some(Tracked::Bx) => self.state.bx = saved,
            None => {}
        }
    }

    fn restore(&mut self, register: u64) {
        match self.tracked(register) {
            Some(Tracked::Fp) => self.state.fp = self.cie.init.fp,
            Some(Tracked::Ra) => self.state.ra = self.cie.init.ra,
            Some(Tracked::Bx) => self.state.bx = self.cie.init.bx,
            None => {}
        }
    }

    fn factored(&self, offset: i64) -> Option<i32> {
        i32::try_from(offset.checked_mul(self.cie.data_align)?).ok()
    }

    fn set_at(&mut self, register: u64, offset: i64, saved: fn(i32) -> Saved) {
        let saved = self.factored(offset).map_or(Saved::Unknown, saved);
        self.set(register, saved);
    }

    fn set_cfa(&mut self, register: u64, offset: Option<i32>) {
        self.state.cfa = match (u8::try_from(register), offset) {
            (Ok(register), Some(offset)) => Cfa::Register { register, offset },
            _ => Cfa::Unsupported,
        };
    }

    fn set_cfa_register(&mut self, register: u64) {
        // After an expression there is no offset to keep; others start from 0 there, too.
        let offset = match self.state.cfa {
            Cfa::Register { offset, .. } => offset,
            _ => 0,
        };
        self.set_cfa(register, Some(offset));
    }

    fn set_cfa_offset(&mut self, offset: Option<i32>) {
        self.state.cfa = match (self.state.cfa, offset) {
            (Cfa::Register { register, .. }, Some(offset)) => Cfa::Register { register, offset },
            _ => Cfa::Unsupported,
        };
    }

    /// Runs to the end, or until `advance`, which is told of the state before each move, says stop.
    ///
    /// None if an instruction is cut off or unknown; the state is what it was before it.
    fn run(
        &mut self,
        bytes: &mut Bytes<'_>,
        remembered: &mut Vec<State>,
        mut advance: impl FnMut(&State, Advance) -> bool,
    ) -> Option<()> {
        while let Some(op) = bytes.u8() {
            let low = u64::from(op & 0x3f);
            let by = match op >> 6 {
                1 => low,
                2 => {
                    let offset = bytes.uleb()?;
                    if self.tracked(low).is_some() {
                        self.set_at(low, offset as i64, Saved::AtCfa);
                    }
                    continue;
                }
                3 => {
                    self.restore(low);
                    continue;
                }
                _ => match op {
                    0x01 => {
                        let address = self.source.pointer(bytes, self.cie.pointers)?;
                        if !advance(&self.state, Advance::To(address)) {
                            return Some(());
                        }
                        continue;
                    }
                    0x02 => bytes.u8()?.into(),
                    0x03 => bytes.u16()?.into(),
                    0x04 => bytes.u32()?.into(),
                    _ => {
                        self.instruction(op, bytes, remembered)?;
                        continue;
                    }
                },
            };
            let by = by.saturating_mul(self.cie.code_align);
            if by != 0 && !advance(&self.state, Advance::By(by)) {
                return Some(());
            }
        }
        Some(())
    }

    /// Runs an instruction which has a byte of its own and moves nowhere.
    fn instruction(&mut self, op: u8, bytes: &mut Bytes<'_>, remembered: &mut Vec<State>) -> Option<()> {
        match op {
            0x00 => {}
            0x05 => {
                let (register, offset) = (bytes.uleb()?, bytes.uleb()?);
                self.set_at(register, offset as i64, Saved::AtCfa);
            }
            0x06 => self.restore(bytes.uleb()?),
            0x07 => self.set(bytes.uleb()?, Saved::Unknown),
            0x08 => self.set(bytes.uleb()?, Saved::Same),
            0x09 => {
                let (register, other) = (bytes.uleb()?, bytes.uleb()?);
                let known = u8::try_from(other).ok().filter(|other| *other < self.source.arch.registers());
                self.set(register, known.map_or(Saved::Unknown, Saved::Register));
            }
            0x0a if remembered.len() < REMEMBERED_MAX => remembered.push(self.state),
            0x0a => return None,
            0x0b => self.state = remembered.pop()?,
            0x0c => {
                let (register, offset) = (bytes.uleb()?, bytes.uleb()?);
                self.set_cfa(register, i32::try_from(offset).ok());
            }
            0x0d => {
                let register = bytes.uleb()?;
                self.set_cfa_register(register);
            }
            0x0e => {
                let offset = bytes.uleb()?;
                self.set_cfa_offset(i32::try_from(offset).ok());
            }
            0x0f => {
                let size = bytes.uleb()?;
                self.state.cfa = expression::cfa(self.source.arch, bytes.split(size)?);
            }
            0x10 | 0x16 => {
                let (register, size) = (bytes.uleb()?, bytes.uleb()?);
                let expression = bytes.split(size)?;
                if self.tracked(register).is_some() {
                    self.set(register, expression::saved(self.source.arch, expression, op == 0x16));
                }
            }
            0x11 => {
                let (register, offset) = (bytes.uleb()?, bytes.sleb()?);
                self.set_at(register, offset, Saved::AtCfa);
            }
            0x12 => {
                let (register, offset) = (bytes.uleb()?, bytes.sleb()?);
                self.set_cfa(register, self.factored(offset));
            }
            0x13 => {
                let offset = bytes.sleb()?;
                self.set_cfa_offset(self.factored(offset));
            }
            0x14 => {
                let (register, offset) = (bytes.uleb()?, bytes.uleb()?);
                self.set_at(register, offset as i64, Saved::IsCfa);
            }
            0x15 => {
                let (register, offset) = (bytes.uleb()?, bytes.sleb()?);
                self.set_at(register, offset, Saved::IsCfa);
            }
            // arm64: the return address is signed from here on, or no longer. Its upper bits are masked
            // anyway. x86-64 has no use for the number.
            0x2d => {}
            // DW_CFA_GNU_args_size: how much a callee pops; the CFA says so itself.
            0x2e => drop(bytes.uleb()?),
            0x2f => {
                let (register, offset) = (bytes.uleb()?, bytes.uleb()?);
                self.set_at(register, (offset as i64).checked_neg()?, Saved::AtCfa);
            }
            _ => return None,
        }
        Some(())
    }
}

/// Appends rows: merges equal ones, fills gaps, keeps order.
struct Writer<'r> {
    rows: &'r mut Rows,
    rows_max: usize,
    wide: HashMap<Rule, u16>,
    /// The last rule and its code.
    last: (Rule, u16),
    /// Where the last function ended.
    end: Option<u32>,
}

impl<'r> Writer<'r> {
    fn new(rows: &'r mut Rows, rows_max: usize) -> Self {
        let last = (Rule::None, NONE);
        Self { rows, rows_max, wide: HashMap::new(), last, end: None }
    }

    /// Begins a function; they come in ascending order.
    fn function(&mut self, start: u32, end: u32) {
        if let Some(last_end) = self.end
            && start.saturating_sub(last_end) > PADDING_BYTES_MAX
        {
            self.row(last_end, Rule::None);
        }
        self.end = Some(end);
        self.rows.statistics.functions += 1;
        self.rows.functions.push(start..end);
    }

    fn row(&mut self, at: u32, rule: Rule) {
        let code = self.code(rule);
        if self.rows.offsets.last() == Some(&at) {
            if let Some(last) = self.rows.codes.last_mut() {
                *last = code;
            }
            return;
        }
        // A function's first row is kept even if nothing changes: patterns begin there.
        let starts = self.rows.functions.last().is_some_and(|function| function.start == at);
        if self.rows.codes.last() == Some(&code) && !starts {
            return;
        }
        self.rows.offsets.push(at);
        self.rows.codes.push(code);
    }

    fn code(&mut self, rule: Rule) -> u16 {
        if rule == self.last.0 {
            return self.last.1;
        }
        let code = rule.compact(self.rows.arch).unwrap_or_else(|| self.wide_code(rule));
        self.last = (rule, code);
        code
    }

    fn wide_code(&mut self, rule: Rule) -> u16 {
        if let Some(code) = self.wide.get(&rule) {
            return *code;
        }
        if self.rows.wide.len() >= WIDE_RULES_MAX {
            return UNSUPPORTED;
        }
        let code = WIDE | (WIDE_MIN + self.rows.wide.len() as u16);
        self.rows.wide.push(rule);
        self.wide.insert(rule, code);
        code
    }

    fn check(&self) -> Result<(), Error> {
        let (count, limit) = (self.rows.len(), self.rows_max);
        if count > limit {
            return Err(Error::TooLarge { what: "unwind rows", count, limit });
        }
        Ok(())
    }

    fn finish(&mut self) {
        if let Some(end) = self.end {
            self.row(end, Rule::None);
        }
        let unsupported = UNSUPPORTED;
        let count = self.rows.codes.iter().filter(|code| **code == unsupported).count();
        self.rows.statistics.unsupported = count;
    }
}

/// Where `.eh_frame` is, from `.eh_frame_hdr` (the segment `PT_GNU_EH_FRAME`), for files whose section
/// headers were stripped. None if the header is of another version or encoding.
pub fn eh_frame_address(header: Section<'_>) -> Option<ElfAddress> {
    let mut bytes = Bytes::new(header.bytes, 0);
    let (version, encoding) = (bytes.u8()?, bytes.u8()?);
    let (_, _) = (bytes.u8()?, bytes.u8()?);
    let at = header.address.0.wrapping_add(bytes.at() as u64);
    let value = bytes.pointer(encoding & 0x0f)?;
    match (version, encoding & 0xf0) {
        (1, 0x00) => Some(ElfAddress(value)),
        (1, 0x10) => Some(ElfAddress(value.wrapping_add(at))),
        (1, 0x30) => Some(ElfAddress(value.wrapping_add(header.address.0))),
        _ => None,
    }
}
