//! Three kinds of address, so that none can be used as another.

use std::fmt;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

address!(
    /// An address in a process's memory: what a program counter holds.
    ProcessAddress
);
address!(
    /// An address in an object file's own address space: what its symbols and DWARF use.
    ElfAddress
);
address!(
    /// A position in a file.
    FileOffset
);

impl ProcessAddress {
    /// Where in the mapped file this address is.
    ///
    /// `start` and `offset` are the mapping's first address and the file offset of its first byte,
    /// as in `/proc/PID/maps`. None if the address is below the mapping.
    pub fn file_offset(self, start: Self, offset: FileOffset) -> Option<FileOffset> {
        offset.0.checked_add(self.0.checked_sub(start.0)?).map(FileOffset)
    }
}
