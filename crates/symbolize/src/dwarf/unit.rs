//! The head of a unit: its header and its root, and what attributes in it mean.

use std::rc::Rc;

use gimli::{AttributeValue, Encoding, EntriesRaw, Format, Reader as _, UnitOffset};

use super::{Bases, Dwarf, HEADS_MAX, Place, Sections, Slice};
use crate::index::SplitUnit;

/// Bytes of a root that are read at first, and if that was too little.
const ROOT_BYTES: [u64; 2] = [4 << 10, 256 << 10];
/// Bytes of abbreviations, the same way.
const ABBREVIATION_BYTES: [u64; 3] = [16 << 10, 512 << 10, 32 << 20];
/// Bytes of a list of ranges, the same way.
const RANGES_BYTES: [u64; 3] = [1 << 10, 64 << 10, 4 << 20];

/// Where code is, before it is looked up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    pub(super) low: Option<Address>,
    pub(super) high: Option<High>,
    pub(super) ranges: Option<RangesAt>,
}

/// An address, or where it is in the table of addresses.
#[derive(Clone, Copy, Debug)]
pub(super) enum Address {
    At(u64),
    Index(u64),
}

/// The end of a range.
#[derive(Clone, Copy, Debug)]
pub(super) enum High {
    Address(Address),
    Size(u64),
}

/// Where a list of ranges is.
#[derive(Clone, Copy, Debug)]
pub(super) enum RangesAt {
    Offset(u64),
    Index(u64),
}

/// A unit's header and what its root says.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) place: Place,
    /// Size of the header: where the root begins in the unit.
    pub(super) header_bytes: u64,
    pub(super) encoding: Encoding,
    pub(super) abbreviations: Rc<gimli::Abbreviations>,
    /// A unit of code, not of types, nor a part of others.
    pub(super) has_code: bool,
    /// Not a skeleton.
    pub(super) is_full: bool,
    pub(super) id: Option<u64>,
    pub(super) language: Option<gimli::DwLang>,
    pub(super) name: Vec<u8>,
    pub(super) directory: Vec<u8>,
    pub(super) line_offset: Option<u64>,
    pub(super) extent: Extent,
    pub(super) split: Option<SplitUnit>,
    pub(super) bases: Bases,
    string_offsets_base: u64,
    address_base: u64,
    range_lists_base: u64,
    /// Added to range lists of DWARF 4 in split units.
    ranges_base: u64,
}

/// A header.
struct Header {
    encoding: Encoding,
    bytes: u64,
    abbreviations: u64,
    has_code: bool,
    is_split: bool,
    id: Option<u64>,
}

