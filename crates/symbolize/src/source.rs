//! Bytes that can be read at any place, so that nothing has to be loaded whole.
//!
//! This crate opens no file; its callers implement [`ReadAt`] for what they have open. [`Headers`] lets
//! the ELF parser read through it, keeping only what it asked for.

use std::io;
use std::sync::Arc;

use object::read::{ReadCache, ReadCacheOps};

/// Bytes that can be read at any place.
pub trait ReadAt {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if the bytes end before the buffer is full; whatever reading
    /// them fails with.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let tail = usize::try_from(offset).ok().and_then(|offset| self.get(offset..));
        let bytes = tail.and_then(|tail| tail.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.as_slice().size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buffer, offset)
    }
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<T: ReadAt + ?Sized> ReadAt for $pointer {
            fn size(&self) -> u64 {
                (**self).size()
            }

            fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
                (**self).read_exact_at(buffer, offset)
            }
        }
    )*};
}

forward!(&T, Box<T>, Arc<T>);

/// `size` bytes from `offset` on; none if they are not all there.
///
/// The file's real size bounds what is allocated.
pub(crate) fn read_range(source: &dyn ReadAt, offset: u64, size: u64) -> Option<Vec<u8>> {
    if offset.checked_add(size)? > source.size() {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    source.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

/// What [`object`] reads of a source, kept until this is dropped. A reference to it is an
/// [`object::ReadRef`].
pub type Headers<'a> = ReadCache<Cursor<'a>>;

/// A cache of what is read of `source`.
pub fn headers(source: &dyn ReadAt) -> Headers<'_> {
    ReadCache::new(Cursor { source, position: 0 })
}

/// A place in a source.
pub struct Cursor<'a> {
    source: &'a dyn ReadAt,
    position: u64,
}

impl std::fmt::Debug for Cursor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor").field("position", &self.position).finish_non_exhaustive()
    }
}

impl ReadCacheOps for Cursor<'_> {
    fn len(&mut self) -> Result<u64, ()> {
        Ok(self.source.size())
    }

    fn seek(&mut self, position: u64) -> Result<u64, ()> {
        self.position = position;
        Ok(position)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ()> {
        let left = self.source.size().saturating_sub(self.position);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        self.read_exact(&mut buffer[..count])?;
        Ok(count)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), ()> {
        self.source.read_exact_at(buffer, self.position).map_err(|_| ())?;
        self.position = self.position.saturating_add(buffer.len() as u64);
        Ok(())
    }
}
