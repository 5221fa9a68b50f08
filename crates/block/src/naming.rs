//! Names for stored addresses: what turns `binary+0xaddr` into functions after the fact.
//!
//! ```text
//! symbols arrive ─▶ Namer ─▶ named(dictionary)   same ids, so the rows that use them stay as they are
//!                                │
//!                                ├▶ what queries read, from then on
//!                                └▶ rewrite(block): its rows as they are, its dictionary with names
//! ```
//!
//! A location that came without a name keeps its address for ever, also once it is named: better
//! symbols that arrive later name it again. One that came with a name has no address, and keeps what
//! its sender called it.

use std::sync::Arc;

use hearth_profile::{Dictionary, FrameKind, Function, Line, Location, LocationId, Mapping};

/// One function at an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NamedFrame {
    /// The name for people, or a placeholder.
    pub name: String,
    /// The name the linker knows; empty if it is the same.
    pub system_name: String,
    /// The source file; empty if unknown.
    pub filename: String,
    /// The line in that file; 0 if unknown.
    pub line: u32,
    /// The line where the function begins; 0 if unknown.
    pub start_line: u32,
    /// What executes it.
    pub kind: FrameKind,
}

/// The functions at one address, innermost inlined function first; never empty.
pub type Frames = Arc<[NamedFrame]>;

/// Knows names for the addresses of binaries, more and more of them.
///
/// Each tenant may know other symbols: what one tenant brings names nobody else's data.
pub trait Namer: Send + Sync + std::fmt::Debug {
    /// A number that grows whenever symbols arrive, also from one run of the program to the next.
    fn generation(&self) -> u64;

    /// The [generation](Self::generation) of this binary's symbols; `None` if there are none.
    fn arrived(&self, tenant: &str, build_id: &str) -> Option<u64>;

    /// The functions there; `None` if they are unknown.
    fn frames(&self, tenant: &str, code: &Code<'_>) -> Option<Frames>;
}

/// A place in a binary.
#[derive(Clone, Copy, Debug)]
pub struct Code<'c> {
    /// The binary's path.
    pub filename: &'c str,
    /// The binary's build ID, not empty.
    pub build_id: &'c str,
    /// Where the sender says it was mapped.
    pub mapping: Mapping,
    /// The address as the sender gave it: within the mapping, or an ELF address.
    pub address: u64,
}

/// A namer on behalf of a tenant.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'n> {
    /// Who knows.
    pub namer: &'n dyn Namer,
    /// Whose data it is.
    pub tenant: &'n str,
    /// The generation up to which everything was named before.
    pub after: u64,
}

impl Naming<'_> {
    /// Whether any of these binaries' symbols arrived since.
    pub fn has_news<'b>(&self, build_ids: impl IntoIterator<Item = &'b str>) -> bool {
        build_ids.into_iter().any(|build_id| self.is_new(build_id))
    }

    fn is_new(&self, build_id: &str) -> bool {
        !build_id.is_empty()
            && self.namer.arrived(self.tenant, build_id).is_some_and(|arrived| arrived > self.after)
    }

    /// The dictionary with all the names that are known now and were not before: its ids stay, its
    /// tables may grow. `None` if that changes nothing.
    pub fn named(&self, dictionary: &Dictionary) -> Option<Dictionary> {
        let news: Vec<Option<&str>> = dictionary
            .mappings()
            .map(|mapping| dictionary.get_string(mapping.build_id))
            .map(|build_id| self.is_new(build_id).then_some(build_id))
            .collect();
        if news.iter().all(Option::is_none) {
            return None;
        }
        let mut named = None;
        for (id, location) in (0..).map(LocationId).zip(dictionary.locations()) {
            let Some(Some(build_id)) = news.get(location.mapping.index()) else { continue };
            // A name that came with the profile has no address.
            if location.address == 0 {
                continue;
            }
            let mapping = dictionary.get_mapping(location.mapping);
            let filename = dictionary.get_string(mapping.filename);
            let code = Code { filename, build_id, mapping, address: location.address };
            if let Some(frames) = self.namer.frames(self.tenant, &code) {
                let named = named.get_or_insert_with(|| dictionary.clone());
                put(named, id, location, &frames);
            }
        }
        named
    }
}

fn put(dictionary: &mut Dictionary, id: LocationId, location: &Location, frames: &[NamedFrame]) {
    let mut line = |frame: &NamedFrame| {
        let name = dictionary.string(&frame.name);
        let system_name = dictionary.string(&frame.system_name);
        let filename = dictionary.string(&frame.filename);
        let start_line = frame.start_line;
        let function = dictionary.function(Function { name, system_name, filename, start_line });
        Line { function, line: frame.line, column: 0 }
    };
    let lines: Box<[Line]> = frames.iter().map(&mut line).collect();
    // What executes a location is what executes the function that encloses it.
    let kind = frames.last().map(|frame| frame.kind).filter(|kind| *kind != FrameKind::Unknown);
    let kind = kind.unwrap_or(location.kind);
    // Refused only if two locations were equal but for their names; the second stays as it is.
    let _ = dictionary.replace_location(id, Location { lines, kind, ..location.clone() });
}
