//! JFR: recordings of Java's Flight Recorder, as async-profiler and Pyroscope's Java agent write
//! them.
//!
//! ```text
//! chunk ─▶ header ─▶ metadata (classes and their fields) ─▶ constant pools ─▶ events ─▶ profiles
//! ```
//!
//! A recording is a number of chunks that know nothing of each other. What an event holds is said
//! by the chunk's own metadata; only events that are samples, and only their fields that a profile
//! needs, are kept. Function names are `package/Class.method`; numbers in the names of generated
//! classes are taken out, as those would make a new function of each run.
//!
//! Types and events are those of Pyroscope: CPU and wall clock, allocations in and outside TLABs,
//! allocation samples, locks, parked threads, live objects.
//!
//! Reference: `jdk.jfr.internal` of OpenJDK (format 2.x); `jfrMetadata.cpp` of async-profiler.

mod chunk;
mod names;
mod reader;

use std::collections::HashMap;

use hearth_profile::{
    Attributes, Dictionary, FrameKind, Function, FunctionId, Line, Location, LocationId, Profile, Sample,
    StackId, ValueType,
};

use crate::limits::within;
use crate::wire::{Reader as ProtoReader, WireError};
use crate::{LimitExceeded, Limits, depth};

use chunk::{Chunk, Record};

/// Why bytes are no recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is too large.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// It contradicts the format.
    #[error("no JFR recording: {reason} at offset {offset}")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
        /// Where, from the beginning of the chunk.
        offset: usize,
    },
    /// The labels that come with it are no such message.
    #[error("labels: {0}")]
    Labels(#[from] WireError),
}

/// A decoded recording.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// What the samples index.
    pub dictionary: Dictionary,
    /// The profiles with their metric: `process_cpu`, `memory`.
    pub profiles: Vec<(&'static str, Profile)>,
    /// What triggered the samples: `cpu`, `itimer`, `wall`; empty if the recording does not say.
    pub event: String,
}

/// The labels of contexts, which the agent sends beside a recording.
#[derive(Clone, Debug, Default)]
pub struct Labels(HashMap<i64, Attributes>);

impl Labels {
    /// Reads Pyroscope's `LabelsSnapshot`.
    ///
    /// # Errors
    ///
    /// If the bytes are no such message.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        within("bytes of labels", bytes.len(), limits.max_bytes)?;
        let mut contexts: Vec<(i64, Vec<(i64, i64)>)> = Vec::new();
        let mut strings: HashMap<i64, String> = HashMap::new();
        let mut reader = ProtoReader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            let mut entry = ProtoReader::new(value.bytes("LabelsSnapshot")?);
            let (mut key, mut text, mut pairs) = (0, String::new(), Vec::new());
            while let Some((field, value)) = entry.field()? {
                match (number, field) {
                    (_, 1) => key = value.int("key")?,
                    (2, 2) => text = String::from_utf8_lossy(value.bytes("value")?).into_owned(),
                    (1, 2) => pairs = context(value.bytes("value")?, limits)?,
                    _ => {}
                }
            }
            match number {
                1 => contexts.push((key, pairs)),
                2 => {
                    strings.insert(key, text);
                }
                _ => {}
            }
        }
        let named =
            |(key, value): &(i64, i64)| Some((strings.get(key)?.clone(), strings.get(value)?.clone()));
        let labels = |pairs: &[(i64, i64)]| pairs.iter().filter_map(named).collect();
        Ok(Self(contexts.iter().map(|(id, pairs)| (*id, labels(pairs))).collect()))
    }
}

/// The pairs of a context, as ids of strings.
fn context(bytes: &[u8], limits: &Limits) -> Result<Vec<(i64, i64)>, Error> {
    let mut pairs = Vec::new();
    let mut reader = ProtoReader::new(bytes);
    while let Some((_, value)) = reader.field()? {
        let (mut key, mut text) = (0, 0);
        let mut entry = ProtoReader::new(value.bytes("Context.labels")?);
        while let Some((field, value)) = entry.field()? {
            match field {
                1 => key = value.int("key")?,
                2 => text = value.int("value")?,
                _ => {}
            }
        }
        pairs.push((key, text));
        within("labels of a context", pairs.len(), limits.max_attributes)?;
    }
    Ok(pairs)
}

