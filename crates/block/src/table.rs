//! One table as one Parquet file: flat, required columns of three kinds.
//!
//! Everything that touches the `parquet` crate is here. Its decoder is made to return errors for
//! damaged files; should it panic on bytes made to harm, that becomes an error here, too.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes, buf::Reader};
use parquet::basic::{Compression, Encoding, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, Type};

use crate::format::{FORMAT_VERSION, Output, Part};

/// Rows of a page: readers decode at least one.
const ROWS_PER_PAGE: usize = 65_536;
/// More rows than this has no table which this crate writes.
const ROWS_MAX: u64 = 1 << 40;

/// What a column holds and how it is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `u32` that mostly grows from row to row: differences, bit-packed.
    Id,
    /// `u32` of few distinct values.
    Few,
    /// `i64` of few distinct values.
    Sum,
    /// `i64` that mostly grows from row to row.
    Address,
    /// UTF-8 text, mostly distinct.
    Text,
    /// UTF-8 text of few distinct values.
    Name,
}

/// A column.
#[derive(Debug)]
pub(crate) struct Field {
    pub name: &'static str,
    pub kind: Kind,
    /// Whether each row group says which smallest and largest value it has.
    pub bounds: bool,
}

pub(crate) const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, bounds: false }
}

/// A table's name and columns.
#[derive(Debug)]
pub(crate) struct Table {
    pub name: &'static str,
    pub fields: &'static [Field],
}

/// Values of one column.
#[derive(Debug)]
pub(crate) enum Values {
    U32(Vec<i32>),
    I64(Vec<i64>),
    Text(Vec<ByteArray>),
}

impl Values {
    /// Of unsigned numbers, which Parquet keeps as their signed twins.
    pub(crate) fn u32(values: impl Iterator<Item = u32>) -> Self {
        Self::U32(values.map(u32::cast_signed).collect())
    }

    pub(crate) fn u64(values: impl Iterator<Item = u64>) -> Self {
        Self::I64(values.map(u64::cast_signed).collect())
    }

    pub(crate) fn text<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        Self::Text(values.map(|text| ByteArray::from(text.as_bytes().to_vec())).collect())
    }

    fn len(&self) -> usize {
        match self {
            Self::U32(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }
}

impl Table {
    fn schema(&self) -> Result<Type, ParquetError> {
        let column = |field: &Field| {
            let (physical, logical) = match field.kind {
                Kind::Id | Kind::Few => (Physical::INT32, Some(LogicalType::integer(32, false))),
                Kind::Sum | Kind::Address => (Physical::INT64, None),
                Kind::Text | Kind::Name => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            };
            Type::primitive_type_builder(field.name, physical)
                .with_repetition(Repetition::REQUIRED)
                .with_logical_type(logical)
                .build()
                .map(Arc::new)
        };
        let columns = self.fields.iter().map(column).collect::<Result<_, _>>()?;
        Type::group_type_builder(self.name).with_fields(columns).build()
    }

    fn properties(&self) -> Result<WriterProperties, ParquetError> {
        let version = KeyValue::new("hearth.format_version".to_owned(), FORMAT_VERSION.to_string());
        let mut builder = WriterProperties::builder()
            .set_created_by("hearth".to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_data_page_row_count_limit(ROWS_PER_PAGE)
            .set_write_batch_size(ROWS_PER_PAGE / 4)
            .set_max_row_group_row_count(None)
            .set_offset_index_disabled(true)
            .set_key_value_metadata(Some(vec![version]));
        for field in self.fields {
            let path = ColumnPath::from(field.name);
            let statistics = if field.bounds { EnabledStatistics::Chunk } else { EnabledStatistics::None };
            let (dictionary, encoding) = match field.kind {
                Kind::Id | Kind::Address => (false, Encoding::DELTA_BINARY_PACKED),
                Kind::Few | Kind::Sum => (true, Encoding::DELTA_BINARY_PACKED),
                Kind::Text => (false, Encoding::DELTA_BYTE_ARRAY),
                Kind::Name => (true, Encoding::DELTA_BYTE_ARRAY),
            };
            builder = builder
                .set_column_statistics_enabled(path.clone(), statistics)
                .set_column_dictionary_enabled(path.clone(), dictionary)
                .set_column_encoding(path, encoding);
        }
        Ok(builder.build())
    }
}

/// Writes one table.
pub(crate) struct TableWriter<W: Write + Send> {
    writer: SerializedFileWriter<Output<W>>,
    table: &'static Table,
    offset: u64,
    rows: u64,
}

impl<W: Write + Send> TableWriter<W> {
    pub(crate) fn new(output: Output<W>, table: &'static Table) -> io::Result<Self> {
        let offset = output.len();
        let schema = Arc::new(table.schema().map_err(io_error)?);
        let properties = Arc::new(table.properties().map_err(io_error)?);
        let writer = SerializedFileWriter::new(output, schema, properties).map_err(io_error)?;
        Ok(Self { writer, table, offset, rows: 0 })
    }

    /// Writes one row group, which becomes one chunk; `columns` as the table's fields.
    pub(crate) fn group(&mut self, columns: &[Values]) -> io::Result<()> {
        let rows = columns.first().map_or(0, Values::len);
        if columns.len() != self.table.fields.len() || columns.iter().any(|column| column.len() != rows) {
            return Err(io::Error::other(format!("table {}: columns of unequal length", self.table.name)));
        }
        if rows == 0 {
            return Ok(());
        }
        self.write_group(columns).map_err(io_error)?;
        self.writer.flush()?;
        self.writer.inner_mut().cut();
        self.rows += rows as u64;
        Ok(())
    }

    fn write_group(&mut self, columns: &[Values]) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for values in columns {
            let Some(mut column) = group.next_column()? else { break };
            match values {
                Values::U32(values) => column.typed::<Int32Type>().write_batch(values, None, None)?,
                Values::I64(values) => column.typed::<Int64Type>().write_batch(values, None, None)?,
                Values::Text(values) => column.typed::<ByteArrayType>().write_batch(values, None, None)?,
            };
            column.close()?;
        }
        group.close()?;
        Ok(())
    }

    /// Writes Parquet's footer.
    pub(crate) fn finish(self) -> io::Result<(Output<W>, Part)> {
        let Self { writer, table, offset, rows } = self;
        let mut output = writer.into_inner().map_err(io_error)?;
        let chunks = output.take_chunks();
        Ok((output, Part { name: table.name.to_owned(), offset, rows, chunks }))
    }
}

fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(source) => *source,
            Err(source) => io::Error::other(source),
        },
        other => io::Error::other(other),
    }
}

