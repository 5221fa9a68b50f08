//! From a window of aggregated frames to profiles with names.
//!
//! Each distinct frame is symbolized once per window. What has no name keeps its address, and a stack
//! whose walk stopped early says so at its root: no weight disappears and no frame is invented.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hearth_objfile::ObjectFile;
use hearth_profile::{
    Attributes, Dictionary, FrameKind, Function, Line, Location, LocationId, Mapping, MappingId, Profile,
    ProfileBatch, ResourceProfiles, Scope, StackId, ValueType, unknown_function,
};
use hearth_symbolize::{KernelSymbols, SourceFrame, demangle};
use hearth_unwind::StopReason;

use crate::abi::{self, Frame};
use crate::aggregate::Tag;
use crate::files::{FileFacts, FileTable};
use crate::filter::Verdict;
use crate::identity::Identity;
use crate::loss::LostOfProcess;
use crate::processes::Identities;
use crate::ring::Window;
use crate::settings::SampleAttributes;
use crate::symbols::{self, Symbols, Wanted};

const KERNEL: &str = "[kernel]";

/// Kernel symbols, read when the first kernel frame is met and again when a look-up fails.
#[derive(Debug, Default)]
pub(crate) struct KernelNames {
    symbols: Option<KernelSymbols>,
    read: Option<SystemTime>,
}

impl KernelNames {
    /// How soon they may be read again: modules come and go, addresses without a name stay.
    const REFRESH_AFTER: Duration = Duration::from_secs(60);

    /// The name and the module of the function at `address`.
    fn lookup(&mut self, address: u64) -> Option<(String, Option<String>)> {
        if let Some(found) = self.find(address) {
            return Some(found);
        }
        let fresh = self.read.is_some_and(|read| read.elapsed().is_ok_and(|age| age < Self::REFRESH_AFTER));
        if fresh {
            return None;
        }
        self.read = Some(SystemTime::now());
        let text =
            std::fs::read("/proc/kallsyms").inspect_err(|error| tracing::warn!(%error, "no kernel names"));
        match KernelSymbols::parse(&text.ok()?) {
            Ok(symbols) => self.symbols = Some(symbols),
            Err(error) => tracing::warn!(%error, "no kernel names"),
        }
        self.find(address)
    }

    fn find(&self, address: u64) -> Option<(String, Option<String>)> {
        let symbol = self.symbols.as_ref()?.lookup(address)?;
        Some((symbol.name.to_owned(), symbol.module.map(str::to_owned)))
    }

    /// Bytes held.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.symbols.as_ref().map_or(0, KernelSymbols::memory_bytes)
    }
}

/// What is remembered between windows to name frames.
pub(crate) struct Names {
    pub(crate) kernel: KernelNames,
    pub(crate) symbols: Arc<Symbols>,
}

impl Names {
    pub(crate) fn new(symbols: Arc<Symbols>) -> Self {
        Self { kernel: KernelNames::default(), symbols }
    }

    /// Bytes held by symbols.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.kernel.memory_bytes() + self.symbols.memory_bytes()
    }
}

/// A file of a window: what is known about it, what its names are shared by, its mapping.
#[derive(Clone)]
struct WindowFile {
    facts: Option<Arc<FileFacts>>,
    key: Arc<str>,
    mapping: MappingId,
}

/// What a window's processes are and carry.
pub(crate) struct About<'a> {
    pub(crate) identities: &'a Identities,
    /// Lost samples by incarnation.
    pub(crate) lost: &'a HashMap<u32, LostOfProcess>,
    pub(crate) attributes: SampleAttributes,
    pub(crate) period_ns: u64,
}

