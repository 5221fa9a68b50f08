//! The dictionary: every string, function, mapping, location and stack once, found by a small id.
//!
//! Each table's element 0 is the null element, as in OTLP profiles since v1.8. Stacks form a
//! calling-context trie: a [`StackId`] is a node that knows its location and its caller's node, so
//! two stacks share what their roots share, and reading from a node towards the root gives the
//! leaf-first list. A node's parent always has a smaller id, so sums roll up in one backward pass.

use indexmap::IndexSet;

use crate::{Layer, is_placeholder, unknown_address};

type Table<T> = IndexSet<T, foldhash::fast::RandomState>;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            /// The null element: "none", "unknown", "empty".
            pub const NONE: Self = Self(0);

            /// As an index into the table.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id!(/// A string; 0 is the empty string.
    StringId);
id!(/// A function; 0 is none.
    FunctionId);
id!(/// A mapping; 0 is none.
    MappingId);
id!(/// A location; 0 is none.
    LocationId);
id!(/// A stack, by its leaf's node; 0 is the empty stack.
    StackId);

/// A function of source code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Function {
    /// The name for people, demangled.
    pub name: StringId,
    /// The name the linker knows; none if it is the same.
    pub system_name: StringId,
    /// The source file.
    pub filename: StringId,
    /// The line where the function begins; 0 if unknown.
    pub start_line: u32,
}

/// An object file mapped into a process (or the kernel).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mapping {
    /// Path as the process saw it; `[vdso]`, `[kernel]` and `[anonymous]` for what has no file.
    pub filename: StringId,
    /// GNU build ID in lower-case hexadecimal; none if the file has none.
    pub build_id: StringId,
    /// Start of the mapping; 0 where addresses are ELF addresses, as in all our own profiles.
    pub memory_start: u64,
    /// End of the mapping, exclusive; 0 if unknown.
    pub memory_limit: u64,
    /// Offset in the file of `memory_start`.
    pub file_offset: u64,
}

/// Where in the source a location's code comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Line {
    /// The function.
    pub function: FunctionId,
    /// The line in the function's file; 0 if unknown.
    pub line: u32,
    /// The column; 0 if unknown.
    pub column: u32,
}

/// What executes a frame: OpenTelemetry's `profile.frame.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are OpenTelemetry's own values")]
pub enum FrameKind {
    /// Not said.
    #[default]
    Unknown = 0,
    Native = 1,
    Kernel = 2,
    Go = 3,
    Rust = 4,
    Jvm = 5,
    Cpython = 6,
    V8js = 7,
    Ruby = 8,
    Php = 9,
    Perl = 10,
    Dotnet = 11,
    Beam = 12,
    Luajit = 13,
}

impl FrameKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::Unknown,
        Self::Native,
        Self::Kernel,
        Self::Go,
        Self::Rust,
        Self::Jvm,
        Self::Cpython,
        Self::V8js,
        Self::Ruby,
        Self::Php,
        Self::Perl,
        Self::Dotnet,
        Self::Beam,
        Self::Luajit,
    ];

    /// The value of `profile.frame.type`; empty for [`Self::Unknown`].
    pub fn name(self) -> &'static str {
        const NAMES: [&str; 14] = [
            "", "native", "kernel", "go", "rust", "jvm", "cpython", "v8js", "ruby", "php", "perl", "dotnet",
            "beam", "luajit",
        ];
        NAMES[self as usize]
    }

    /// The kind with this name; [`Self::Unknown`] for any other text.
    pub fn from_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.name() == name).unwrap_or_default()
    }
}

/// A place in code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Location {
    /// The object file; none for interpreted code.
    pub mapping: MappingId,
    /// ELF address of the instruction (for a caller: within the call); 0 where names are final.
    pub address: u64,
    /// The functions inlined here, innermost first, the enclosing function last; empty if unknown.
    pub lines: Box<[Line]>,
    /// What executes it.
    pub kind: FrameKind,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    parent: StackId,
    location: LocationId,
}

/// Interned tables, append-only. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Dictionary {
    strings: Table<Box<str>>,
    functions: Table<Function>,
    mappings: Table<Mapping>,
    locations: Table<Location>,
    nodes: Table<Node>,
}

impl Default for Dictionary {
    fn default() -> Self {
        Self {
            strings: [Box::from("")].into_iter().collect(),
            functions: [Function::default()].into_iter().collect(),
            mappings: [Mapping::default()].into_iter().collect(),
            locations: [Location::default()].into_iter().collect(),
            nodes: [Node::default()].into_iter().collect(),
        }
    }
}

