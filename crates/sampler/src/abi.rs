//! The records of the kernel side, as `bpf/record.h` lays them out.
//!
//! Records come from the kernel, yet every access is checked: a record that is too short for what it
//! claims is `None` and counted, never a panic.

/// Length of a thread's name.
pub(crate) const COMM_BYTES: usize = 16;
/// Ids from here on are given out by user space, smaller ones by the kernel side.
pub(crate) const FILE_ID_USER_MIN: u32 = 1 << 23;

const OFFSET_BITS: u32 = 40;
const OFFSET_MAX: u64 = (1 << OFFSET_BITS) - 1;
const TAG_SHIFT: u32 = 56;
const ADDRESS_MASK: u64 = (1 << TAG_SHIFT) - 1;
const TAG_KERNEL: u64 = 0xfd;
const TAG_ANONYMOUS: u64 = 0xfe;
const TAG_RAW: u64 = 0xff;
/// Below any kernel address: marks of walks that stopped early.
const MARKS: u64 = 0x1_0000;

const SAMPLE_BYTES: usize = 56;
const SAMPLE_RAW_TAIL: u8 = 1;
/// Registers in a raw tail, numbered as DWARF does; the instruction pointer comes behind them.
pub(crate) const RAW_REGISTERS: usize = 33;
/// Bytes of the largest record of the sample ring.
pub(crate) const RECORD_BYTES: usize = SAMPLE_BYTES + (1024 + 127) * 8 + RAW_TAIL_BYTES + 16_384;
const RAW_TAIL_BYTES: usize = RAW_REGISTERS * 8 + 32;
const EVENT_FILE: u32 = 1;
const EVENT_EXEC: u32 = 2;
const EVENT_FORK: u32 = 3;
const EVENT_EXIT: u32 = 4;
const EVENT_ROWS: u32 = 5;
const EVENT_MAPPINGS: u32 = 6;
const CGROUP_LEVELS: usize = 3;
const CGROUP_NAME_BYTES: usize = 96;
const CGROUP_BYTES: usize = CGROUP_LEVELS * CGROUP_NAME_BYTES;
const EXEC_TEXT_AT: usize = 768;

/// A frame in the 8 bytes in which it is aggregated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Frame {
    /// Code of a file.
    File { id: u32, offset: u64 },
    /// Code in memory without a file, at an address of the process.
    Anonymous(u64),
    /// An address of the process that nobody could look up yet.
    Raw(u64),
    /// An address in the kernel.
    Kernel(u64),
    /// Why there are no frames further out; the number of a stop reason.
    Stopped(u16),
}

impl Frame {
    /// From its 8 bytes.
    pub(crate) fn decode(bits: u64) -> Self {
        let address = bits & ADDRESS_MASK;
        match bits >> TAG_SHIFT {
            TAG_RAW => Self::Raw(address),
            TAG_ANONYMOUS => Self::Anonymous(address),
            TAG_KERNEL if address < MARKS => Self::Stopped(u16::try_from(address).unwrap_or(u16::MAX)),
            TAG_KERNEL => Self::Kernel(address | 0xff << TAG_SHIFT),
            _ => Self::File {
                id: u32::try_from(bits >> OFFSET_BITS).unwrap_or(u32::MAX),
                offset: bits & OFFSET_MAX,
            },
        }
    }

    /// Into 8 bytes.
    pub(crate) fn encode(self) -> u64 {
        match self {
            Self::File { id, offset } => u64::from(id) << OFFSET_BITS | (offset & OFFSET_MAX),
            Self::Anonymous(address) => TAG_ANONYMOUS << TAG_SHIFT | (address & ADDRESS_MASK),
            Self::Raw(address) => TAG_RAW << TAG_SHIFT | (address & ADDRESS_MASK),
            Self::Kernel(address) => TAG_KERNEL << TAG_SHIFT | (address & ADDRESS_MASK),
            Self::Stopped(number) => TAG_KERNEL << TAG_SHIFT | u64::from(number),
        }
    }
}

/// Per-CPU counters of the kernel side: `enum counter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Counter {
    Samples = 0,
    LostRing = 1,
    LostState = 2,
    LostEvents = 3,
    RunNs = 4,
    UserFrames = 5,
    KernelFrames = 6,
    VmaWalks = 7,
    FilesFull = 8,
    TreeChanged = 9,
    RawTails = 10,
    RawBytes = 11,
    RawSkipped = 12,
    RowsFrames = 13,
    VerdictsFull = 14,
    LostUnnamed = 15,
}

/// Why a sample was lost: `enum lost_reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum LostReason {
    Ring = 0,
    State = 1,
}