/// Builds one batch.
pub(crate) struct Builder<'a> {
    dictionary: Dictionary,
    locations: HashMap<u64, LocationId, foldhash::fast::RandomState>,
    files: HashMap<u32, WindowFile>,
    table: &'a FileTable,
    names: &'a mut Names,
    /// How long names may be waited for.
    wait: Duration,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(table: &'a FileTable, names: &'a mut Names, wait: Duration) -> Self {
        Self {
            dictionary: Dictionary::default(),
            locations: HashMap::default(),
            files: HashMap::new(),
            table,
            names,
            wait,
        }
    }

    /// Turns a window into profiles.
    pub(crate) fn build(mut self, window: &Window, about: &About<'_>) -> ProfileBatch {
        let is_sampled = |process: u32| {
            about.identities.get(&process).is_none_or(|(_, verdict)| *verdict == Verdict::Sample)
        };
        // Only what is let through is named: a process that is left out must not show in the dictionary.
        let nodes: Vec<(u32, Frame)> = window.aggregate.nodes().collect();
        let mut needed = vec![None; nodes.len() + 1];
        for (process, node, ..) in window.aggregate.counts() {
            let mut at = if is_sampled(process) { node as usize } else { 0 };
            while at > 0 && needed[at].replace(process).is_none() {
                at = nodes[at - 1].0 as usize;
            }
        }
        let in_process = nodes.iter().zip(&needed[1..]);
        self.resolve(in_process.filter_map(|((_, frame), process)| Some((*frame, (*process)?))), about);
        let mut stacks = vec![StackId::NONE];
        for (index, (caller, frame)) in nodes.into_iter().enumerate() {
            let stack = if needed[index + 1].is_some() {
                let caller = stacks.get(caller as usize).copied().unwrap_or_default();
                let location = self.location(frame);
                self.dictionary.push(caller, location)
            } else {
                StackId::NONE
            };
            stacks.push(stack);
        }
        let mut profiles: BTreeMap<u32, Profile> = BTreeMap::new();
        for (process, node, tag, count) in window.aggregate.counts() {
            if !is_sampled(process) {
                continue;
            }
            let stack = stacks.get(node as usize).copied().unwrap_or_default();
            let profile = profiles.entry(process).or_insert_with(|| empty_profile(window, about.period_ns));
            let attributes = match window.aggregate.attributes(tag) {
                Some(tag) if about.attributes.any() => sample_attributes(tag, about.attributes),
                _ => Attributes::default(),
            };
            profile.samples.push(hearth_profile::Sample {
                stack,
                value: i64::try_from(count).unwrap_or(i64::MAX),
                attributes,
                ..hearth_profile::Sample::default()
            });
        }
        let scope =
            Scope { name: "hearth".into(), version: env!("CARGO_PKG_VERSION").into(), ..Scope::default() };
        let resources = profiles
            .into_iter()
            .map(|(id, profile)| {
                let identity = about.identities.get(&id).map(|(identity, _)| identity);
                let mut resource = identity.map_or_else(Attributes::default, |identity| resource(identity));
                for (reason, count) in about.lost.get(&id).into_iter().flatten() {
                    let count = i64::try_from(*count).unwrap_or(i64::MAX);
                    resource.set(format!("hearth.lost.{reason}"), count);
                }
                ResourceProfiles { resource, scope: scope.clone(), profiles: vec![profile] }
            })
            .collect();
        ProfileBatch { dictionary: self.dictionary, resources }
    }

    fn location(&mut self, frame: Frame) -> LocationId {
        if let Some(&known) = self.locations.get(&frame.encode()) {
            return known;
        }
        let location = match frame {
            Frame::File { id, offset } => self.file_location(id, offset),
            Frame::Kernel(address) => self.kernel_location(address),
            Frame::Anonymous(address) => self.bare_location("[anonymous]", address),
            Frame::Raw(address) => self.bare_location("[unknown]", address),
            Frame::Stopped(number) => self.stopped_location(number),
        };
        let id = self.dictionary.location(location);
        self.locations.insert(frame.encode(), id);
        id
    }

    fn mapping(&mut self, filename: &str, build_id: Option<&str>) -> MappingId {
        let filename = self.dictionary.string(filename);
        let build_id = self.dictionary.string(build_id.unwrap_or(""));
        self.dictionary.mapping(Mapping { filename, build_id, ..Mapping::default() })
    }

    /// Asks for the names of all code at once, each file's together with a process that runs it.
    fn resolve(&mut self, frames: impl Iterator<Item = (Frame, u32)>, about: &About<'_>) {
        let mut wanted: HashMap<Arc<str>, Wanted> = HashMap::new();
        for (frame, process) in frames {
            let Frame::File { id, offset } = frame else { continue };
            let file = self.file(id);
            let Some(facts) = file.facts else { continue };
            let Some(address) = facts.elf_address(offset) else { continue };
            let pid = about.identities.get(&process).map(|(identity, _)| identity.pid);
            let key = Arc::clone(&file.key);
            let entry = wanted.entry(key).or_insert_with(|| Wanted {
                key: file.key,
                facts,
                pid,
                addresses: HashSet::new(),
            });
            entry.addresses.insert(address.0);
        }
        self.names.symbols.resolve(wanted.into_values().collect(), self.wait);
    }

    fn file(&mut self, id: u32) -> WindowFile {
        if let Some(known) = self.files.get(&id) {
            return known.clone();
        }
        let facts = self.table.get(id);
        let waiting = self.table.waiting_name(id).filter(|name| !name.is_empty());
        let path = facts.as_ref().map(|facts| facts.path.as_str()).or(waiting.as_deref());
        let object = facts.as_ref().and_then(|facts| facts.object.as_ref());
        let mapping =
            self.mapping(path.unwrap_or("[unknown]"), object.and_then(|object| object.build_id.as_deref()));
        let key = facts.as_ref().map_or_else(Arc::default, |facts| symbols::key(id, facts));
        let file = WindowFile { facts, key, mapping };
        self.files.insert(id, file.clone());
        file
    }

    fn file_location(&mut self, id: u32, offset: u64) -> Location {
        let WindowFile { facts, key, mapping } = self.file(id);
        let address = facts.as_ref().and_then(|facts| facts.elf_address(offset));
        let named = address.and_then(|address| self.names.symbols.get(&key, address.0)).unwrap_or_default();
        let object = facts.as_ref().and_then(|facts| facts.object.as_ref());
        let native = if object.is_some_and(ObjectFile::is_go) { FrameKind::Go } else { FrameKind::Native };
        let kind = named.frames.first().map(|frame| frame.kind).filter(|kind| *kind > FrameKind::Native);
        let lines = match (named.start, &facts) {
            // Not a name, and marked as such: but code of one function is shown as one.
            (Some(start), Some(facts)) => {
                let name = unknown_function(&facts.path, start.0);
                [self.line(&SourceFrame { name, ..SourceFrame::default() })].into()
            }
            _ => named.frames.iter().map(|frame| self.line(frame)).collect(),
        };
        // Without an ELF header, the offset in the file is the best address there is.
        let address = address.map_or(offset, |address| address.0);
        Location { mapping, address, lines, kind: kind.unwrap_or(native) }
    }

    fn line(&mut self, frame: &SourceFrame) -> Line {
        let function = Function {
            name: self.dictionary.string(&frame.name),
            system_name: self.dictionary.string(&frame.system_name),
            filename: self.dictionary.string(&frame.file),
            start_line: frame.start_line,
        };
        Line { function: self.dictionary.function(function), line: frame.line, column: 0 }
    }

    /// Kernel addresses differ with every boot and tell an attacker where the kernel is, so a frame
    /// with a name has none.
    fn kernel_location(&mut self, address: u64) -> Location {
        let kind = FrameKind::Kernel;
        let Some((name, module)) = self.names.kernel.lookup(address) else {
            let mapping = self.mapping(KERNEL, None);
            return Location { mapping, address, lines: Box::default(), kind };
        };
        let mapping = match module {
            Some(module) => self.mapping(&format!("[{module}]"), None),
            None => self.mapping(KERNEL, None),
        };
        let demangled = demangle(&name);
        let system_name = if demangled.name == name { "" } else { name.as_str() };
        let frame = SourceFrame {
            system_name: system_name.to_owned(),
            name: demangled.name.into_owned(),
            ..SourceFrame::default()
        };
        Location { mapping, address: 0, lines: [self.line(&frame)].into(), kind }
    }

    fn bare_location(&mut self, mapping: &str, address: u64) -> Location {
        let mapping = self.mapping(mapping, None);
        Location { mapping, address, lines: Box::default(), kind: FrameKind::Native }
    }

    fn stopped_location(&mut self, number: u16) -> Location {
        let name = match StopReason::from_number(number) {
            Some(reason) => format!("[stopped: {}]", reason.name()),
            None => format!("[stopped: reason {number}]"),
        };
        let line = self.line(&SourceFrame { name, ..SourceFrame::default() });
        Location { lines: [line].into(), ..Location::default() }
    }
}