/// A metric with its sample and period types.
type Kind = (&'static str, (&'static str, &'static str), (&'static str, &'static str));

const CPU: Kind = ("process_cpu", ("cpu", "nanoseconds"), ("cpu", "nanoseconds"));
const WALL: Kind = ("wall", ("wall", "nanoseconds"), ("wall", "nanoseconds"));
const SPACE: (&str, &str) = ("space", "bytes");
const IN_TLAB: [Kind; 2] = [
    ("memory", ("alloc_in_new_tlab_objects", "count"), SPACE),
    ("memory", ("alloc_in_new_tlab_bytes", "bytes"), SPACE),
];
const OUTSIDE_TLAB: [Kind; 2] = [
    ("memory", ("alloc_outside_tlab_objects", "count"), SPACE),
    ("memory", ("alloc_outside_tlab_bytes", "bytes"), SPACE),
];
const ALLOCATION: [Kind; 2] = [
    ("memory", ("alloc_sample_objects", "count"), SPACE),
    ("memory", ("alloc_sample_bytes", "bytes"), SPACE),
];
const LOCK: [Kind; 2] = [
    ("mutex", ("contentions", "count"), ("mutex", "count")),
    ("mutex", ("delay", "nanoseconds"), ("mutex", "count")),
];
const PARK: [Kind; 2] = [
    ("block", ("contentions", "count"), ("block", "count")),
    ("block", ("delay", "nanoseconds"), ("block", "count")),
];
const LIVE: Kind = ("memory", ("live", "count"), ("objects", "count"));

/// Decodes a recording. `period_ns` is the distance of two samples of CPU or wall-clock time.
///
/// # Errors
///
/// At the first thing that contradicts the format, and if there is more than `limits` admit.
pub fn decode(bytes: &[u8], labels: &Labels, period_ns: i64, limits: &Limits) -> Result<Recording, Error> {
    within("bytes", bytes.len(), limits.max_bytes)?;
    let mut decoder = Decoder {
        limits,
        labels,
        period_ns,
        dictionary: Dictionary::default(),
        sums: HashMap::new(),
        kinds: Vec::new(),
        time: (0, 0),
        event: String::new(),
        samples: 0,
    };
    let mut rest = bytes;
    while !rest.is_empty() {
        let (chunk, after) = Chunk::parse(rest, limits)?;
        decoder.chunk(&chunk)?;
        rest = after;
    }
    Ok(decoder.finish())
}

struct Decoder<'a> {
    limits: &'a Limits,
    labels: &'a Labels,
    period_ns: i64,
    dictionary: Dictionary,
    /// By kind, stack and context.
    sums: HashMap<(usize, StackId, i64), i64>,
    kinds: Vec<Kind>,
    /// Start and duration of the recording in nanoseconds.
    time: (u64, u64),
    event: String,
    samples: usize,
}

/// What one chunk's ids became.
#[derive(Default)]
struct Known {
    stacks: HashMap<i64, StackId>,
    functions: HashMap<i64, FunctionId>,
}