/// Bytes of a block, wherever they are: in memory, or in a file that the caller opened.
pub trait Blob: Send + Sync {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// Reads exactly `len` bytes; callers stay within [`Self::size`].
    ///
    /// # Errors
    ///
    /// What the system said.
    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes>;
}

impl Blob for Bytes {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        match start.checked_add(len).filter(|&end| end <= self.len()) {
            Some(end) => Ok(self.slice(start..end)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Why a part cannot be read; the block adds the file's name.
#[derive(Debug)]
pub(crate) enum Fault {
    Io(io::Error),
    Corrupt(String),
}

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Self::Corrupt(reason)
    }
}

/// A checksum that does not fit, on its way through the `parquet` crate.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Damage(String);

impl From<ParquetError> for Fault {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(source) => match source.downcast::<io::Error>() {
                Ok(source) if source.get_ref().is_some_and(|inner| inner.is::<Damage>()) => {
                    Self::Corrupt(source.to_string())
                }
                // The decoder reports truncated pages this way; our own reads never end early.
                Ok(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                    Self::Corrupt(source.to_string())
                }
                Ok(source) if source.raw_os_error().is_some() => Self::Io(*source),
                Ok(source) => Self::Corrupt(source.to_string()),
                Err(source) => Self::Corrupt(source.to_string()),
            },
            other => Self::Corrupt(other.to_string()),
        }
    }
}

/// Runs `decode`, turning a panic within the decoder into an error.
fn guarded<T>(decode: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(Fault::Corrupt("the Parquet decoder gave up on it".into())))
}

/// A part's bytes, each chunk checked when it is first needed; the last chunk is kept.
pub(crate) struct PartBytes {
    blob: Arc<dyn Blob>,
    part: Part,
    last: Mutex<Option<(usize, Bytes)>>,
}

