//! The bytes of a sampled file, read by ranges.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    /// Counts the reads of this thread that came back, for whoever watches it.
    static PROGRESS: RefCell<Option<Arc<AtomicU64>>> = const { RefCell::new(None) };
}

/// Lets `counter` count the reads of this thread.
pub(super) fn watch_progress(counter: Arc<AtomicU64>) {
    PROGRESS.with(|progress| *progress.borrow_mut() = Some(counter));
}

/// Where the bytes are.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// In an open regular file.
    File(Arc<File>),
    /// In memory: the vDSO.
    Image(Arc<[u8]>),
}

impl Content {
    /// A cursor over the bytes; each has its own position. For `object::ReadCache`.
    pub(crate) fn reader(&self) -> Reader {
        Reader { content: self.clone(), position: 0 }
    }

    /// How many bytes there are now; their owner may change that.
    pub(crate) fn len(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => file.metadata().map(|metadata| metadata.len()),
            Self::Image(image) => Ok(image.len() as u64),
        }
    }

    /// Reads at most `to.len()` bytes at `offset`.
    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = match self {
            Self::File(file) => file.read_at(to, offset)?,
            Self::Image(image) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(image.len());
                let bytes = image.get(from..).unwrap_or_default();
                let count = bytes.len().min(to.len());
                to[..count].copy_from_slice(&bytes[..count]);
                count
            }
        };
        PROGRESS.with(|progress| {
            if let Some(counter) = progress.borrow().as_ref() {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(count)
    }

    /// Reads `length` bytes at `offset`, in pieces so that progress is seen.
    ///
    /// # Errors
    ///
    /// If the file is shorter than that, or longer than `length_max` is asked for.
    pub(crate) fn read_range(&self, offset: u64, length: u64, length_max: u64) -> io::Result<Vec<u8>> {
        const PIECE: usize = 1 << 20;
        if length > length_max {
            return Err(io::Error::other(format!(
                "a section of {length} bytes; expected at most {length_max}"
            )));
        }
        let end = offset.checked_add(length);
        if end.is_none_or(|end| self.len().is_ok_and(|size| end > size)) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        let mut done = 0;
        while done < length {
            let until = length.min(done + PIECE);
            match self.read_at(&mut bytes[done..until], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }
}

/// A position in a file's bytes.
#[derive(Debug)]
pub(crate) struct Reader {
    content: Content,
    position: u64,
}

impl Read for Reader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read_at(to, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let from = |base: u64, by: i64| base.checked_add_signed(by).ok_or(io::ErrorKind::InvalidInput);
        self.position = match to {
            SeekFrom::Start(position) => position,
            SeekFrom::Current(by) => from(self.position, by)?,
            SeekFrom::End(by) => from(self.content.len()?, by)?,
        };
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn ranges_are_read_and_lies_about_them_refused() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        for content in [Content::File(Arc::new(file)), Content::Image(Arc::from(*b"0123456789"))] {
            assert_eq!(content.read_range(2, 3, 100).unwrap(), b"234");
            assert!(content.read_range(8, 3, 100).is_err(), "beyond the end");
            assert!(content.read_range(u64::MAX, 3, 100).is_err(), "overflow");
            let huge = content.read_range(0, 4 << 30, 1 << 20).unwrap_err();
            assert_eq!(huge.to_string(), "a section of 4294967296 bytes; expected at most 1048576");
            let mut reader = content.reader();
            reader.seek(SeekFrom::End(-2)).unwrap();
            let mut rest = String::new();
            reader.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "89");
        }
    }
}
