//! Rows of real executables are those which gimli, an independent reader, finds.

mod common;

use gimli::{
    BaseAddresses, CfaRule, CieOrFde, EhFrame, EndianSlice, LittleEndian, Register, RegisterRule,
    UnwindContext, UnwindSection as _,
};
use hearth_objfile::{ElfAddress, ObjectFile};
use hearth_unwind::{Arch, Frame, Rule, Saved, encode};

type Reader<'a> = EndianSlice<'a, LittleEndian>;

const FRAME_POINTER: Register = Register(6);
const RETURN_ADDRESS: Register = Register(16);
const RBX: Register = Register(3);

fn saved(rule: Option<RegisterRule<usize>>) -> Option<Saved> {
    Some(match rule {
        None | Some(RegisterRule::SameValue) => Saved::Same,
        Some(RegisterRule::Undefined) => Saved::Unknown,
        Some(RegisterRule::Offset(at)) => Saved::AtCfa(at as i32),
        Some(RegisterRule::ValOffset(at)) => Saved::IsCfa(at as i32),
        Some(RegisterRule::Register(register)) => Saved::Register(register.0 as u8),
        // Expressions are compared by the tests of their shapes.
        _ => return None,
    })
}

/// What gimli's row means; none where an expression decides.
fn expected(row: &gimli::UnwindTableRow<usize>, signal: bool) -> Option<Rule> {
    if signal {
        return Some(Rule::Signal);
    }
    if row.register(RETURN_ADDRESS) == Some(RegisterRule::Undefined) {
        return Some(Rule::Root);
    }
    let CfaRule::RegisterAndOffset { register, offset } = row.cfa() else { return None };
    Some(Rule::Frame(Frame {
        register: register.0 as u8,
        offset: *offset as i32,
        deref: None,
        index: None,
        fp: saved(row.register(FRAME_POINTER))?,
        ra: saved(row.register(RETURN_ADDRESS))?,
        // Above the CFA it is not in a frame that a caller could rely on: code that switches contexts.
        bx: match saved(row.register(RBX))? {
            Saved::Same => Saved::Same,
            Saved::AtCfa(at) if at < 0 => Saved::AtCfa(at),
            _ => Saved::Unknown,
        },
    }))
}

/// Compared rows, those which expressions decide, and rows which differ.
#[derive(Default)]
struct Counts {
    equal: usize,
    expressions: usize,
    different: Vec<String>,
}

fn compare(object: &ObjectFile, data: &[u8]) -> Option<Counts> {
    let section = common::section(object, data, ".eh_frame")?;
    let rows = common::rows(object, data)?;
    let table = encode(&rows).expect("there are rows");
    let mut frames: EhFrame<Reader<'_>> = EhFrame::new(section.bytes, LittleEndian);
    frames.set_address_size(8);
    let bases = BaseAddresses::default().set_eh_frame(section.address.0);
    let mut context = UnwindContext::new();
    let mut entries = frames.entries(&bases);
    let mut counts = Counts::default();
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(partial) = entry else { continue };
        let Ok(fde) = partial.parse(EhFrame::cie_from_offset) else { continue };
        let signal = fde.cie().is_signal_trampoline();
        let Ok(mut unwound) = fde.rows(&frames, &bases, &mut context) else { continue };
        while let Ok(Some(row)) = unwound.next_row() {
            let inside = row.start_address() < row.end_address().min(fde.end_address());
            let offset = object.file_offset(ElfAddress(row.start_address()));
            let (true, Some(offset)) = (inside, offset) else { continue };
            let Some(want) = expected(row, signal) else {
                counts.expressions += 1;
                continue;
            };
            let got = table.find(u32::try_from(offset.0).expect("a small file"));
            if got == want {
                counts.equal += 1;
            } else {
                counts.different.push(format!("{:#x}: {got:?}, not {want:?}", row.start_address()));
            }
        }
    }
    Some(counts)
}

#[test]
fn rows_are_those_which_gimli_finds() {
    for path in common::executables() {
        let data = std::fs::read(&path).expect("it can be read");
        let object = ObjectFile::parse(&data[..]).expect("it is an ELF file");
        if Arch::of(object.machine) != Some(Arch::X86_64) {
            println!("skipped: {} is not for x86-64", path.display());
            continue;
        }
        let Some(counts) = compare(&object, &data) else { continue };
        let Counts { equal, expressions, different } = counts;
        println!("{}: {equal} equal, {expressions} by expressions", path.display());
        assert!(different.is_empty(), "{}: {different:#?}", path.display());
        assert!(equal > 10 * expressions, "{}: {expressions} of {equal} rows by expressions", path.display());
    }
}
