//! Why a file's facts cannot be had.

/// Why a file cannot be used.
///
/// [`NotElf`](Self::NotElf) is normal: processes map fonts and locale archives.
/// [`Malformed`](Self::Malformed) is a broken or hostile file: count it and remember it.
/// [`TooLarge`](Self::TooLarge) is our limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file does not begin with an ELF header that we know.
    #[error("no ELF file of version 1")]
    NotElf,
    /// A header or table contradicts the specification or the file's size.
    #[error("malformed {what}: {reason}")]
    Malformed {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A count or size exceeds what we are willing to read.
    #[error("{what} is {value}; at most {limit} are read")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// As the file says.
        value: u64,
        /// Our bound.
        limit: u64,
    },
}

impl Error {
    /// A part the `object` crate refused.
    pub(crate) fn malformed(what: &'static str) -> impl FnOnce(object::read::Error) -> Self {
        move |_| Self::Malformed { what, reason: "it contradicts the ELF specification or the file's size" }
    }

    /// An error if `value` exceeds `limit`.
    pub(crate) fn check(what: &'static str, value: u64, limit: u64) -> Result<(), Self> {
        if value > limit { Err(Self::TooLarge { what, value, limit }) } else { Ok(()) }
    }
}