/// Interns `value` and returns its index; tables are bounded by `u32` because every maker of a
/// dictionary bounds its input far below four billion entries.
fn intern<T: std::hash::Hash + Eq>(table: &mut Table<T>, value: T) -> u32 {
    let (index, _) = table.insert_full(value);
    u32::try_from(index).unwrap_or(0)
}

impl Dictionary {
    /// Interns a string.
    pub fn string(&mut self, text: &str) -> StringId {
        match self.strings.get_index_of(text) {
            Some(index) => StringId(u32::try_from(index).unwrap_or(0)),
            None => StringId(intern(&mut self.strings, text.into())),
        }
    }

    /// Interns a function.
    pub fn function(&mut self, function: Function) -> FunctionId {
        FunctionId(intern(&mut self.functions, function))
    }

    /// Interns a mapping.
    pub fn mapping(&mut self, mapping: Mapping) -> MappingId {
        MappingId(intern(&mut self.mappings, mapping))
    }

    /// Interns a location.
    pub fn location(&mut self, location: Location) -> LocationId {
        LocationId(intern(&mut self.locations, location))
    }

    /// The stack that has `location` as its leaf and `caller` as the rest.
    pub fn push(&mut self, caller: StackId, location: LocationId) -> StackId {
        StackId(intern(&mut self.nodes, Node { parent: caller, location }))
    }

    /// Interns a stack given leaf-first.
    pub fn stack(&mut self, leaf_first: &[LocationId]) -> StackId {
        leaf_first.iter().rev().fold(StackId::NONE, |caller, &location| self.push(caller, location))
    }

    /// A string; empty for an id of another dictionary.
    pub fn get_string(&self, id: StringId) -> &str {
        self.strings.get_index(id.index()).map_or("", |text| text)
    }

    /// A function; the null element for an id of another dictionary, as with all getters here.
    pub fn get_function(&self, id: FunctionId) -> Function {
        self.functions.get_index(id.index()).copied().unwrap_or_default()
    }

    /// A mapping.
    pub fn get_mapping(&self, id: MappingId) -> Mapping {
        self.mappings.get_index(id.index()).copied().unwrap_or_default()
    }

    /// A location.
    pub fn get_location(&self, id: LocationId) -> &Location {
        self.locations.get_index(id.index()).unwrap_or(&self.locations[0])
    }

    /// The leaf location and the rest of a stack; both null for the empty stack.
    pub fn get_stack(&self, id: StackId) -> (LocationId, StackId) {
        self.nodes.get_index(id.index()).map_or_else(Default::default, |node| (node.location, node.parent))
    }

    /// The locations of a stack, leaf-first.
    pub fn leaf_first(&self, stack: StackId) -> impl Iterator<Item = LocationId> {
        let mut at = stack;
        std::iter::from_fn(move || {
            let (location, caller) = self.get_stack(at);
            (at != StackId::NONE && at.index() < self.nodes.len()).then(|| {
                at = caller;
                location
            })
        })
    }

    /// All strings, by id.
    pub fn strings(&self) -> impl ExactSizeIterator<Item = &str> {
        self.strings.iter().map(|text| &**text)
    }

    /// All functions, by id.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = Function> {
        self.functions.iter().copied()
    }

    /// All mappings, by id.
    pub fn mappings(&self) -> impl ExactSizeIterator<Item = Mapping> {
        self.mappings.iter().copied()
    }

    /// All locations, by id.
    pub fn locations(&self) -> impl ExactSizeIterator<Item = &Location> {
        self.locations.iter()
    }

    /// All stacks as (leaf location, caller's stack), by id; a caller's id is always smaller.
    pub fn stacks(&self) -> impl ExactSizeIterator<Item = (LocationId, StackId)> {
        self.nodes.iter().map(|node| (node.location, node.parent))
    }

    /// Entries in the largest table: what a maker compares with its bound.
    pub fn largest_table(&self) -> usize {
        [self.strings.len(), self.functions.len(), self.locations.len(), self.nodes.len()]
            .into_iter()
            .max()
            .unwrap_or(0)
    }

    /// Replaces a location by another, which takes over its id: stacks that hold it hold the new one
    /// from then on. Returns `false`, and changes nothing, if the id is unknown or the null element,
    /// or if an equal location has another id already.
    pub fn replace_location(&mut self, id: LocationId, location: Location) -> bool {
        let known = id != LocationId::NONE && id.index() < self.locations.len();
        known && self.locations.replace_index(id.index(), location).is_ok()
    }

    /// Whether a location has the name of a function; a [placeholder](is_placeholder) is none.
    pub fn is_named(&self, location: &Location) -> bool {
        location.lines.iter().any(|line| {
            let name = self.get_string(self.get_function(line.function).name);
            !name.is_empty() && !is_placeholder(name)
        })
    }

    /// The names of a location for people, innermost first, with their layer.
    ///
    /// A location without lines is named `binary+0xaddr`: what is unknown is marked, and never
    /// disappears.
    pub fn names(&self, location: LocationId) -> Vec<(String, Layer)> {
        let location = self.get_location(location);
        let path = self.get_string(self.get_mapping(location.mapping).filename);
        if location.lines.is_empty() {
            let name = unknown_address(path, location.address);
            let layer = Layer::of(location.kind, path, &name);
            return vec![(name, layer)];
        }
        let name = |line: &Line| {
            let name = self.get_string(self.get_function(line.function).name);
            (name.to_owned(), Layer::of(location.kind, path, name))
        };
        location.lines.iter().map(name).collect()
    }
}

