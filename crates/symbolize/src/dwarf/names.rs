//! Names of functions, which may be somewhere else: inlined calls refer to the function they are copies of,
//! and that to its declaration, in the same unit, in another one, or in the file that `dwz` made.

use gimli::{AttributeValue, EntriesRaw, UnitOffset};

use super::{Dwarf, Sections, Slice, unit::Head};

/// References followed: copy, definition, declaration.
const REFERENCES_MAX: usize = 8;
/// Bytes of an entry that are read at first, and if that was too little.
const ENTRY_BYTES: [u64; 2] = [512, 64 << 10];

/// What a function is called.
#[derive(Clone, Debug, Default)]
pub(super) struct Name {
    /// As in the source.
    pub(super) plain: Option<Vec<u8>>,
    /// As the linker knows it.
    pub(super) linkage: Option<Vec<u8>>,
    /// The line of its declaration.
    pub(super) line: u32,
}

impl Name {
    /// The linker's name if it is known.
    pub(super) fn best(&self) -> &[u8] {
        self.linkage.as_deref().or(self.plain.as_deref()).unwrap_or(&[])
    }

    fn is_complete(&self) -> bool {
        self.linkage.is_some() && self.line > 0
    }

    /// Takes from `other` what is unknown here.
    fn complete(&mut self, other: Self) {
        self.plain = self.plain.take().or(other.plain);
        self.linkage = self.linkage.take().or(other.linkage);
        if self.line == 0 {
            self.line = other.line;
        }
    }
}

/// Where a name goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reference {
    /// In the same unit, relative to its start.
    Unit(u64),
    /// In the same file.
    File(u64),
    /// In the supplementary file.
    Supplementary(u64),
}

impl Reference {
    /// The reference in an attribute.
    pub(super) fn of(value: &AttributeValue<Slice<'_>>) -> Option<Self> {
        match *value {
            AttributeValue::UnitRef(offset) => Some(Self::Unit(offset.0 as u64)),
            AttributeValue::DebugInfoRef(offset) => Some(Self::File(offset.0 as u64)),
            AttributeValue::DebugInfoRefSup(offset) => Some(Self::Supplementary(offset.0 as u64)),
            _ => None,
        }
    }
}

/// Takes note of an attribute that says how a function is called; returns where it goes on.
pub(super) fn read_name(
    dwarf: &Dwarf<'_>,
    sections: &Sections<'_>,
    head: &Head,
    attribute: &gimli::Attribute<Slice<'_>>,
    name: &mut Name,
) -> Option<Reference> {
    let value = attribute.value();
    match attribute.name() {
        gimli::DW_AT_name => name.plain = dwarf.string(sections, head, &value),
        gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name => {
            name.linkage = dwarf.string(sections, head, &value);
        }
        gimli::DW_AT_decl_line => {
            name.line = value.udata_value().and_then(|line| u32::try_from(line).ok()).unwrap_or(0);
        }
        gimli::DW_AT_abstract_origin | gimli::DW_AT_specification => return Reference::of(&value),
        _ => {}
    }
    None
}

impl Dwarf<'_> {
    /// Completes `name` by following `reference` from a unit.
    pub(super) fn follow<'s>(
        &'s self,
        sections: &'s Sections<'s>,
        head: &Head,
        reference: Reference,
        name: &mut Name,
    ) {
        let mut at = Some((sections, reference));
        let mut start = head.place.offset;
        for _ in 0..REFERENCES_MAX {
            let Some((sections, reference)) = at.take() else { return };
            if name.is_complete() {
                return;
            }
            let (sections, offset) = match reference {
                Reference::Unit(offset) => (sections, start.checked_add(offset)),
                Reference::File(offset) => (sections, head.bases.info.checked_add(offset)),
                Reference::Supplementary(offset) => match &self.supplementary {
                    Some(supplementary) => (supplementary, Some(offset)),
                    None => return,
                },
            };
            let Some(offset) = offset else { return };
            // Split units refer only to themselves.
            let found = if sections.number >= 2 {
                self.entry(sections, head, offset)
            } else {
                self.place_around(sections, offset).and_then(|place| {
                    start = place.offset;
                    self.entry(sections, &*self.head(sections, place)?, offset)
                })
            };
            let Some((more, next)) = found else { return };
            name.complete(more);
            at = next.map(|reference| (sections, reference));
        }
    }

    /// The name at `offset` of `.debug_info`, which is in the unit `head`, and where it goes on.
    fn entry(&self, sections: &Sections<'_>, head: &Head, offset: u64) -> Option<(Name, Option<Reference>)> {
        let inside = offset.checked_sub(head.place.offset)?;
        if inside < head.header_bytes {
            return None;
        }
        let left = head.place.size.checked_sub(inside)?;
        ENTRY_BYTES.iter().find_map(|size| {
            let bytes = sections.info.read_up_to(offset, left.min(*size))?;
            self.work(bytes.len() as u64 / 8)?;
            let mut entries = EntriesRaw::new(
                Slice::new(&bytes, sections.endian),
                head.encoding,
                &head.abbreviations,
                UnitOffset(usize::try_from(inside).ok()?),
            );
            let abbreviation = entries.read_abbreviation().ok()??;
            let (mut name, mut next) = (Name::default(), None);
            for spec in abbreviation.attributes() {
                let attribute = entries.read_attribute(*spec).ok()?;
                next = read_name(self, sections, head, &attribute, &mut name).or(next);
            }
            Some((name, next))
        })
    }
}