/// What identifies a process: PIDs are reused, start times are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProcessKey {
    /// Thread group id, as the initial PID namespace counts.
    pub(crate) pid: u32,
    /// When it was started, nanoseconds since boot.
    pub(crate) start_ns: u64,
}

/// One sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample<'a> {
    pub(crate) time_ns: u64,
    pub(crate) process: ProcessKey,
    pub(crate) cgroup_id: u64,
    /// Thread id, as the initial PID namespace counts.
    pub(crate) tid: u32,
    pub(crate) cpu: u16,
    pub(crate) comm: &'a [u8],
    /// Why the walk ended: the number of a stop reason.
    pub(crate) stop: u16,
    kernel: &'a [u8],
    user: &'a [u8],
    /// What is needed to walk on from the last user frame.
    pub(crate) tail: Option<RawTail<'a>>,
}

/// The registers in the last user frame of a sample, and the stack from there: `struct raw_tail`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawTail<'a> {
    registers: &'a [u8],
    /// Bit per register whose value is known, as DWARF numbers them.
    pub(crate) known: u64,
    /// Top of the thread's stack, or 0 if unknown.
    pub(crate) stack_top: u64,
    /// How far below the top a chain may end and be complete.
    pub(crate) start_bytes: u32,
    /// The frame was interrupted: its instruction pointer is no return address.
    pub(crate) leaf: bool,
    /// The stack, from the stack pointer upwards; at most 16 KiB, perhaps empty.
    pub(crate) stack: &'a [u8],
}

impl<'a> RawTail<'a> {
    /// Reads what follows the frames of a sample.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let at = RAW_REGISTERS * 8;
        let stack = bytes.get(RAW_TAIL_BYTES..)?;
        Some(Self {
            registers: bytes.get(..at)?,
            known: u64_at(bytes, at)?,
            stack_top: u64_at(bytes, at + 8)?,
            start_bytes: u32_at(bytes, at + 16)?,
            leaf: u32_at(bytes, at + 20)? != 0,
            stack: stack.get(..usize::try_from(u32_at(bytes, at + 24)?).ok()?)?,
        })
    }

    /// A register's value, if it is known; see [`RAW_REGISTERS`] for the numbers.
    pub(crate) fn register(&self, number: usize) -> Option<u64> {
        let is_known = number < RAW_REGISTERS && self.known >> number & 1 == 1;
        if is_known { u64_at(self.registers, number * 8) } else { None }
    }
}

impl<'a> Sample<'a> {
    /// Reads a record of the sample ring.
    pub(crate) fn parse(record: &'a [u8]) -> Option<Self> {
        let frames = record.get(SAMPLE_BYTES..)?;
        let kernel_bytes = usize::from(u16_at(record, 50)?) * 8;
        let user_bytes = usize::from(u16_at(record, 52)?) * 8;
        let user_end = kernel_bytes.checked_add(user_bytes)?;
        let tail = match record.get(55)? & SAMPLE_RAW_TAIL {
            0 => None,
            _ => Some(RawTail::parse(frames.get(user_end..)?)?),
        };
        Some(Self {
            time_ns: u64_at(record, 0)?,
            process: ProcessKey { pid: u32_at(record, 24)?, start_ns: u64_at(record, 8)? },
            cgroup_id: u64_at(record, 16)?,
            tid: u32_at(record, 28)?,
            cpu: u16_at(record, 48)?,
            comm: record.get(32..32 + COMM_BYTES)?,
            stop: u16::from(*record.get(54)?),
            kernel: frames.get(..kernel_bytes)?,
            user: frames.get(kernel_bytes..user_end)?,
            tail,
        })
    }

    /// The kernel's frames, outermost first.
    pub(crate) fn kernel_frames(&self) -> impl ExactSizeIterator<Item = Frame> {
        words(self.kernel).rev().map(Frame::Kernel)
    }

    /// The user frames, leaf first.
    pub(crate) fn user_frames(&self) -> impl ExactSizeIterator<Item = Frame> + DoubleEndedIterator {
        words(self.user).map(Frame::decode)
    }
}

/// A mapping through which a file was met, and the id it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileEvent {
    pub(crate) process: ProcessKey,
    /// When it was met, CLOCK_MONOTONIC.
    pub(crate) time_ns: u64,
    pub(crate) vma_start: u64,
    pub(crate) vma_end: u64,
    /// Size of the file when it was met.
    pub(crate) size: u64,
    /// Its key in the map `files`.
    pub(crate) key: FileKey,
    pub(crate) id: u32,
    /// Last component of its path.
    pub(crate) name: String,
}