/// Copies entries of one dictionary into another, each once.
///
/// One `Remap` belongs to one pair of dictionaries.
#[derive(Debug)]
pub struct Remap {
    by_name: bool,
    stacks: Vec<Option<StackId>>,
    locations: Vec<Option<LocationId>>,
    mappings: Vec<Option<MappingId>>,
    functions: Vec<Option<FunctionId>>,
}

impl Remap {
    /// For copying out of `from`.
    pub fn new(from: &Dictionary) -> Self {
        let mut remap = Self {
            by_name: false,
            stacks: vec![None; from.nodes.len()],
            locations: vec![None; from.locations.len()],
            mappings: vec![None; from.mappings.len()],
            functions: vec![None; from.functions.len()],
        };
        remap.stacks[0] = Some(StackId::NONE);
        remap.locations[0] = Some(LocationId::NONE);
        remap.mappings[0] = Some(MappingId::NONE);
        remap.functions[0] = Some(FunctionId::NONE);
        remap
    }

    /// The same, but locations with a name lose what tells equal names apart: the address and the
    /// place of the mapping. What is left is identified by names, lines and file, so that many
    /// processes share one location. Locations without a name keep everything, so that they can be
    /// named later.
    pub fn by_name(from: &Dictionary) -> Self {
        Self { by_name: true, ..Self::new(from) }
    }

    /// Copies a stack; the empty stack for an id that `from` does not have.
    pub fn stack(&mut self, from: &Dictionary, to: &mut Dictionary, stack: StackId) -> StackId {
        let mut pending = Vec::new();
        let mut at = stack;
        let mut copied = loop {
            match self.stacks.get(at.index()) {
                None => break StackId::NONE,
                Some(Some(known)) => break *known,
                Some(None) => {
                    pending.push(at);
                    at = from.get_stack(at).1;
                }
            }
        };
        for node in pending.into_iter().rev() {
            let location = self.location(from, to, from.get_stack(node).0);
            copied = to.push(copied, location);
            self.stacks[node.index()] = Some(copied);
        }
        copied
    }

    /// Copies a location.
    pub fn location(&mut self, from: &Dictionary, to: &mut Dictionary, id: LocationId) -> LocationId {
        if let Some(Some(known)) = self.locations.get(id.index()) {
            return *known;
        }
        let mut location = from.get_location(id).clone();
        if self.by_name && from.is_named(&location) {
            let mapping = from.get_mapping(location.mapping);
            let filename = to.string(from.get_string(mapping.filename));
            let build_id = to.string(from.get_string(mapping.build_id));
            location.mapping = to.mapping(Mapping { filename, build_id, ..Mapping::default() });
            location.address = 0;
        } else {
            location.mapping = self.mapping(from, to, location.mapping);
        }
        for line in &mut location.lines {
            line.function = self.function(from, to, line.function);
        }
        let copied = to.location(location);
        if let Some(slot) = self.locations.get_mut(id.index()) {
            *slot = Some(copied);
        }
        copied
    }

    fn mapping(&mut self, from: &Dictionary, to: &mut Dictionary, id: MappingId) -> MappingId {
        if let Some(Some(known)) = self.mappings.get(id.index()) {
            return *known;
        }
        let mut mapping = from.get_mapping(id);
        mapping.filename = to.string(from.get_string(mapping.filename));
        mapping.build_id = to.string(from.get_string(mapping.build_id));
        let copied = to.mapping(mapping);
        if let Some(slot) = self.mappings.get_mut(id.index()) {
            *slot = Some(copied);
        }
        copied
    }

