//! One write as the bytes of a log record: self-contained, so that damage to one record costs only
//! that one.
//!
//! Columns of variable-length integers, mostly differences to the row before, compressed together.

use std::sync::Arc;

use hearth_block::{Row, SLOT_MS, Series};
use hearth_profile::{
    Dictionary, FrameKind, Function, FunctionId, LabelSetBuilder, Line, Location, LocationId, Mapping,
    MappingId, ProfileType, Remap, StackId, StringId, ValueType,
};

use crate::{Error, Write};

/// Largest write, before compression.
pub(crate) const RAW_BYTES_MAX: usize = 128 << 20;
/// Most bytes of zstd's work; more effort would cost more than it saves for half a minute of log.
const ZSTD_LEVEL: i32 = 1;

/// A write as the log keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub tenant: Arc<str>,
    pub batch_id: Option<[u8; 16]>,
    /// When it was received, milliseconds since the Unix epoch.
    pub time_ms: i64,
    pub write: Write,
}

impl Entry {
    /// # Errors
    ///
    /// [`Error::Invalid`] if the write is larger than a record may be.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let compacted = compact(&self.write);
        let raw = encode_write(compacted.as_ref().unwrap_or(&self.write));
        if raw.len() > RAW_BYTES_MAX {
            let reason = format!("{} bytes; expected at most {RAW_BYTES_MAX}", raw.len());
            return Err(Error::Invalid { reason });
        }
        let mut out = Out(Vec::with_capacity(raw.len() / 3 + 256));
        out.text(&self.tenant);
        out.0.push(u8::from(self.batch_id.is_some()));
        out.0.extend(self.batch_id.unwrap_or_default());
        out.signed(self.time_ms);
        out.len(raw.len());
        let compressed = zstd::bulk::compress(&raw, ZSTD_LEVEL)
            .map_err(|error| Error::Invalid { reason: format!("cannot be compressed: {error}") })?;
        out.0.extend(compressed);
        Ok(out.0)
    }

    /// `None` if the bytes are none that [`Self::encode`] makes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = In(bytes);
        let tenant = input.text()?.into();
        let has_id = input.take(1)? == [1];
        let id: [u8; 16] = input.take(16)?.try_into().ok()?;
        let time_ms = input.signed()?;
        let raw_len = usize::try_from(input.unsigned()?).ok().filter(|&len| len <= RAW_BYTES_MAX)?;
        let raw = zstd::bulk::decompress(input.0, raw_len).ok().filter(|raw| raw.len() == raw_len)?;
        let mut input = In(&raw);
        let write = decode_write(&mut input).filter(|_| input.0.is_empty())?;
        write.check().ok()?;
        Some(Self { tenant, batch_id: has_id.then_some(id), time_ms, write })
    }
}

/// The write with only what its rows use, if that is much less than its dictionary holds.
fn compact(write: &Write) -> Option<Write> {
    let stacks: Vec<_> = write.dictionary.stacks().collect();
    let mut used = vec![false; stacks.len()];
    let mut count = 0;
    for row in &write.rows {
        let mut at = row.stack;
        while let Some(flag) = used.get_mut(at.index()).filter(|used| !**used) {
            *flag = true;
            count += 1;
            at = stacks.get(at.index()).map_or(StackId::NONE, |&(_, caller)| caller);
        }
    }
    if count * 2 > stacks.len() {
        return None;
    }
    let (mut dictionary, mut remap) = (Dictionary::default(), Remap::new(&write.dictionary));
    let copy = |row: &Row| Row { stack: remap.stack(&write.dictionary, &mut dictionary, row.stack), ..*row };
    let rows = write.rows.iter().map(copy).collect();
    Some(Write { dictionary, series: write.series.clone(), rows })
}