impl FileEvent {
    fn parse(record: &[u8], process: ProcessKey) -> Option<Self> {
        Some(Self {
            process,
            time_ns: u64_at(record, 8)?,
            vma_start: u64_at(record, 24)?,
            vma_end: u64_at(record, 32)?,
            size: u64_at(record, 40)?,
            key: [u64_at(record, 48)?, u64_at(record, 56)?, u64_at(record, 64)?, u64_at(record, 72)?],
            id: u32_at(record, 80)?,
            name: text(record.get(88..152)?),
        })
    }
}

/// `struct file_key`: inode, seconds, nanoseconds and device, generation.
pub(crate) type FileKey = [u64; 4];
/// `struct file_entry`, made by [`file_entry`].
pub(crate) type FileEntry = [u64; 5];

/// What user space tells of a file's unwind rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// They are still to come: samples that need them carry stack bytes.
    Awaited,
    /// They are in unwind pages stamped with `generation`; a look-up begins at page `root`.
    Ready { root: u32, levels: u32, generation: u32 },
    /// There are none: frame pointers only.
    None,
    /// They are more than the budget allows: frame pointers only.
    TooBig,
    /// They were dropped for want of room; [`Event::Rows`] asks for them again.
    Evicted,
}

/// The key of the vDSO, which has no file.
pub(crate) fn is_vdso(key: &FileKey) -> bool {
    key[0] == 1 && key[2] >> 32 == u64::from(u32::MAX)
}

/// The key under which a file that user space numbered is in the map `files`.
pub(crate) fn numbered_key(id: u32) -> FileKey {
    [id.into(), 0, 0xffff_fffe << 32, 0]
}

/// The value by which the kernel side knows that the file needs no more requests, and its rows.
pub(crate) fn file_entry(id: u32, rows: Rows) -> FileEntry {
    let (root, levels, flags, generation) = match rows {
        Rows::Awaited => (0, 0, 0, 0),
        Rows::Ready { root, levels, generation } => (root, levels, 1, generation),
        Rows::None => (0, 0, 2, 0),
        Rows::TooBig => (0, 0, 4, 0),
        Rows::Evicted => (0, 0, 8, 0),
    };
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    [pair(id, 1), 0, pair(root, levels), pair(flags, generation), 0]
}

/// When a sample last needed the file, nanoseconds of the monotonic clock; 0 if none did since the entry
/// was written.
pub(crate) fn file_used_ns(entry: &FileEntry) -> u64 {
    entry[4]
}

/// `struct process_entry`, under the tgid in the map `process_mappings`.
pub(crate) type ProcessEntry = [u64; 3];

/// The value that tells where a process' mappings are; `root` 0 says that they cannot be read.
pub(crate) fn process_entry(start_ns: u64, root: u32, levels: u32) -> ProcessEntry {
    [start_ns, 0, u64::from(root) | u64::from(levels) << 32]
}

/// `struct mapping_entry`: start, end, offset, file id and flags.
pub(crate) type MappingEntry = [u64; 4];
/// Entries in a leaf of the mappings' table.
pub(crate) const MAPPING_LEAF_ENTRIES: usize = 128;
/// Pages below a node of it.
pub(crate) const MAPPING_NODE_ENTRIES: usize = 256;
/// Levels of nodes above the leaves, at most.
pub(crate) const MAPPING_LEVELS_MAX: u32 = 2;

/// The entry of a mapping; `file` is none for anonymous memory.
pub(crate) fn mapping_entry(
    start: u64,
    end: u64,
    file: Option<(u32, u64)>,
    executable: bool,
) -> MappingEntry {
    let (id, offset) = file.unwrap_or_default();
    let flags = u64::from(executable) | u64::from(file.is_none()) << 1;
    [start, end, offset, u64::from(id) | flags << 32]
}

/// Key of the map `filter_rules`: `struct filter_rule`.
pub(crate) type FilterRule = [u64; 5];

/// The rule for all processes of a PID namespace, by its inode. `enum filter_kind` has more kinds.
pub(crate) fn pid_namespace_rule(inode: u32) -> FilterRule {
    [3, inode.into(), 0, 0, 0]
}

/// Whether a process is sampled: `enum verdict`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Verdict {
    Exclude = 1,
    Include = 2,
    /// By its number, with its children, whatever they execute.
    Target = 3,
}

/// `struct process_verdict`, under the tgid in the map `verdicts`.
pub(crate) type ProcessVerdict = [u64; 2];

/// The verdict on a process, found by rules of this generation.
pub(crate) fn process_verdict(start_ns: u64, verdict: Verdict, generation: u32) -> ProcessVerdict {
    [start_ns, u64::from(verdict as u32) | u64::from(generation) << 32]
}