    fn function(&mut self, from: &Dictionary, to: &mut Dictionary, id: FunctionId) -> FunctionId {
        if let Some(Some(known)) = self.functions.get(id.index()) {
            return *known;
        }
        let mut function = from.get_function(id);
        function.name = to.string(from.get_string(function.name));
        function.system_name = to.string(from.get_string(function.system_name));
        function.filename = to.string(from.get_string(function.filename));
        let copied = to.function(function);
        if let Some(slot) = self.functions.get_mut(id.index()) {
            *slot = Some(copied);
        }
        copied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(dictionary: &mut Dictionary, name: &str) -> LocationId {
        let name = dictionary.string(name);
        let function = dictionary.function(Function { name, ..Function::default() });
        dictionary.location(Location {
            lines: [Line { function, ..Line::default() }].into(),
            ..Location::default()
        })
    }

    #[test]
    fn stacks_share_their_roots_and_read_leaf_first() {
        let mut dictionary = Dictionary::default();
        let [main, work, idle] = ["main", "work", "idle"].map(|name| named(&mut dictionary, name));
        let busy = dictionary.stack(&[work, main]);
        let rest = dictionary.stack(&[idle, main]);
        assert_eq!(dictionary.leaf_first(busy).collect::<Vec<_>>(), [work, main]);
        assert_eq!(dictionary.get_stack(busy).1, dictionary.get_stack(rest).1);
        assert_eq!(dictionary.stack(&[work, main]), busy);
        assert_eq!(dictionary.leaf_first(StackId::NONE).count(), 0);
        assert_eq!(dictionary.leaf_first(StackId(99)).count(), 0);
    }

    #[test]
    fn copying_a_stack_keeps_its_names() {
        let mut from = Dictionary::default();
        let locations = ["leaf", "middle", "root"].map(|name| named(&mut from, name));
        let stack = from.stack(&locations);
        let mut to = Dictionary::default();
        to.string("something else");
        let copied = Remap::new(&from).stack(&from, &mut to, stack);
        let names: Vec<_> = to.leaf_first(copied).flat_map(|location| to.names(location)).collect();
        assert_eq!(
            names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["leaf", "middle", "root"]
        );
    }

    #[test]
    fn a_location_without_lines_is_named_by_file_and_address() {
        let mut dictionary = Dictionary::default();
        let filename = dictionary.string("/usr/bin/app");
        let mapping = dictionary.mapping(Mapping { filename, ..Mapping::default() });
        let location = dictionary.location(Location { mapping, address: 0x12ab, ..Location::default() });
        assert_eq!(dictionary.names(location), [("app+0x12ab".to_owned(), Layer::App)]);
    }

    #[test]
    fn a_replaced_location_keeps_its_id() {
        let mut dictionary = Dictionary::default();
        let mapping = dictionary.mapping(Mapping { file_offset: 1, ..Mapping::default() });
        let unnamed = dictionary.location(Location { mapping, address: 8, ..Location::default() });
        let main = named(&mut dictionary, "main");
        let stack = dictionary.stack(&[unnamed, main]);
        let lines = dictionary.get_location(main).lines.clone();
        let location = Location { mapping, address: 8, lines, ..Location::default() };
        assert!(dictionary.replace_location(unnamed, location));
        assert!(dictionary.is_named(dictionary.get_location(unnamed)));
        assert_eq!(dictionary.leaf_first(stack).collect::<Vec<_>>(), [unnamed, main]);
        assert_eq!(dictionary.names(unnamed), dictionary.names(main));
        let twin = dictionary.get_location(main).clone();
        assert!(!dictionary.replace_location(unnamed, twin), "two ids would have one location");
        assert!(!dictionary.replace_location(LocationId::NONE, Location::default()));
        assert!(!dictionary.replace_location(LocationId(99), Location::default()));
        let placeholder = named(&mut dictionary, "app+fn@0x10");
        assert!(!dictionary.is_named(dictionary.get_location(placeholder)));
    }

    #[test]
    fn locations_copied_by_name_share_what_only_addresses_told_apart() {
        let mut from = Dictionary::default();
        let [first, second] = [0x1000, 0x2000].map(|address| {
            let mapping = from.mapping(Mapping { memory_start: address, ..Mapping::default() });
            let name = from.string("work");
            let function = from.function(Function { name, ..Function::default() });
            let lines: Box<[Line]> = [Line { function, ..Line::default() }].into();
            let named = from.location(Location { mapping, address, lines, ..Location::default() });
            let unnamed = from.location(Location { mapping, address, ..Location::default() });
            from.stack(&[named, unnamed])
        });
        let mut to = Dictionary::default();
        let mut remap = Remap::by_name(&from);
        let copied = [first, second].map(|stack| remap.stack(&from, &mut to, stack));
        let leaves = copied.map(|stack| to.get_stack(stack).0);
        assert_eq!(leaves[0], leaves[1]);
        assert_ne!(copied[0], copied[1]);
        let addresses: Vec<u64> = to.leaf_first(copied[1]).map(|id| to.get_location(id).address).collect();
        assert_eq!(addresses, [0, 0x2000]);
    }
}