fn encode_write(write: &Write) -> Vec<u8> {
    let mut out = Out(Vec::with_capacity(write.rows.len() * 16 + 1024));
    encode_dictionary(&mut out, &write.dictionary);
    out.len(write.series.len());
    for Series { profile_type, labels } in &write.series {
        let ProfileType { name, sample, period } = profile_type;
        for part in [name, &sample.name, &sample.unit, &period.name, &period.unit] {
            out.text(part);
        }
        out.len(labels.len());
        for (name, value) in labels.iter() {
            out.text(name);
            out.text(value);
        }
    }
    out.len(write.rows.len());
    // Columns, not rows: equal things next to each other compress better.
    out.deltas(write.rows.iter().map(|row| i64::from(row.series)));
    out.deltas(write.rows.iter().map(|row| i64::from(row.stack.0)));
    out.deltas(write.rows.iter().map(|row| row.slot_ms.div_euclid(SLOT_MS)));
    write.rows.iter().for_each(|row| out.signed(row.value));
    out.0
}

fn encode_dictionary(out: &mut Out, dictionary: &Dictionary) {
    out.len(dictionary.strings().len() - 1);
    dictionary.strings().skip(1).for_each(|text| out.text(text));
    out.len(dictionary.functions().len() - 1);
    out.deltas(dictionary.functions().skip(1).map(|function| i64::from(function.name.0)));
    dictionary.functions().skip(1).for_each(|function| out.unsigned(function.system_name.0.into()));
    out.deltas(dictionary.functions().skip(1).map(|function| i64::from(function.filename.0)));
    dictionary.functions().skip(1).for_each(|function| out.unsigned(function.start_line.into()));
    out.len(dictionary.mappings().len() - 1);
    for mapping in dictionary.mappings().skip(1) {
        let Mapping { filename, build_id, memory_start, memory_limit, file_offset } = mapping;
        let fields = [u64::from(filename.0), u64::from(build_id.0), memory_start, memory_limit, file_offset];
        fields.into_iter().for_each(|field| out.unsigned(field));
    }
    out.len(dictionary.locations().len() - 1);
    out.deltas(dictionary.locations().skip(1).map(|location| i64::from(location.mapping.0)));
    out.deltas(dictionary.locations().skip(1).map(|location| location.address.cast_signed()));
    dictionary.locations().skip(1).for_each(|location| out.0.push(location.kind as u8));
    dictionary.locations().skip(1).for_each(|location| out.len(location.lines.len()));
    let lines = || dictionary.locations().flat_map(|location| location.lines.iter());
    out.deltas(lines().map(|line| i64::from(line.function.0)));
    lines().for_each(|line| out.unsigned(line.line.into()));
    lines().for_each(|line| out.unsigned(line.column.into()));
    out.len(dictionary.stacks().len() - 1);
    let stacks = || (0u32..).zip(dictionary.stacks()).skip(1);
    stacks().for_each(|(id, (_, caller))| out.unsigned(id.saturating_sub(caller.0).into()));
    out.deltas(stacks().map(|(_, (location, _))| i64::from(location.0)));
}

fn decode_write(input: &mut In<'_>) -> Option<Write> {
    let dictionary = decode_dictionary(input)?;
    let mut series = Vec::new();
    for _ in 0..input.count()? {
        let mut part = || input.text().map(str::to_owned);
        let profile_type = ProfileType {
            name: part()?,
            sample: ValueType::new(part()?, part()?),
            period: ValueType::new(part()?, part()?),
        };
        let mut labels = LabelSetBuilder::default();
        for _ in 0..input.count()? {
            let name = input.text()?;
            labels.set(name, input.text()?);
        }
        series.push(Series { profile_type, labels: labels.build() });
    }
    let count = input.count()?;
    let of_rows = input.deltas(count)?;
    let stacks = input.deltas(count)?;
    let slots = input.deltas(count)?;
    let mut rows = Vec::with_capacity(count);
    for ((series, stack), slot) in of_rows.into_iter().zip(stacks).zip(slots) {
        rows.push(Row {
            series: u32::try_from(series).ok()?,
            stack: StackId(u32::try_from(stack).ok()?),
            slot_ms: slot.checked_mul(SLOT_MS)?,
            value: input.signed()?,
        });
    }
    Some(Write { dictionary, series, rows })
}