/// `struct lost_key` of the map `lost`.
pub(crate) type LostKey = [u64; 2];

/// Whose samples were lost, and the number of a [`LostReason`].
pub(crate) fn lost_of(key: &LostKey) -> (ProcessKey, u32) {
    let [pid, reason] = halves(key[1]);
    (ProcessKey { pid, start_ns: key[0] }, reason)
}

/// A process began to execute a program: `struct exec_event`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExecEvent {
    pub(crate) process: ProcessKey,
    pub(crate) time_ns: u64,
    /// Inode of its cgroup in the v2 hierarchy.
    pub(crate) cgroup_id: u64,
    /// Inode of its cgroup in the v1 hierarchy that `cgroup_v1` is of, or 0.
    pub(crate) cgroup_v1_id: u64,
    /// Inode of its PID namespace.
    pub(crate) pid_namespace: u32,
    pub(crate) comm: String,
    /// As given to execve(2).
    pub(crate) path: String,
    /// Names on the cgroup's path in the v2 hierarchy, innermost first, at most three, without the root.
    pub(crate) cgroup: Vec<String>,
    /// The same in a v1 hierarchy.
    pub(crate) cgroup_v1: Vec<String>,
    /// First bytes of the arguments, each ended by NUL; at most 1 KiB.
    pub(crate) arguments: Vec<u8>,
    /// First bytes of the environment, each variable ended by NUL; at most 3 KiB.
    pub(crate) environment: Vec<u8>,
}

impl ExecEvent {
    fn parse(record: &[u8], process: ProcessKey) -> Option<Self> {
        let groups = |at: usize| {
            let bytes = record.get(at..at + CGROUP_BYTES)?;
            let names = bytes.chunks_exact(CGROUP_NAME_BYTES).map(text);
            Some(names.take_while(|name| !name.is_empty()).collect())
        };
        let arguments = EXEC_TEXT_AT + usize::from(u16_at(record, 44)?);
        let environment = arguments + usize::from(u16_at(record, 46)?);
        Some(Self {
            process,
            time_ns: u64_at(record, 8)?,
            cgroup_id: u64_at(record, 24)?,
            cgroup_v1_id: u64_at(record, 32)?,
            pid_namespace: u32_at(record, 40)?,
            comm: text(record.get(48..64)?),
            path: text(record.get(64..192)?),
            cgroup: groups(192)?,
            cgroup_v1: groups(192 + CGROUP_BYTES)?,
            arguments: record.get(EXEC_TEXT_AT..arguments)?.to_vec(),
            environment: record.get(arguments..environment)?.to_vec(),
        })
    }
}

/// Anything in the event ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A file was met that user space has not opened.
    File(FileEvent),
    /// Rows that were evicted are needed again; the file as it is mapped now.
    Rows(FileEvent),
    /// The mappings of a process are not known, or do not cover an address.
    Mappings { process: ProcessKey, address: u64 },
    /// A process began to execute a program.
    Exec(Box<ExecEvent>),
    /// A process was forked.
    Fork { process: ProcessKey, parent: ProcessKey },
    /// A process ended.
    Exit { process: ProcessKey },
}

impl Event {
    /// Reads a record of the event ring.
    pub(crate) fn parse(record: &[u8]) -> Option<Self> {
        let process = ProcessKey { pid: u32_at(record, 4)?, start_ns: u64_at(record, 16)? };
        match u32_at(record, 0)? {
            EVENT_FILE => FileEvent::parse(record, process).map(Self::File),
            EVENT_ROWS => FileEvent::parse(record, process).map(Self::Rows),
            EVENT_MAPPINGS => Some(Self::Mappings { process, address: u64_at(record, 24)? }),
            EVENT_EXEC => ExecEvent::parse(record, process).map(|event| Self::Exec(Box::new(event))),
            EVENT_FORK => Some(Self::Fork {
                process,
                parent: ProcessKey { pid: u32_at(record, 40)?, start_ns: u64_at(record, 32)? },
            }),
            EVENT_EXIT => Some(Self::Exit { process }),
            _ => None,
        }
    }
}

/// What the self-test's program answers: `struct test_result`.
pub(crate) type TestResult = [u64; 9];

/// Text up to the first NUL; invalid UTF-8 is replaced.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or(bytes)).into_owned()
}

/// The two 32-bit fields that share a word.
pub(crate) fn halves(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
}