impl Dwarf<'_> {
    /// The head of a unit, remembered.
    pub(super) fn head(&self, sections: &Sections<'_>, place: Place) -> Option<Rc<Head>> {
        let key = (sections.number, place.offset);
        if let Some(head) = self.heads.borrow().get(&key) {
            return Some(Rc::clone(head));
        }
        let head = Rc::new(self.head_at(sections, place, Bases::default())?);
        let mut heads = self.heads.borrow_mut();
        if heads.len() >= HEADS_MAX {
            heads.clear();
        }
        heads.insert(key, Rc::clone(&head));
        Some(head)
    }

    /// Reads the head of a unit whose contributions to a package begin at `bases`.
    pub(super) fn head_at(&self, sections: &Sections<'_>, place: Place, bases: Bases) -> Option<Head> {
        let header = header(sections, place)?;
        let abbreviations =
            self.abbreviations_at(sections, bases.abbrev.checked_add(header.abbreviations)?)?;
        let left = place.size.checked_sub(header.bytes)?;
        ROOT_BYTES.iter().find_map(|size| {
            let bytes = sections.info.read_up_to(place.offset.checked_add(header.bytes)?, left.min(*size))?;
            self.work(bytes.len() as u64)?;
            let start = usize::try_from(header.bytes).ok()?;
            let mut entries = EntriesRaw::new(
                Slice::new(&bytes, sections.endian),
                header.encoding,
                &abbreviations,
                UnitOffset(start),
            );
            let abbreviation = entries.read_abbreviation().ok()??;
            let mut root = Vec::new();
            entries.read_attributes(abbreviation.attributes(), &mut root).ok()?;
            let is_unit =
                matches!(abbreviation.tag(), gimli::DW_TAG_compile_unit | gimli::DW_TAG_skeleton_unit);
            let mut head = Head::new(&header, place, Rc::clone(&abbreviations), bases);
            head.has_code &= is_unit;
            head.read_root(self, sections, &root);
            Some(head)
        })
    }

    fn abbreviations_at(&self, sections: &Sections<'_>, offset: u64) -> Option<Rc<gimli::Abbreviations>> {
        let key = (sections.number, offset);
        if let Some(known) = self.abbreviations.borrow().get(&key) {
            return Some(Rc::clone(known));
        }
        let parsed = ABBREVIATION_BYTES.iter().find_map(|size| {
            let bytes = sections.abbrev.read_up_to(offset, *size)?;
            self.work(bytes.len() as u64 / 4)?;
            gimli::DebugAbbrev::new(&bytes, sections.endian).abbreviations(gimli::DebugAbbrevOffset(0)).ok()
        });
        let parsed = Rc::new(parsed?);
        let mut known = self.abbreviations.borrow_mut();
        if known.len() >= 64 {
            known.clear();
        }
        known.insert(key, Rc::clone(&parsed));
        Some(parsed)
    }

    /// The ranges of code in an extent, ascending, without those that are no code. None if it says nothing.
    ///
    /// `skeleton` is the unit's own head, or, for a split unit, that of the unit that stayed in the program.
    pub(super) fn ranges(
        &self,
        sections: &Sections<'_>,
        head: &Head,
        skeleton: &Head,
        extent: &Extent,
    ) -> Option<Vec<(u64, u64)>> {
        let mut ranges = match (extent.ranges, extent.low, extent.high) {
            (Some(place), ..) => self.range_list(sections, head, skeleton, place)?,
            (None, Some(low), Some(high)) => {
                let low = self.address(skeleton, low)?;
                let high = match high {
                    High::Address(address) => self.address(skeleton, address)?,
                    High::Size(size) => low.checked_add(size)?,
                };
                vec![(low, high)]
            }
            _ => return None,
        };
        ranges.retain(|(start, end)| start < end && self.is_code(*start));
        ranges.sort_unstable();
        Some(ranges)
    }

    fn address(&self, skeleton: &Head, address: Address) -> Option<u64> {
        match address {
            Address::At(address) => Some(address),
            Address::Index(index) => {
                let size = skeleton.encoding.address_size;
                let offset = index.checked_mul(size.into())?.checked_add(skeleton.address_base)?;
                self.main.addresses.number(offset, size, self.main.little_endian())
            }
        }
    }

    fn range_list(
        &self,
        sections: &Sections<'_>,
        head: &Head,
        skeleton: &Head,
        place: RangesAt,
    ) -> Option<Vec<(u64, u64)>> {
        let base = skeleton.extent.low.and_then(|low| self.address(skeleton, low)).unwrap_or(0);
        if head.encoding.version < 5 {
            // Lists of split units stayed in the program.
            let offset = match place {
                RangesAt::Offset(offset) => offset.checked_add(skeleton.ranges_base)?,
                RangesAt::Index(_) => return None,
            };
            return RANGES_BYTES.iter().find_map(|size| {
                let bytes = self.main.ranges.read_up_to(offset, *size)?;
                self.work(bytes.len() as u64 / 8)?;
                bare_ranges(Slice::new(&bytes, self.main.endian), head.encoding.address_size, base)
            });
        }
        let offset = match place {
            RangesAt::Offset(offset) => offset,
            RangesAt::Index(index) => {
                let word = head.encoding.format.word_size();
                let at = index.checked_mul(word.into())?.checked_add(head.range_lists_base)?;
                let entry = sections.range_lists.number(at, word, sections.little_endian())?;
                head.range_lists_base.checked_add(entry)?
            }
        };
        RANGES_BYTES.iter().find_map(|size| {
            let bytes = sections.range_lists.read_up_to(offset, *size)?;
            self.work(bytes.len() as u64 / 8)?;
            let address = |index| self.address(skeleton, Address::Index(index));
            encoded_ranges(Slice::new(&bytes, sections.endian), head.encoding.address_size, base, &address)
        })
    }

    /// The text of an attribute.
    pub(super) fn string(
        &self,
        sections: &Sections<'_>,
        head: &Head,
        value: &AttributeValue<Slice<'_>>,
    ) -> Option<Vec<u8>> {
        match *value {
            AttributeValue::String(text) => Some(text.slice().to_vec()),
            AttributeValue::DebugStrRef(offset) => sections.strings.string(offset.0 as u64),
            AttributeValue::DebugLineStrRef(offset) => sections.line_strings.string(offset.0 as u64),
            AttributeValue::DebugStrRefSup(offset) => {
                self.supplementary.as_ref()?.strings.string(offset.0 as u64)
            }
            AttributeValue::DebugStrOffsetsIndex(index) => {
                let word = head.encoding.format.word_size();
                let at = (index.0 as u64).checked_mul(word.into())?.checked_add(head.string_offsets_base)?;
                let offset = sections.string_offsets.number(at, word, sections.little_endian())?;
                sections.strings.string(offset)
            }
            _ => None,
        }
    }
}