impl PartBytes {
    /// Reads one chunk and checks it.
    fn chunk(&self, index: usize, offset: u64) -> io::Result<Bytes> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = last.as_ref().filter(|(kept, _)| *kept == index) {
            return Ok(bytes.clone());
        }
        let chunk = self.part.chunks.get(index).ok_or(io::ErrorKind::UnexpectedEof)?;
        let bytes = self.blob.read(offset, usize::try_from(chunk.len).map_err(io::Error::other)?)?;
        if crc32fast::hash(&bytes) != chunk.crc {
            let reason =
                format!("{}: checksum of {} bytes at {offset} does not match", self.part.name, chunk.len);
            return Err(io::Error::other(Damage(reason)));
        }
        *last = Some((index, bytes.clone()));
        Ok(bytes)
    }

    fn slice(&self, start: u64, len: usize) -> io::Result<Bytes> {
        let (mut chunk_start, mut gathered) = (0, Vec::new());
        let end = start.checked_add(len as u64).filter(|&end| end <= self.part.len());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        for (index, chunk) in self.part.chunks.iter().enumerate() {
            let chunk_end = chunk_start + chunk.len;
            if start < chunk_end && chunk_start < end {
                let bytes = self.chunk(index, self.part.offset + chunk_start)?;
                let from = usize::try_from(start.saturating_sub(chunk_start)).map_err(io::Error::other)?;
                let to = usize::try_from(end.min(chunk_end) - chunk_start).map_err(io::Error::other)?;
                if to - from == len {
                    return Ok(bytes.slice(from..to));
                }
                gathered.extend_from_slice(bytes.get(from..to).ok_or(io::ErrorKind::UnexpectedEof)?);
            }
            chunk_start = chunk_end;
        }
        Ok(gathered.into())
    }
}

impl Length for PartBytes {
    fn len(&self) -> u64 {
        self.part.len()
    }
}

impl ChunkReader for PartBytes {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let mut at = 0;
        let end = self
            .part
            .chunks
            .iter()
            .map(|chunk| {
                at += chunk.len;
                at
            })
            .find(|&end| end > start);
        let len = usize::try_from(end.unwrap_or(start) - start).map_err(io::Error::other)?;
        Ok(self.get_bytes(start, len)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        Ok(self.slice(start, length)?)
    }
}

/// Reads one table.
pub(crate) struct TableReader {
    reader: SerializedFileReader<PartBytes>,
    table: &'static Table,
}

impl TableReader {
    pub(crate) fn open(blob: Arc<dyn Blob>, part: &Part, table: &'static Table) -> Result<Self, Fault> {
        let bytes = PartBytes { blob, part: part.clone(), last: Mutex::default() };
        let rows = part.rows;
        guarded(|| {
            let reader = SerializedFileReader::new(bytes)?;
            let schema = reader.metadata().file_metadata().schema_descr();
            let expected = table.schema()?;
            let fits = schema.num_columns() == table.fields.len()
                && schema.root_schema().get_fields().iter().zip(expected.get_fields()).all(|(a, b)| {
                    a.name() == b.name()
                        && a.is_primitive()
                        && a.get_physical_type() == b.get_physical_type()
                        && a.get_basic_info().repetition() == Repetition::REQUIRED
                });
            if !fits {
                return Err(Fault::Corrupt(format!(
                    "{}: columns differ from those of this format",
                    table.name
                )));
            }
            let sum = reader
                .metadata()
                .row_groups()
                .iter()
                .try_fold(0u64, |sum, group| sum.checked_add(u64::try_from(group.num_rows()).ok()?));
            if sum != Some(rows) || rows > ROWS_MAX {
                return Err(Fault::Corrupt(format!(
                    "{}: {sum:?} rows, the directory says {rows}",
                    table.name
                )));
            }
            Ok(Self { reader, table })
        })
    }

    pub(crate) fn groups(&self) -> usize {
        self.reader.num_row_groups()
    }

    /// Smallest and largest value of a `u32` column in a row group; `None` if not recorded.
    pub(crate) fn bounds(&self, group: usize, column: usize) -> Option<(u32, u32)> {
        let groups = self.reader.metadata().row_groups();
        match groups.get(group)?.columns().get(column)?.statistics()? {
            Statistics::Int32(bounds) => {
                Some((bounds.min_opt()?.cast_unsigned(), bounds.max_opt()?.cast_unsigned()))
            }
            _ => None,
        }
    }

    /// Begins to read a row group.
    pub(crate) fn group(&self, index: usize) -> Result<GroupReader, Fault> {
        guarded(|| {
            let group = self.reader.get_row_group(index)?;
            let rows = usize::try_from(group.metadata().num_rows()).map_err(|error| error.to_string())?;
            let mut columns = Vec::new();
            for index in 0..self.table.fields.len() {
                columns.push(match group.get_column_reader(index)? {
                    ColumnReader::Int32ColumnReader(reader) => Column::U32(reader, Vec::new()),
                    ColumnReader::Int64ColumnReader(reader) => Column::I64(reader, Vec::new()),
                    ColumnReader::ByteArrayColumnReader(reader) => Column::Text(reader, Vec::new()),
                    _ => {
                        return Err(Fault::Corrupt(format!("{}: a column of another type", self.table.name)));
                    }
                });
            }
            Ok(GroupReader { columns, rows, table: self.table })
        })
    }

