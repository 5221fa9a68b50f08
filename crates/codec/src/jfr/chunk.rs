//! One chunk of a recording: header, metadata, constant pools, events.

use std::collections::HashMap;

use crate::Limits;
use crate::limits::within;

use super::reader::{Reader, Text};
use super::{Error, names};

/// Bytes of a chunk's header.
const HEADER: usize = 68;
/// How deep values may hold values.
const DEPTH_MAX: usize = 16;
/// Checkpoints of one chunk.
const CHECKPOINTS_MAX: usize = 100_000;
/// How deep metadata may nest.
const ELEMENTS_DEPTH_MAX: usize = 32;

/// What a class's fields are.
#[derive(Clone, Debug)]
struct Class {
    name: String,
    fields: Vec<Field>,
}

#[derive(Clone, Debug)]
struct Field {
    slot: Slot,
    class: i64,
    pooled: bool,
    list: bool,
}

/// Where a field's value goes, by its name.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Slot {
    Stack,
    State,
    Context,
    TlabSize,
    AllocationSize,
    Weight,
    Duration,
    Samples,
    Name,
    Value,
    Kind,
    Method,
    Line,
    Frames,
    Other,
}

impl Slot {
    fn of(name: &str) -> Self {
        match name {
            "stackTrace" => Self::Stack,
            "state" => Self::State,
            "contextId" => Self::Context,
            "tlabSize" => Self::TlabSize,
            "allocationSize" => Self::AllocationSize,
            "weight" => Self::Weight,
            "duration" => Self::Duration,
            "samples" => Self::Samples,
            "name" => Self::Name,
            "value" | "string" | "description" => Self::Value,
            "type" => Self::Kind,
            "method" => Self::Method,
            "lineNumber" => Self::Line,
            "frames" => Self::Frames,
            _ => Self::Other,
        }
    }
}

/// The fields of an event or constant that a profile needs; zero or empty if it has none.
#[derive(Clone, Debug, Default)]
pub(super) struct Record<'a> {
    pub(super) stack: i64,
    pub(super) state: i64,
    pub(super) context: i64,
    pub(super) tlab_size: i64,
    pub(super) allocation_size: i64,
    pub(super) weight: i64,
    pub(super) duration: i64,
    pub(super) samples: i64,
    pub(super) name: Text<'a>,
    pub(super) value: Text<'a>,
    name_id: i64,
    kind: i64,
    method: i64,
    line: i64,
    frames: Vec<Frame>,
}

impl Record<'_> {
    fn set(&mut self, slot: Slot, number: i64) {
        match slot {
            Slot::Stack => self.stack = number,
            Slot::State => self.state = number,
            Slot::Context => self.context = number,
            Slot::TlabSize => self.tlab_size = number,
            Slot::AllocationSize => self.allocation_size = number,
            Slot::Weight => self.weight = number,
            Slot::Duration => self.duration = number,
            Slot::Samples => self.samples = number,
            Slot::Name => self.name_id = number,
            Slot::Kind => self.kind = number,
            Slot::Method => self.method = number,
            Slot::Line => self.line = number,
            Slot::Value | Slot::Frames | Slot::Other => {}
        }
    }
}

/// A frame of a stack: ids of its method and type, and its line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    pub(super) method: i64,
    pub(super) line: i64,
    pub(super) kind: i64,
}

/// A chunk whose metadata and constants are read.
pub(super) struct Chunk<'a> {
    bytes: &'a [u8],
    compressed: bool,
    pub(super) start_ns: u64,
    pub(super) duration_ns: u64,
    ticks_per_second: u64,
    classes: HashMap<i64, Class>,
    stacks: HashMap<i64, Vec<Frame>>,
    /// Class and name, as ids.
    methods: HashMap<i64, (i64, i64)>,
    class_names: HashMap<i64, i64>,
    symbols: HashMap<i64, Text<'a>>,
    strings: HashMap<i64, Text<'a>>,
    states: HashMap<i64, Text<'a>>,
    frame_types: HashMap<i64, Text<'a>>,
}