impl Decoder<'_> {
    fn chunk(&mut self, chunk: &Chunk<'_>) -> Result<(), Error> {
        if self.time.0 == 0 {
            self.time.0 = chunk.start_ns;
        }
        let end = chunk.start_ns.saturating_add(chunk.duration_ns);
        self.time.1 = self.time.1.max(end.saturating_sub(self.time.0));
        chunk.each_event(|name, record| {
            if name == "jdk.ActiveSetting" && chunk.text(&record.name) == "event" {
                self.event = chunk.text(&record.value).to_owned();
            }
            Ok(())
        })?;
        let mut known = Known::default();
        chunk.each_event(|name, record| self.sample(chunk, &mut known, name, &record))
    }

    fn sample(
        &mut self,
        chunk: &Chunk<'_>,
        known: &mut Known,
        name: &str,
        record: &Record<'_>,
    ) -> Result<(), Error> {
        let period = self.period_ns;
        let state = || chunk.thread_state(record.state);
        let delay = chunk.nanoseconds(record.duration);
        let mut add = |kind: Kind, value: i64| self.add(chunk, known, record, kind, value);
        match name {
            "jdk.ExecutionSample" => {
                if !matches!(state(), "" | "STATE_SLEEPING") {
                    add(CPU, period)?;
                }
                if self.event == "wall" {
                    self.add(chunk, known, record, WALL, period)?;
                }
            }
            "profiler.WallClockSample" => {
                let value = period.saturating_mul(record.samples.max(1));
                if state() == "STATE_RUNNABLE" && self.event == "wall" {
                    self.add(chunk, known, record, CPU, value)?;
                }
                self.add(chunk, known, record, WALL, value)?;
            }
            "jdk.ObjectAllocationInNewTLAB" => {
                add(IN_TLAB[0], 1)?;
                add(IN_TLAB[1], record.tlab_size)?;
            }
            "jdk.ObjectAllocationOutsideTLAB" => {
                add(OUTSIDE_TLAB[0], 1)?;
                add(OUTSIDE_TLAB[1], record.allocation_size)?;
            }
            "jdk.ObjectAllocationSample" => {
                add(ALLOCATION[0], 1)?;
                add(ALLOCATION[1], record.weight)?;
            }
            "jdk.JavaMonitorEnter" => {
                add(LOCK[0], 1)?;
                add(LOCK[1], delay)?;
            }
            "jdk.ThreadPark" => {
                add(PARK[0], 1)?;
                add(PARK[1], delay)?;
            }
            "profiler.LiveObject" => add(LIVE, 1)?,
            _ => {}
        }
        Ok(())
    }

    fn add(
        &mut self,
        chunk: &Chunk<'_>,
        known: &mut Known,
        record: &Record<'_>,
        kind: Kind,
        value: i64,
    ) -> Result<(), Error> {
        let stack = self.stack(chunk, known, record.stack)?;
        let index = match self.kinds.iter().position(|known| *known == kind) {
            Some(index) => index,
            None => {
                self.kinds.push(kind);
                self.kinds.len() - 1
            }
        };
        let sum = self.sums.entry((index, stack, record.context)).or_insert_with(|| {
            self.samples += 1;
            0
        });
        *sum = sum.saturating_add(value.max(0));
        Ok(within("samples", self.samples, self.limits.max_samples)?)
    }

    fn stack(&mut self, chunk: &Chunk<'_>, known: &mut Known, id: i64) -> Result<StackId, Error> {
        if let Some(stack) = known.stacks.get(&id) {
            return Ok(*stack);
        }
        let mut locations = Vec::new();
        for frame in chunk.frames(id) {
            let function = *known.functions.entry(frame.method).or_insert_with(|| {
                let name = self.dictionary.string(&chunk.method(frame.method));
                self.dictionary.function(Function { name, ..Function::default() })
            });
            let kind = match chunk.frame_type(frame.kind) {
                "Native" | "C++" => FrameKind::Native,
                "Kernel" => FrameKind::Kernel,
                _ => FrameKind::Jvm,
            };
            let line = u32::try_from(frame.line).unwrap_or(0);
            let lines = [Line { function, line, column: 0 }].into();
            locations.push(self.dictionary.location(Location { lines, kind, ..Location::default() }));
        }
        let stack = match depth::split(&locations, self.limits.max_depth) {
            None => self.push(StackId::NONE, &locations),
            Some((leaf, root)) => {
                let root = self.push(StackId::NONE, root);
                let marker = depth::marker(&mut self.dictionary);
                let middle = self.dictionary.push(root, marker);
                self.push(middle, leaf)
            }
        };
        within("entries of a table", self.dictionary.largest_table(), self.limits.max_table)?;
        known.stacks.insert(id, stack);
        Ok(stack)
    }

    fn push(&mut self, caller: StackId, leaf_first: &[LocationId]) -> StackId {
        leaf_first.iter().rev().fold(caller, |caller, &location| self.dictionary.push(caller, location))
    }

    fn finish(self) -> Recording {
        let none = Attributes::default();
        let mut profiles: Vec<(&'static str, Profile)> = self
            .kinds
            .iter()
            .map(|&(metric, sample, period)| {
                let profile = Profile {
                    sample_type: ValueType::new(sample.0, sample.1),
                    period_type: ValueType::new(period.0, period.1),
                    period: if matches!(period.0, "cpu" | "wall") { self.period_ns } else { 0 },
                    time_unix_nano: self.time.0,
                    duration_nano: self.time.1,
                    ..Profile::default()
                };
                (metric, profile)
            })
            .collect();
        let mut sums: Vec<_> = self.sums.into_iter().filter(|(_, value)| *value != 0).collect();
        sums.sort_unstable();
        for ((kind, stack, context), value) in sums {
            let attributes = self.labels.0.get(&context).unwrap_or(&none).clone();
            profiles[kind].1.samples.push(Sample { stack, value, attributes, ..Sample::default() });
        }
        Recording { dictionary: self.dictionary, profiles, event: self.event }
    }
}