    /// Reads the whole table and calls `row` with a piece of all columns and the row in it.
    pub(crate) fn each(
        &self,
        mut row: impl FnMut(&GroupReader, usize) -> Result<(), String>,
    ) -> Result<(), Fault> {
        for index in 0..self.groups() {
            let mut group = self.group(index)?;
            while let Some(rows) = group.begin_piece() {
                for column in 0..self.table.fields.len() {
                    group.read(column, rows)?;
                }
                for at in 0..rows {
                    row(&group, at).map_err(|reason| format!("{}: {reason}", self.table.name))?;
                }
            }
        }
        Ok(())
    }
}

enum Column {
    U32(ColumnReaderImpl<Int32Type>, Vec<i32>),
    I64(ColumnReaderImpl<Int64Type>, Vec<i64>),
    Text(ColumnReaderImpl<ByteArrayType>, Vec<ByteArray>),
}

/// Reads the columns of one row group, a piece at a time.
pub(crate) struct GroupReader {
    columns: Vec<Column>,
    rows: usize,
    table: &'static Table,
}

impl GroupReader {
    /// How many rows the next piece has; every column must then be read or skipped by that many.
    pub(crate) fn begin_piece(&mut self) -> Option<usize> {
        let rows = self.rows.min(ROWS_PER_PAGE / 4);
        self.rows -= rows;
        (rows > 0).then_some(rows)
    }

    /// Reads `rows` values of a column, replacing those read before.
    pub(crate) fn read(&mut self, column: usize, rows: usize) -> Result<(), Fault> {
        let table = self.table;
        let Some(column) = self.columns.get_mut(column) else { return Ok(()) };
        let read = guarded(|| {
            Ok(match column {
                Column::U32(reader, values) => {
                    values.clear();
                    reader.read_records(rows, None, None, values)?.1
                }
                Column::I64(reader, values) => {
                    values.clear();
                    reader.read_records(rows, None, None, values)?.1
                }
                Column::Text(reader, values) => {
                    values.clear();
                    reader.read_records(rows, None, None, values)?.1
                }
            })
        })?;
        if read == rows {
            return Ok(());
        }
        Err(Fault::Corrupt(format!("{}: a column ends {} rows early", table.name, rows.saturating_sub(read))))
    }

    /// Passes over `rows` values of a column.
    pub(crate) fn skip(&mut self, column: usize, rows: usize) -> Result<(), Fault> {
        let Some(column) = self.columns.get_mut(column) else { return Ok(()) };
        guarded(|| {
            match column {
                Column::U32(reader, _) => reader.skip_records(rows)?,
                Column::I64(reader, _) => reader.skip_records(rows)?,
                Column::Text(reader, _) => reader.skip_records(rows)?,
            };
            Ok(())
        })
    }

    /// A `u32` column of the piece read last, as its signed twins; empty for another column.
    pub(crate) fn u32s(&self, column: usize) -> &[i32] {
        match self.columns.get(column) {
            Some(Column::U32(_, values)) => values,
            _ => &[],
        }
    }

    /// An `i64` column of the piece read last; empty for another column.
    pub(crate) fn i64s(&self, column: usize) -> &[i64] {
        match self.columns.get(column) {
            Some(Column::I64(_, values)) => values,
            _ => &[],
        }
    }

    /// A value of a `u32` column of the piece read last.
    pub(crate) fn u32(&self, column: usize, row: usize) -> Result<u32, String> {
        let value = self.u32s(column).get(row).map(|value| value.cast_unsigned());
        value.ok_or_else(|| format!("no number in column {column}, row {row}"))
    }

    /// A value of an `i64` column of the piece read last.
    pub(crate) fn i64(&self, column: usize, row: usize) -> Result<i64, String> {
        let value = self.i64s(column).get(row).copied();
        value.ok_or_else(|| format!("no number in column {column}, row {row}"))
    }

    /// A value of a text column of the piece read last.
    pub(crate) fn text(&self, column: usize, row: usize) -> Result<&str, String> {
        match self.columns.get(column) {
            Some(Column::Text(_, values)) => values.get(row).map(ByteArray::data),
            _ => None,
        }
        .ok_or_else(|| format!("no text in column {column}, row {row}"))
        .and_then(|bytes| std::str::from_utf8(bytes).map_err(|error| format!("row {row}: {error}")))
    }
}