fn words(bytes: &[u8]) -> impl ExactSizeIterator<Item = u64> + DoubleEndedIterator {
    bytes.chunks_exact(8).map(|word| {
        let mut copy = [0; 8];
        copy.copy_from_slice(word);
        u64::from_ne_bytes(copy)
    })
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn frames_round_trip_through_their_bits() {
        let cases = [
            Frame::File { id: 1, offset: 0x1234 },
            Frame::File { id: FILE_ID_USER_MIN + 5, offset: OFFSET_MAX },
            Frame::Anonymous(0x7fff_1234_5678),
            Frame::Raw(0x7fff_1234_5678),
            Frame::Kernel(0xffff_ffff_8100_0000),
            Frame::Kernel(0xff11_0000_8100_0000),
            Frame::Stopped(7),
        ];
        for frame in cases {
            assert_eq!(Frame::decode(frame.encode()), frame);
        }
    }

    impl Counter {
        /// All counters, in the order of their numbers.
        const ALL: [Self; 16] = [
            Self::Samples,
            Self::LostRing,
            Self::LostState,
            Self::LostEvents,
            Self::RunNs,
            Self::UserFrames,
            Self::KernelFrames,
            Self::VmaWalks,
            Self::FilesFull,
            Self::TreeChanged,
            Self::RawTails,
            Self::RawBytes,
            Self::RawSkipped,
            Self::RowsFrames,
            Self::VerdictsFull,
            Self::LostUnnamed,
        ];
    }

    #[test]
    fn a_record_shorter_than_it_claims_is_refused() {
        let mut record = vec![0; 56 + 3 * 8];
        record[50] = 1;
        record[52] = 2;
        record[56..64].copy_from_slice(&0xffff_ffff_8100_0000_u64.to_ne_bytes());
        let sample = Sample::parse(&record).unwrap();
        assert_eq!(sample.kernel_frames().collect::<Vec<_>>(), [Frame::Kernel(0xffff_ffff_8100_0000)]);
        assert_eq!(sample.user_frames().len(), 2);
        for length in 0..record.len() {
            assert!(Sample::parse(&record[..length]).is_none(), "{length} bytes");
            assert!(Event::parse(&record[..length.min(23)]).is_none(), "{length} bytes");
        }
    }

    /// Numbers shared with the kernel side, compared with the header's text.
    #[test]
    fn numbers_are_those_of_the_c_header() {
        let header = include_str!("../../../bpf/record.h");
        let counters: Vec<&str> =
            header.lines().map(str::trim).filter(|line| line.starts_with("COUNT_")).collect();
        assert_eq!(counters.len(), Counter::ALL.len());
        for (index, counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, index);
            let name: String =
                counters[index].split(' ').next().unwrap().replace("COUNT_", "").replace('_', "");
            assert_eq!(name.to_lowercase(), format!("{counter:?}").to_lowercase());
        }
        for line in [
            "#define FRAME_OFFSET_BITS 40",
            "#define FRAME_TAG_SHIFT 56",
            "#define FRAME_ANONYMOUS 0xfe",
            "#define FRAME_RAW 0xff",
            "#define FILE_ID_MAX ((1 << 23) - 1)",
            "EVENT_FILE = 1",
            "EVENT_EXEC = 2",
            "EVENT_FORK = 3",
            "EVENT_EXIT = 4",
            "EVENT_ROWS = 5",
            "EVENT_MAPPINGS = 6",
            "#define FILE_ROWS_READY 1",
            "#define FILE_ROWS_NONE 2",
            "#define FILE_ROWS_TOO_BIG 4",
            "#define FILE_ROWS_EVICTED 8",
            "#define ENTRY_EXECUTABLE 1",
            "#define ENTRY_ANONYMOUS 2",
            "#define NUMBERED_DEVICE 0xfffffffeu",
            "#define MAPPING_LEAF_ENTRIES 128",
            "#define MAPPING_NODE_ENTRIES 256",
            "#define MAPPING_LEVELS_MAX 2",
            "#define SAMPLE_RAW_TAIL 1",
            "#define RAW_REGISTERS 33",
            "#define CGROUP_LEVELS 3",
            "#define CGROUP_NAME_BYTES 96",
            "#define EXEC_EVENT_BYTES_MIN (768)",
            "VERDICT_EXCLUDE = 1",
            "VERDICT_INCLUDE = 2",
            "VERDICT_TARGET = 3",
            "FILTER_CGROUP = 1",
            "FILTER_CGROUP_V1 = 2",
            "FILTER_PID_NAMESPACE = 3",
            "FILTER_EXECUTABLE = 4",
            "LOST_RING = 0",
            "LOST_STATE = 1",
        ] {
            assert!(header.contains(line), "bpf/record.h does not say {line:?}");
        }
    }
}