impl<'a> Chunk<'a> {
    /// Reads the chunk at the beginning of `bytes`; returns what follows it, too.
    pub(super) fn parse(bytes: &'a [u8], limits: &Limits) -> Result<(Self, &'a [u8]), Error> {
        let mut reader = Reader::at(bytes, 0, false);
        if reader.take(4)? != b"FLR\0" {
            return Err(Error::Malformed { reason: "a chunk does not begin with FLR", offset: 0 });
        }
        let major = reader.fixed(2)?;
        if !(1..=2).contains(&major) {
            return Err(reader.error("the format's version is neither 1 nor 2"));
        }
        reader.take(2)?;
        let size = reader.fixed(8)?;
        let [constants, metadata] = [reader.fixed(8)?, reader.fixed(8)?];
        let [start_ns, duration_ns] = [reader.fixed(8)?, reader.fixed(8)?];
        reader.take(8)?;
        let ticks_per_second = reader.fixed(8)?;
        let features = reader.fixed(4)?;
        let size = usize::try_from(size).ok().filter(|&size| size >= HEADER && size <= bytes.len());
        let size = size.ok_or_else(|| reader.error("a chunk is longer than the recording"))?;
        let (own, after) = bytes.split_at(size);
        let mut chunk = Self {
            bytes: own,
            compressed: features & 1 != 0,
            start_ns,
            duration_ns,
            ticks_per_second,
            classes: HashMap::new(),
            stacks: HashMap::new(),
            methods: HashMap::new(),
            class_names: HashMap::new(),
            symbols: HashMap::new(),
            strings: HashMap::new(),
            states: HashMap::new(),
            frame_types: HashMap::new(),
        };
        chunk.read_metadata(metadata, limits)?;
        chunk.read_constants(constants, limits)?;
        Ok((chunk, after))
    }