impl Head {
    fn new(header: &Header, place: Place, abbreviations: Rc<gimli::Abbreviations>, bases: Bases) -> Self {
        let is_64_bit = header.encoding.format == Format::Dwarf64;
        let version5 = header.encoding.version >= 5;
        // Split units do not say where their tables begin: after the table's header.
        let default = |small: u64, large: u64| match (version5, is_64_bit) {
            (false, _) => 0,
            (true, false) => small,
            (true, true) => large,
        };
        let split_default = |small, large| if header.is_split { default(small, large) } else { 0 };
        Self {
            place,
            header_bytes: header.bytes,
            encoding: header.encoding,
            abbreviations,
            has_code: header.has_code,
            is_full: true,
            id: header.id,
            language: None,
            name: Vec::new(),
            directory: Vec::new(),
            line_offset: None,
            extent: Extent::default(),
            split: None,
            bases,
            string_offsets_base: bases.string_offsets + split_default(8, 16),
            address_base: default(8, 16),
            range_lists_base: bases.range_lists + split_default(12, 20),
            ranges_base: 0,
        }
    }

    fn read_root(
        &mut self,
        dwarf: &Dwarf<'_>,
        sections: &Sections<'_>,
        root: &[gimli::Attribute<Slice<'_>>],
    ) {
        // Bases first: texts and addresses need them.
        for attribute in root {
            match (attribute.name(), attribute.value()) {
                (gimli::DW_AT_str_offsets_base, AttributeValue::DebugStrOffsetsBase(base)) => {
                    self.string_offsets_base = base.0 as u64;
                }
                (
                    gimli::DW_AT_addr_base | gimli::DW_AT_GNU_addr_base,
                    AttributeValue::DebugAddrBase(base),
                ) => self.address_base = base.0 as u64,
                (gimli::DW_AT_rnglists_base, AttributeValue::DebugRngListsBase(base)) => {
                    self.range_lists_base = base.0 as u64;
                }
                (gimli::DW_AT_GNU_ranges_base, AttributeValue::RangeListsRef(base)) => {
                    self.ranges_base = base.0 as u64;
                }
                (gimli::DW_AT_GNU_ranges_base, AttributeValue::SecOffset(base)) => {
                    self.ranges_base = base as u64;
                }
                (gimli::DW_AT_GNU_dwo_id, AttributeValue::DwoId(id)) => self.id = Some(id.0),
                (gimli::DW_AT_GNU_dwo_id, value) => self.id = value.udata_value().or(self.id),
                _ => {}
            }
        }
        let mut split = None;
        for attribute in root {
            let value = attribute.value();
            let text = || dwarf.string(sections, self, &value).unwrap_or_default();
            match attribute.name() {
                gimli::DW_AT_name => self.name = text(),
                gimli::DW_AT_comp_dir => self.directory = text(),
                gimli::DW_AT_dwo_name | gimli::DW_AT_GNU_dwo_name => split = Some(text()),
                gimli::DW_AT_stmt_list => {
                    self.line_offset = match value {
                        AttributeValue::DebugLineRef(offset) => Some(offset.0 as u64),
                        _ => None,
                    };
                }
                gimli::DW_AT_language => {
                    self.language = match value {
                        AttributeValue::Language(language) => Some(language),
                        _ => None,
                    };
                }
                name => self.extent.read(name, &value),
            }
        }
        if let (Some(path), Some(id)) = (split, self.id)
            && sections.number < 2
        {
            self.is_full = false;
            self.split = Some(SplitUnit { path, directory: self.directory.clone(), id });
        }
    }
}

impl Extent {
    /// Takes note of an attribute that says where code is.
    pub(super) fn read(&mut self, name: gimli::DwAt, value: &AttributeValue<Slice<'_>>) {
        let address = match *value {
            AttributeValue::Addr(address) => Some(Address::At(address)),
            AttributeValue::DebugAddrIndex(index) => Some(Address::Index(index.0 as u64)),
            _ => None,
        };
        match name {
            gimli::DW_AT_low_pc => self.low = address,
            gimli::DW_AT_high_pc => {
                self.high = address.map(High::Address).or_else(|| value.udata_value().map(High::Size));
            }
            gimli::DW_AT_ranges => {
                self.ranges = match *value {
                    AttributeValue::RangeListsRef(offset) => Some(RangesAt::Offset(offset.0 as u64)),
                    AttributeValue::DebugRngListsIndex(index) => Some(RangesAt::Index(index.0 as u64)),
                    AttributeValue::SecOffset(offset) => Some(RangesAt::Offset(offset as u64)),
                    _ => None,
                };
            }
            _ => {}
        }
    }
}

fn header(sections: &Sections<'_>, place: Place) -> Option<Header> {
    let bytes = sections.info.read_up_to(place.offset, place.size.min(64))?;
    let mut input = Slice::new(&bytes, sections.endian);
    let (_, format) = input.read_initial_length().ok()?;
    let version = input.read_u16().ok()?;
    let (kind, address_size, abbreviations) = match version {
        2..=4 => {
            let offset = input.read_offset(format).ok()?;
            (gimli::DW_UT_compile, input.read_u8().ok()?, offset)
        }
        5 => {
            let kind = gimli::DwUt(input.read_u8().ok()?);
            let address_size = input.read_u8().ok()?;
            (kind, address_size, input.read_offset(format).ok()?)
        }
        _ => return None,
    };
    if !matches!(address_size, 4 | 8) {
        return None;
    }
    let is_split = matches!(kind, gimli::DW_UT_split_compile | gimli::DW_UT_split_type);
    let id = match kind {
        gimli::DW_UT_skeleton | gimli::DW_UT_split_compile => Some(input.read_u64().ok()?),
        gimli::DW_UT_type | gimli::DW_UT_split_type => {
            input.read_u64().ok()?;
            input.read_offset(format).ok()?;
            None
        }
        _ => None,
    };
    let has_code = matches!(kind, gimli::DW_UT_compile | gimli::DW_UT_skeleton | gimli::DW_UT_split_compile);
    Some(Header {
        encoding: Encoding { address_size, format, version },
        bytes: (bytes.len() - input.len()) as u64,
        abbreviations: abbreviations as u64,
        has_code,
        is_split,
        id,
    })
}

/// A list of ranges of DWARF 4; none if it does not end within `input`.
fn bare_ranges(mut input: Slice<'_>, address_size: u8, base: u64) -> Option<Vec<(u64, u64)>> {
    let mut base = base;
    let mut ranges = Vec::new();
    let largest = if address_size == 4 { u64::from(u32::MAX) } else { u64::MAX };
    loop {
        let start = input.read_address(address_size).ok()?;
        let end = input.read_address(address_size).ok()?;
        match (start, end) {
            (0, 0) => return Some(ranges),
            (start, end) if start == largest => base = end,
            (start, end) => ranges.push((base.wrapping_add(start), base.wrapping_add(end))),
        }
    }
}

/// A list of ranges of DWARF 5; none if it does not end within `input`.
fn encoded_ranges(
    mut input: Slice<'_>,
    address_size: u8,
    base: u64,
    address: &dyn Fn(u64) -> Option<u64>,
) -> Option<Vec<(u64, u64)>> {
    let mut base = base;
    let mut ranges = Vec::new();
    loop {
        let kind = gimli::DwRle(input.read_u8().ok()?);
        let mut number = || input.read_uleb128().ok();
        match kind {
            gimli::DW_RLE_end_of_list => return Some(ranges),
            gimli::DW_RLE_base_addressx => base = address(number()?)?,
            gimli::DW_RLE_startx_endx => {
                let (start, end) = (number()?, number()?);
                ranges.push((address(start)?, address(end)?));
            }
            gimli::DW_RLE_startx_length => {
                let (start, size) = (address(number()?)?, number()?);
                ranges.push((start, start.wrapping_add(size)));
            }
            gimli::DW_RLE_offset_pair => {
                let (start, end) = (number()?, number()?);
                ranges.push((base.wrapping_add(start), base.wrapping_add(end)));
            }
            gimli::DW_RLE_base_address => base = input.read_address(address_size).ok()?,
            gimli::DW_RLE_start_end => {
                let start = input.read_address(address_size).ok()?;
                ranges.push((start, input.read_address(address_size).ok()?));
            }
            gimli::DW_RLE_start_length => {
                let start = input.read_address(address_size).ok()?;
                ranges.push((start, start.wrapping_add(input.read_uleb128().ok()?)));
            }
            _ => return None,
        }
    }
}