fn empty_profile(window: &Window, period_ns: u64) -> Profile {
    let since_epoch = window.start.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Profile {
        sample_type: ValueType::new("samples", "count"),
        period_type: ValueType::new("cpu", "nanoseconds"),
        period: i64::try_from(period_ns).unwrap_or(i64::MAX),
        time_unix_nano: nanos(since_epoch),
        duration_nano: nanos(window.duration),
        ..Profile::default()
    }
}

fn sample_attributes(tag: &Tag, wanted: SampleAttributes) -> Attributes {
    let mut attributes = Attributes::default();
    if wanted.thread_id {
        attributes.set("thread.id", i64::from(tag.thread));
    }
    if wanted.thread_name {
        attributes.set("thread.name", abi::text(&tag.name).as_str());
    }
    if wanted.cpu {
        attributes.set("cpu.logical_number", i64::from(tag.cpu));
    }
    attributes
}

fn resource(identity: &Identity) -> Attributes {
    let mut resource = Attributes::default();
    // First what the process says about itself, so that what we know ourselves wins.
    for (key, value) in &identity.attributes {
        resource.set(key.as_str(), value.as_str());
    }
    resource.set("process.pid", i64::from(identity.pid));
    let facts = [
        ("process.executable.name", &identity.executable_name),
        ("process.executable.path", &identity.executable_path),
        ("container.id", &identity.container_id),
        ("service.name", &identity.service_name),
    ];
    for (key, value) in facts {
        if let Some(value) = value {
            resource.set(key, value.as_str());
        }
    }
    resource
}