fn decode_dictionary(input: &mut In<'_>) -> Option<Dictionary> {
    let mut to = Dictionary::default();
    for _ in 0..input.count()? {
        to.string(input.text()?);
    }
    let count = input.count()?;
    let names = input.deltas(count)?;
    let system_names = input.unsigneds(count)?;
    let filenames = input.deltas(count)?;
    let lines = input.unsigneds(count)?;
    for (((name, system_name), filename), line) in
        names.into_iter().zip(system_names).zip(filenames).zip(lines)
    {
        to.function(Function {
            name: StringId(u32::try_from(name).ok()?),
            system_name: StringId(u32::try_from(system_name).ok()?),
            filename: StringId(u32::try_from(filename).ok()?),
            start_line: u32::try_from(line).ok()?,
        });
    }
    for _ in 0..input.count()? {
        to.mapping(Mapping {
            filename: StringId(u32::try_from(input.unsigned()?).ok()?),
            build_id: StringId(u32::try_from(input.unsigned()?).ok()?),
            memory_start: input.unsigned()?,
            memory_limit: input.unsigned()?,
            file_offset: input.unsigned()?,
        });
    }
    decode_locations(input, &mut to)?;
    let count = input.count()?;
    let callers = input.unsigneds(count)?;
    let locations = input.deltas(count)?;
    for ((id, caller), location) in (1u64..).zip(callers).zip(locations) {
        let caller = id.checked_sub(caller).filter(|&caller| caller < id)?;
        to.push(StackId(u32::try_from(caller).ok()?), LocationId(u32::try_from(location).ok()?));
    }
    Some(to)
}

fn decode_locations(input: &mut In<'_>, to: &mut Dictionary) -> Option<()> {
    let count = input.count()?;
    let mappings = input.deltas(count)?;
    let addresses = input.deltas(count)?;
    let kinds = input.take(count)?;
    let counts = input.unsigneds(count)?;
    let line_count =
        counts.iter().try_fold(0usize, |sum, &count| sum.checked_add(usize::try_from(count).ok()?))?;
    let functions = input.deltas(line_count)?;
    let numbers = input.unsigneds(line_count)?;
    let columns = input.unsigneds(line_count)?;
    let mut lines = functions.into_iter().zip(numbers).zip(columns).map(|((function, line), column)| {
        Some(Line {
            function: FunctionId(u32::try_from(function).ok()?),
            line: u32::try_from(line).ok()?,
            column: u32::try_from(column).ok()?,
        })
    });
    for (((mapping, address), kind), count) in mappings.into_iter().zip(addresses).zip(kinds).zip(counts) {
        let own: Option<Vec<Line>> = lines.by_ref().take(usize::try_from(count).ok()?).collect();
        to.location(Location {
            mapping: MappingId(u32::try_from(mapping).ok()?),
            address: address.cast_unsigned(),
            lines: own?.into(),
            kind: FrameKind::ALL.get(usize::from(*kind)).copied()?,
        });
    }
    Some(())
}

struct Out(Vec<u8>);

impl Out {
    fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn signed(&mut self, value: i64) {
        self.unsigned(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    fn len(&mut self, len: usize) {
        self.unsigned(len as u64);
    }

    fn text(&mut self, text: &str) {
        self.len(text.len());
        self.0.extend(text.as_bytes());
    }

    fn deltas(&mut self, values: impl Iterator<Item = i64>) {
        let mut before = 0i64;
        for value in values {
            self.signed(value.wrapping_sub(before));
            before = value;
        }
    }
}

struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        self.unsigned().map(|value| (value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// How many entries follow; each takes a byte at least, so that no count promises too much.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.unsigned()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = usize::try_from(self.unsigned()?).ok()?;
        std::str::from_utf8(self.take(len)?).ok()
    }

    fn unsigneds(&mut self, count: usize) -> Option<Vec<u64>> {
        if count > self.0.len() {
            return None;
        }
        (0..count).map(|_| self.unsigned()).collect()
    }

    fn deltas(&mut self, count: usize) -> Option<Vec<i64>> {
        if count > self.0.len() {
            return None;
        }
        let mut value = 0i64;
        let mut next = || {
            value = value.wrapping_add(self.signed()?);
            Some(value)
        };
        (0..count).map(|_| next()).collect()
    }
}
