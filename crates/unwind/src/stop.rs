//! The one table of reasons why a walk over user frames ends.

macro_rules! stop_reasons {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $constant:literal, $name:literal, $complete:literal;)*) => {
        /// Why a walk over user frames ended.
        ///
        /// The numbers are those of `enum stop_reason` in `bpf/record.h`; a test compares them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum StopReason {
            $($(#[$doc])* $variant = $number,)*
        }

        impl StopReason {
            /// All reasons, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name for people, in lower case: `depth limit`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The name in `bpf/record.h`.
            pub fn constant(self) -> &'static str {
                match self {
                    $(Self::$variant => $constant,)*
                }
            }

            /// Whether no caller can be missing.
            pub fn is_complete(self) -> bool {
                match self {
                    $(Self::$variant => $complete,)*
                }
            }
        }
    };
}

stop_reasons! {
    /// The frame pointer or the return address is zero: the outermost frame was reached.
    Root = 0, "STOP_ROOT", "root", true;
    /// The chain ends next to the stack's top, where only the C library's start code lives.
    Start = 1, "STOP_START", "start code", true;
    /// The task never runs in user mode.
    KernelThread = 2, "STOP_KERNEL_THREAD", "kernel thread", true;
    /// The process is ending and has no memory any more.
    Exiting = 3, "STOP_EXITING", "exiting", true;
    /// There are more frames than one sample may have.
    Depth = 4, "STOP_DEPTH", "depth limit", false;
    /// What should be a return address lies in no mapping.
    NoMapping = 5, "STOP_NO_MAPPING", "no mapping", false;
    /// What should be a return address lies in memory that may not be executed.
    NotExecutable = 6, "STOP_NOT_EXECUTABLE", "not executable", false;
    /// The memory the frame pointer points at cannot be read, or is not resident.
    Unreadable = 7, "STOP_UNREADABLE", "stack unreadable", false;
    /// The frame pointer does not point up the stack: the code keeps none.
    FramePointer = 8, "STOP_FRAME_POINTER", "no frame pointer", false;
    /// The kernel's tree of mappings changed during the look-up.
    TreeChanged = 9, "STOP_TREE_CHANGED", "mappings changed", false;
    /// The user registers could not be read.
    NoRegisters = 10, "STOP_NO_REGISTERS", "no registers", false;
    /// The process runs in 32-bit mode, which is not walked.
    ThirtyTwoBit = 11, "STOP_32_BIT", "32-bit process", false;
    /// The file's unwind table is not ready, and code that keeps no frame pointer cannot be walked without.
    UnknownFile = 12, "STOP_UNKNOWN_FILE", "unknown file", false;
    /// The code says how to find its caller in a way that is not understood.
    NoRule = 13, "STOP_NO_RULE", "unsupported rule", false;
    /// The caller can be found only by a register whose value is not known in this frame.
    Register = 14, "STOP_REGISTER", "unknown register", false;
    /// The file's unwind table was replaced during the walk.
    Evicted = 15, "STOP_EVICTED", "table evicted", false;
    /// The caller's frame would not lie above this one.
    Backwards = 16, "STOP_BACKWARDS", "not up the stack", false;
}

impl StopReason {
    /// The reason with this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The number in records.
    pub fn number(self) -> u16 {
        self as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are a contract with the kernel side; the header is read as text.
    #[test]
    fn the_table_is_that_of_the_c_header() {
        let header = include_str!("../../../bpf/record.h");
        let mut in_header: Vec<(&str, u16)> = header
            .lines()
            .filter_map(|line| line.trim().trim_end_matches(',').split_once(" = "))
            .filter(|(name, _)| name.starts_with("STOP_"))
            .filter_map(|(name, number)| Some((name, number.parse().ok()?)))
            .collect();
        let in_table: Vec<(&str, u16)> =
            StopReason::ALL.iter().map(|reason| (reason.constant(), reason.number())).collect();
        let count = in_header.pop();
        assert_eq!(count.map(|(name, _)| name), Some("STOP_REASONS"));
        assert_eq!(count.map(|(_, number)| usize::from(number)), Some(in_table.len()));
        assert_eq!(in_header, in_table);
    }

    #[test]
    fn numbers_round_trip() {
        for (index, reason) in StopReason::ALL.iter().enumerate() {
            assert_eq!(usize::from(reason.number()), index, "{reason:?}");
            assert_eq!(StopReason::from_number(reason.number()), Some(*reason));
        }
        assert_eq!(StopReason::from_number(17), None);
    }
}