    fn reader(&self, offset: u64) -> Result<Reader<'a>, Error> {
        let offset =
            usize::try_from(offset).ok().filter(|&offset| offset >= HEADER && offset < self.bytes.len());
        let offset =
            offset.ok_or(Error::Malformed { reason: "an offset is outside of the chunk", offset: 0 })?;
        Ok(Reader::at(self.bytes, offset, self.compressed))
    }

    fn read_metadata(&mut self, offset: u64, limits: &Limits) -> Result<(), Error> {
        let mut reader = self.reader(offset)?;
        reader.int()?;
        reader.long()?;
        for _ in 0..3 {
            reader.long()?;
        }
        let count = reader.count()?;
        within("strings of metadata", count, limits.max_table)?;
        let mut strings = Vec::new();
        for _ in 0..count {
            strings.push(match reader.text()? {
                Text::Inline(text) => text.into_owned(),
                Text::None | Text::Id(_) => String::new(),
            });
        }
        let mut elements = Elements { reader, strings, classes: HashMap::new() };
        elements.element(&mut None, 0)?;
        self.classes = elements.classes;
        Ok(())
    }

    fn read_constants(&mut self, offset: u64, limits: &Limits) -> Result<(), Error> {
        let mut offset = offset;
        for _ in 0..CHECKPOINTS_MAX {
            let mut reader = self.reader(offset)?;
            reader.int()?;
            reader.long()?;
            reader.long()?;
            reader.long()?;
            let delta = reader.long()?;
            reader.byte()?;
            let pools = reader.count()?;
            for _ in 0..pools {
                self.read_pool(&mut reader, limits)?;
            }
            if delta == 0 {
                return Ok(());
            }
            offset = offset.wrapping_add_signed(delta);
        }
        Err(Error::Malformed { reason: "too many checkpoints", offset: 0 })
    }

    fn read_pool(&mut self, reader: &mut Reader<'a>, limits: &Limits) -> Result<(), Error> {
        let id = reader.long()?;
        let count = reader.count()?;
        let classes = std::mem::take(&mut self.classes);
        let Some(class) = classes.get(&id) else {
            return Err(reader.error("a constant pool has an unknown class"));
        };
        let walk = Walk { classes: &classes };
        for _ in 0..count {
            let id = reader.long()?;
            let mut record = Record::default();
            walk.fields(reader, class, &mut record, 0)?;
            match class.name.as_str() {
                "jdk.types.StackTrace" => {
                    self.stacks.insert(id, record.frames);
                }
                "jdk.types.Method" => {
                    self.methods.insert(id, (record.kind, record.name_id));
                }
                "java.lang.Class" => {
                    self.class_names.insert(id, record.name_id);
                }
                "jdk.types.Symbol" => {
                    self.symbols.insert(id, record.value);
                }
                "java.lang.String" => {
                    self.strings.insert(id, record.value);
                }
                "jdk.types.ThreadState" => {
                    self.states.insert(id, record.name);
                }
                "jdk.types.FrameType" => {
                    self.frame_types.insert(id, record.value);
                }
                _ => {}
            }
        }
        self.classes = classes;
        within("stacks of a chunk", self.stacks.len(), limits.max_table)?;
        within("symbols of a chunk", self.symbols.len(), limits.max_table)?;
        Ok(within("methods of a chunk", self.methods.len(), limits.max_table)?)
    }

    /// Calls `each` with the name of every event's class and its fields.
    pub(super) fn each_event(
        &self,
        mut each: impl FnMut(&str, Record<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let walk = Walk { classes: &self.classes };
        let mut at = HEADER;
        while at < self.bytes.len() {
            let mut reader = Reader::at(self.bytes, at, self.compressed);
            let size = usize::try_from(reader.int()?).unwrap_or(usize::MAX);
            let next = at.checked_add(size).filter(|&next| size > 0 && next <= self.bytes.len());
            let next = next.ok_or_else(|| reader.error("an event is longer than its chunk"))?;
            let class = self.classes.get(&reader.long()?).filter(|class| is_sample(&class.name));
            if let Some(class) = class {
                let mut record = Record::default();
                walk.fields(&mut reader, class, &mut record, 0)?;
                if reader.offset() > next {
                    return Err(reader.error("an event is longer than it says"));
                }
                each(&class.name, record)?;
            }
            at = next;
        }
        Ok(())
    }

    /// The frames of a stack, leaf first.
    pub(super) fn frames(&self, stack: i64) -> &[Frame] {
        self.stacks.get(&stack).map_or(&[], Vec::as_slice)
    }

    /// The name of a method with its class.
    pub(super) fn method(&self, id: i64) -> String {
        let (class, name) = self.methods.get(&id).copied().unwrap_or_default();
        let symbol = |id: i64| self.symbols.get(&id).map_or("", |text| self.text(text));
        let class = symbol(self.class_names.get(&class).copied().unwrap_or_default());
        format!("{}.{}", names::stable(class), symbol(name))
    }

    pub(super) fn thread_state(&self, id: i64) -> &str {
        self.states.get(&id).map_or("", |text| self.text(text))
    }

    pub(super) fn frame_type(&self, id: i64) -> &str {
        self.frame_types.get(&id).map_or("", |text| self.text(text))
    }

    /// A string; empty if it is none.
    pub(super) fn text<'t>(&'t self, text: &'t Text<'_>) -> &'t str {
        match text {
            Text::Inline(text) => text,
            Text::Id(id) => match self.strings.get(id) {
                Some(Text::Inline(text)) => text,
                _ => "",
            },
            Text::None => "",
        }
    }

    /// A number of ticks in nanoseconds.
    pub(super) fn nanoseconds(&self, ticks: i64) -> i64 {
        let ticks = u128::from(ticks.max(0).unsigned_abs());
        let nanoseconds = ticks * 1_000_000_000 / u128::from(self.ticks_per_second.max(1));
        i64::try_from(nanoseconds).unwrap_or(i64::MAX)
    }
}

/// Whether events of a class are read.
fn is_sample(name: &str) -> bool {
    matches!(
        name,
        "jdk.ExecutionSample"
            | "jdk.ObjectAllocationInNewTLAB"
            | "jdk.ObjectAllocationOutsideTLAB"
            | "jdk.ObjectAllocationSample"
            | "jdk.JavaMonitorEnter"
            | "jdk.ThreadPark"
            | "jdk.ActiveSetting"
            | "profiler.LiveObject"
            | "profiler.WallClockSample"
    )
}

