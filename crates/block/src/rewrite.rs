//! A block with another dictionary: rows, points and series are copied byte for byte, so no sum can
//! change.

use std::collections::BTreeSet;
use std::io::{self, Write};

use hearth_profile::Dictionary;

use crate::format::{Output, Part, header};
use crate::read::error;
use crate::table::Fault;
use crate::tables::{LABELS, MAPPINGS, POINTS, ROWS, SERIES, STACKS, STRINGS, dictionary_tables};
use crate::write::{Parts, Summary};
use crate::{Block, Error};

/// What a block with another dictionary keeps.
const KEPT: [&str; 4] = [ROWS.name, POINTS.name, SERIES.name, LABELS.name];

impl Block {
    /// The build IDs of the binaries that stacks of this block mention, sorted.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the block is damaged there.
    pub fn build_ids(&self) -> Result<Vec<String>, Error> {
        let read = || {
            let mut wanted = BTreeSet::new();
            self.table(&MAPPINGS)?.each(|group, row| {
                wanted.insert(group.u32(1, row)?);
                Ok(())
            })?;
            let (mut id, mut found) = (0, BTreeSet::new());
            self.table(&STRINGS)?.each(|group, row| {
                id += 1;
                if wanted.contains(&id) {
                    found.insert(group.text(0, row)?.to_owned());
                }
                Ok(())
            })?;
            Ok(found.into_iter().collect())
        };
        read().map_err(|fault| error(self.name(), fault))
    }

    /// Writes the same block with another dictionary to `out`, which errors call `name`.
    ///
    /// `dictionary` has the stacks of this block under the ids they have here.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if this block is damaged or `dictionary` has another number of stacks;
    /// [`Error::Io`] if a file failed.
    pub fn rewrite<W: Write + Send>(
        &self,
        name: &str,
        dictionary: &Dictionary,
        out: W,
    ) -> Result<(W, Summary), Error> {
        let stacks = self.part(&STACKS).map_err(|fault| error(self.name(), fault))?.rows.saturating_add(1);
        if dictionary.stacks().len() as u64 != stacks {
            let found = dictionary.stacks().len();
            let fault =
                Fault::Corrupt(format!("a dictionary of {found} stacks; the rows use one of {stacks}"));
            return Err(error(self.name(), fault));
        }
        let mut output = Output::new(out);
        let failed = |source: io::Error| Error::Io { path: name.to_owned(), source };
        output.write_all(&header()).map_err(failed)?;
        output.take_chunks();
        let (mut done, mut rows) = (Vec::new(), 0);
        for part in self.directory().parts.iter().filter(|part| KEPT.contains(&part.name.as_str())) {
            let copied = self.copy(part, &mut output, name)?;
            if part.name == ROWS.name {
                rows = part.rows;
            }
            done.push(copied);
        }
        let mut parts = Parts::continued(output, done);
        dictionary_tables(dictionary, |table, columns| parts.group(table, columns)).map_err(failed)?;
        parts.end_block(self.directory().slot_range_ms, rows).map_err(failed)
    }

    /// Copies a part whose every chunk is checked.
    fn copy<W: Write>(&self, part: &Part, output: &mut Output<W>, name: &str) -> Result<Part, Error> {
        let (offset, mut at) = (output.len(), part.offset);
        for chunk in &part.chunks {
            let read = || {
                let len = usize::try_from(chunk.len).map_err(|error| Fault::Corrupt(error.to_string()))?;
                let bytes = self.blob().read(at, len).map_err(Fault::Io)?;
                match crc32fast::hash(&bytes) == chunk.crc {
                    true => Ok(bytes),
                    false => Err(Fault::Corrupt(format!("{}: checksum at {at} does not match", part.name))),
                }
            };
            let bytes = read().map_err(|fault| error(self.name(), fault))?;
            let written = output.write_all(&bytes);
            written.map_err(|source| Error::Io { path: name.to_owned(), source })?;
            output.cut();
            at = at.saturating_add(chunk.len);
        }
        Ok(Part { name: part.name.clone(), offset, rows: part.rows, chunks: output.take_chunks() })
    }
}