/// Reads the tree of metadata.
struct Elements<'a> {
    reader: Reader<'a>,
    strings: Vec<String>,
    classes: HashMap<i64, Class>,
}

impl Elements<'_> {
    fn string(&mut self) -> Result<usize, Error> {
        let index = usize::try_from(self.reader.int()?).ok().filter(|&index| index < self.strings.len());
        index.ok_or_else(|| self.reader.error("metadata names a string that it does not have"))
    }

    fn element(&mut self, class: &mut Option<(i64, Class)>, depth: usize) -> Result<(), Error> {
        if depth > ELEMENTS_DEPTH_MAX {
            return Err(self.reader.error("metadata nests too deep"));
        }
        let kind = self.string()?;
        let kind = self.strings[kind].clone();
        let attributes = self.reader.count()?;
        let (mut name, mut id, mut of) = (String::new(), 0, 0);
        let (mut pooled, mut list) = (false, false);
        for _ in 0..attributes {
            let (key, value) = (self.string()?, self.string()?);
            let value = self.strings[value].as_str();
            match self.strings[key].as_str() {
                "name" => name = value.to_owned(),
                "id" => id = value.parse().unwrap_or(0),
                "class" => of = value.parse().unwrap_or(0),
                "constantPool" => pooled = value == "true",
                "dimension" => list = value != "0",
                _ => {}
            }
        }
        let mut own = (kind == "class").then(|| (id, Class { name: name.clone(), fields: Vec::new() }));
        let children = self.reader.count()?;
        for _ in 0..children {
            self.element(if own.is_some() { &mut own } else { class }, depth + 1)?;
        }
        if let Some((id, class)) = own {
            self.classes.insert(id, class);
        } else if let (true, Some((_, class))) = (kind == "field", class) {
            class.fields.push(Field { slot: Slot::of(&name), class: of, pooled, list });
        }
        Ok(())
    }
}

/// Reads values by the fields of their classes.
struct Walk<'c> {
    classes: &'c HashMap<i64, Class>,
}

impl Walk<'_> {
    fn fields<'a>(
        &self,
        reader: &mut Reader<'a>,
        class: &Class,
        record: &mut Record<'a>,
        depth: usize,
    ) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(reader.error("a value nests too deep"));
        }
        // A string as a constant has no fields of its own.
        if class.name == "java.lang.String" {
            record.value = reader.text()?;
            return Ok(());
        }
        for field in &class.fields {
            let count = if field.list { reader.count()? } else { 1 };
            for _ in 0..count {
                self.value(reader, field, record, depth)?;
            }
        }
        Ok(())
    }

    fn value<'a>(
        &self,
        reader: &mut Reader<'a>,
        field: &Field,
        record: &mut Record<'a>,
        depth: usize,
    ) -> Result<(), Error> {
        if field.pooled {
            let id = reader.long()?;
            record.set(field.slot, id);
            return Ok(());
        }
        let Some(class) = self.classes.get(&field.class) else {
            return Err(reader.error("a field has an unknown class"));
        };
        let number = match class.name.as_str() {
            "boolean" | "byte" => i64::from(reader.byte()?),
            "char" | "short" => reader.integer(2)?,
            "int" => reader.int()?,
            "long" => reader.long()?,
            "float" => reader.fixed(4)?.cast_signed(),
            "double" => reader.fixed(8)?.cast_signed(),
            "java.lang.String" => {
                let text = reader.text()?;
                match field.slot {
                    Slot::Name => record.name = text,
                    Slot::Value => record.value = text,
                    _ => {}
                }
                return Ok(());
            }
            _ => {
                let mut inner = Record::default();
                self.fields(reader, class, &mut inner, depth + 1)?;
                if field.slot == Slot::Frames {
                    let Record { method, line, kind, .. } = inner;
                    record.frames.push(Frame { method, line, kind });
                }
                return Ok(());
            }
        };
        record.set(field.slot, number);
        Ok(())
    }
}
